"""Connections on which an answer begins in time as a whole, and not only each piece of it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse


class _Bounded(HTTPConnection):
    """A server that sends its header by single bytes, or one interim answer after another, is hung up on.

    The connection's ``timeout`` is for each piece that arrives; here it is for all of them together.
    """

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3 declares it so as well
        if not isinstance(self.timeout, (int, float)):
            return super().getresponse()
        watch = threading.Timer(self.timeout, self._hang_up)
        watch.daemon = True
        watch.start()
        try:
            return super().getresponse()
        finally:
            watch.cancel()

    def _hang_up(self) -> None:
        with suppress(OSError, AttributeError):  # it has just been closed
            self.sock.shutdown(socket.SHUT_RDWR)


class BoundedHttp(_Bounded):
    """Plain HTTP."""


class BoundedHttps(_Bounded, HTTPSConnection):
    """HTTPS."""
