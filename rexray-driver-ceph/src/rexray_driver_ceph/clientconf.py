"""What a client of the cluster goes by, told without asking the cluster: for programs that take only a file.

Only the cluster's id is asked for where ``ceph.conf`` leaves it out: without it an image of another cluster that has
the same name would be taken for ours. What the cluster has said is kept for when it does not answer.

Facts: ceph-conf(8); Ceph's documentation, "Configuration sources": a client's own section goes before ``[client]`` and
``[global]``, and of a value that a section has twice the last one counts (tried with Ceph 16).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rexray.errors import RexrayError, Unavailable
from rexray.paths import find_paths
from rexray_driver_ceph.cluster import Cluster

_SECONDS, _FSID_SECONDS, _AGAIN_SECONDS = 10.0, 5.0, 10.0
_NO_FSID = "00000000-0000-0000-0000-000000000000"


class ClientConf:
    """The configuration of one cluster's client."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._fsid, self._again = "", 0.0

    @property
    def fsid(self) -> str:
        """The cluster's id; empty where neither ``ceph.conf`` nor the cluster tells it, nor has ever told this host."""
        return self.find_fsid(_FSID_SECONDS)

    def find_fsid(self, seconds: float) -> str:
        """The same, with the seconds that asking the cluster may take; it is not asked again at once."""
        if not self._fsid and time.monotonic() >= self._again:
            self._fsid = fsid_of(self.value("fsid")) or self._ask_fsid(seconds)
            self._again = time.monotonic() + _AGAIN_SECONDS
        return self._fsid

    def _ask_fsid(self, seconds: float) -> str:
        place = hashlib.sha256(" ".join([*self._cluster.arguments, self.mon_host]).encode()).hexdigest()[:24]
        kept = find_paths().run / "rbd-fsids" / place
        try:
            told = self._cluster.hurried(min(seconds, _FSID_SECONDS)).run("ceph", "fsid", action="ask for the fsid")
        except RexrayError:
            with contextlib.suppress(OSError):
                return kept.read_text()
            return ""
        fsid = told.strip()
        with contextlib.suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = kept.with_suffix(f".{os.getpid()}")
            new.write_text(fsid)
            new.replace(kept)
        return fsid

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
