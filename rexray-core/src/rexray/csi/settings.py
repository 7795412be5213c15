"""Where the CSI service is: for the server to listen at, for clients to call."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rexray.errors import SettingsError
from rexray.paths import Paths
from rexray.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address: a path, or a host and port."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return str(self.path) if self.path is not None else f"tcp://{self._authority}"

    @property
    def target(self) -> str:
        """The address as gRPC writes it, where a path is part of an URI."""
        return f"dns:{self._authority}" if self.path is None else "unix:" + quote(os.fsencode(self.path))

    @property
    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """``unix:///path``, ``unix:path``, a path that is absolute or not, or ``tcp://host:port``.

    ``SettingsError`` if it is none of them, or might be two: a bare ``host:port`` is a file's name too.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme not in ("unix", "tcp"):
        raise SettingsError(f"{text!r} is no endpoint: {scheme!r} is not unix or tcp")
    if separator and scheme == "tcp":
        host, _, port = rest.rpartition(":")
        if not _is_port(port) or "/" in host or not host.isprintable():
            raise SettingsError(f"{text!r} is no endpoint: write tcp://HOST:PORT, the port from 0 to 65535")
        return Endpoint(host=host.strip("[]") or "127.0.0.1", port=int(port))
    path = rest if separator else text.removeprefix("unix:")
    if not path or "\0" in path:
        raise SettingsError(f"{text!r} is no endpoint: write unix:///PATH, tcp://HOST:PORT or the path of a socket")
    if path == text and "/" not in text and _is_port(text.rpartition(":")[2]) and ":" in text:
        raise SettingsError(f"{text!r} is no endpoint: write tcp://{text} for an address, ./{text} for a socket here")
    return Endpoint(path=Path(path))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class CSISettings:
    """The settings that server and clients share."""

    endpoint: str = setting(
        "",
        key="csi.endpoint",
        env="CSI_ENDPOINT",
        help="The endpoint of the CSI module; /run/docker/plugins/rexray.sock if empty",
    )

    def __post_init__(self) -> None:
        if self.endpoint:
            try:
                parse_endpoint(self.endpoint)
            except SettingsError as error:
                raise SettingsError(f"the setting csi.endpoint ($CSI_ENDPOINT): {error}") from None

    def endpoint_or_default(self, paths: Paths) -> str:
        """The endpoint, or the socket where Docker finds it by the name ``rexray``."""
        return self.endpoint or str(paths.sockets / "rexray.sock")
