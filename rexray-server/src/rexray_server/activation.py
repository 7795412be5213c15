"""Listening sockets that the service manager passed: sd_listen_fds(3)."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rexray.csi.settings import Endpoint

log = logging.getLogger(__name__)

FIRST = 3
"""The descriptor of the first passed socket (SD_LISTEN_FDS_START)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A passed listening socket. It stays the manager's: users take duplicates, and leave its file where it is."""

    name: str
    descriptor: int
    endpoint: Endpoint

    def listener(self) -> socket.socket:
        """A socket object of its own for the passed one."""
        return socket.socket(fileno=os.dup(self.descriptor))


def take(environ: MutableMapping[str, str]) -> tuple[Passed, ...]:
    """The sockets that were passed to this process; the variables are removed, for they are not for our children."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return ()
    found = []
    for number in range(int(count)):
        descriptor = FIRST + number
        name = names[number] if number < len(names) else ""
        try:
            os.set_inheritable(descriptor, False)
            endpoint = _endpoint_of(descriptor)
        except OSError as error:
            log.warning("a passed socket is of no use", extra={"fields": {"name": name, "error": error.strerror}})
            continue
        if endpoint is None:
            log.warning("a passed socket does not listen for streams", extra={"fields": {"name": name}})
            continue
        found.append(Passed(name=name, descriptor=descriptor, endpoint=endpoint))
    return tuple(found)


def matching(passed: Sequence[Passed], name: str, endpoint: Endpoint) -> Passed | None:
    """The passed socket for a module: the one at its endpoint, or else the one with its name."""
    at_it = [one for one in passed if _same(one.endpoint, endpoint)]
    return next(iter([*at_it, *(one for one in passed if one.name == name)]), None)


def _endpoint_of(descriptor: int) -> Endpoint | None:
    """Where a passed socket listens; None if it does not, or not for streams at an address that we serve."""
    with socket.socket(fileno=os.dup(descriptor)) as probe:
        listens = probe.type == socket.SOCK_STREAM and probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if not listens:
            return None
        address = probe.getsockname()
        if probe.family == socket.AF_UNIX:
            path = os.fsdecode(address)
            return Endpoint(path=Path(path)) if path.startswith("/") else None
        if probe.family in (socket.AF_INET, socket.AF_INET6):
            return Endpoint(host=address[0], port=address[1])
    return None


def _same(one: Endpoint, other: Endpoint) -> bool:
    if one.path is None or other.path is None:
        return one == other
    return os.path.realpath(one.path.parent) == os.path.realpath(other.path.parent) and one.path.name == other.path.name
