"""What a client of the cluster goes by, told without asking the cluster: for programs that take only a file.

Facts: ceph-conf(8); Ceph's documentation, "Configuration sources": a client's own section goes before ``[client]`` and
``[global]``, and of a value that a section has twice the last one counts (tried with Ceph 16).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from rexray.errors import Unavailable
from rexray_driver_ceph.cluster import Cluster

_SECONDS = 10.0
_NO_FSID = "00000000-0000-0000-0000-000000000000"


class ClientConf:
    """The configuration of one cluster's client."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @functools.cached_property
    def fsid(self) -> str:
        """The cluster's id, empty where ``ceph.conf`` does not have it."""
        return fsid_of(self.value("fsid"))

    @functools.cached_property
    def mon_host(self) -> str:
        """Where the monitors are, in any form."""
        return self.value("mon_host")

    @property
    def user(self) -> str:
        """The Ceph user, without ``client.``."""
        return self._cluster.identity.client.removeprefix("client.")

    def value(self, key: str) -> str:
        """The value of a setting as Ceph's programs have it; empty where there is none, or no ``ceph.conf``."""
        action = f"read {key} of the client's configuration"
        ended = self._cluster.attempt("ceph-conf", "--show-config-value", key, action=action, seconds=_SECONDS)
        return ended.stdout.strip() if ended.status == 0 else ""

    def text(self) -> str:
        """The whole as a ``ceph.conf``; ``Unavailable`` if the one that the settings name cannot be read."""
        values = {"mon_host": self.mon_host, "keyring": self.value("keyring"), **dict(_options(self._others))}
        own = "".join(f"{key} = {value}\n" for key, value in values.items() if value)
        return f"{self._file_text()}\n[{self._cluster.identity.client}]\n{own}"

    @property
    def _others(self) -> Sequence[str]:
        return self._cluster.identity.others

    def _file_text(self) -> str:
        identity = self._cluster.identity
        home = os.environ.get("HOME", "/")
        usual = [f"/etc/ceph/{identity.cluster}.conf", f"{home}/.ceph/{identity.cluster}.conf"]
        for path in [identity.conf] if identity.conf else usual:
            try:
                return Path(path).read_text(errors="surrogateescape")
            except OSError as error:
                if identity.conf:
                    raise Unavailable(f"{path}: {error.strerror}: say where ceph.conf is by rbd.conf") from None
        return ""


def fsid_of(text: str) -> str:
    """A cluster's id, empty for the one that stands for none."""
    return "" if text == _NO_FSID else text


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Arguments as settings: their values follow ``=`` or are the next word, and are ``true`` where there is none."""
    words = list(arguments)
    while words:
        option, equals, value = words.pop(0).partition("=")
        if not equals and words and not words[0].startswith("-"):
            value = words.pop(0)
        if option.startswith("--"):
            yield option.removeprefix("--").replace("-", "_"), value or "true"
