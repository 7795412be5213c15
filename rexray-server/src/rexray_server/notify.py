"""Telling the service manager how the service is: sd_notify(3), over the socket that ``$NOTIFY_SOCKET`` names."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, MutableMapping

log = logging.getLogger(__name__)


class Notifier:
    """Sends states to the manager; without one it is silent. ``watchdog`` is the manager's patience in seconds."""

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog = watchdog

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> Notifier:
        """The manager's that started this process; its variables are removed, for they are not for our children."""
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        watched = environ.pop("WATCHDOG_PID", "")
        if not address.startswith(("/", "@")):
            return cls()
        ours = not watched or watched == str(os.getpid())
        return cls(address, int(microseconds) / 1e6 if ours and microseconds.isdigit() else 0.0)

    def send(self, *states: str) -> None:
        """Send assignments such as ``READY=1`` in one message; a manager that does not listen is only logged."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(1)
                channel.sendto("\n".join(states).encode(), self._address)
        except OSError as error:
            log.warning("the service manager cannot be told", extra={"fields": {"error": error.strerror or error}})

    def ready(self, status: str) -> None:
        """Started, or reloaded."""
        self.send("READY=1", _status(status))

    def reloading(self) -> None:
        """A reload begins; :meth:`ready` ends it. The time tells the manager that it is after its signal."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service stops."""
        self.send("STOPPING=1", _status("stopping"))

    def status(self, status: str) -> None:
        """A line for ``systemctl status``."""
        self.send(_status(status))

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Tell the manager at half of its patience that the event loop turns, which is when this does too."""
        ticking = asyncio.create_task(self._tick()) if self.watchdog else None
        try:
            yield
        finally:
            if ticking is not None:
                ticking.cancel()

    async def _tick(self) -> None:
        while True:
            self.send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog / 2)


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())
