"""A small HTTP server for a few readers that may be slow, be gone, or be many.

It serves at most :data:`CONNECTIONS` at once; the oldest one makes way for the next, so that nobody who holds
connections open keeps a scrape out.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from rexray.csi.settings import Endpoint
from rexray.errors import RexrayError
from rexray_server import endpoint as endpoints

log = logging.getLogger(__name__)

CONNECTIONS = 16
"""Connections that are served at once."""
IDLE_SECONDS = 5.0
"""How long a reader may take for each thing that it is waited for."""
RETRY_SECONDS = 5.0
"""How long until an address that could not be had is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: its HTTP status, the type of its content, and that."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Answer = Callable[[str, str, str], Reply]
"""``answer(path, query, accept)``, called by several threads at once."""


class Listener:
    """Serves an endpoint. An address that is taken does not keep the daemon from its work: it is tried again."""

    def __init__(self, endpoint: Endpoint, answer: Answer, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._endpoint = endpoint
        self._retry_seconds = retry_seconds
        self._answer = answer
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[socket.socket, None] = {}
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="monitoring", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that it listens at: the port that was found, where the endpoint's is 0."""
        assert self._socket is not None
        host, port, *_ = self._socket.getsockname()
        return host, port

    def start(self) -> None:
        """Listen now if that is possible, and serve from then on."""
        self._listen()
        self._thread.start()

    def close(self) -> None:
        """Listen no more, and leave whoever is still served."""
        self._closed.set()
        with self._lock:
            ended = [*self._open, *([self._socket] if self._socket is not None else [])]
        for each in ended:
            _end(each)
        self._thread.join(IDLE_SECONDS)

    def _listen(self) -> socket.socket | None:
        try:
            listener = endpoints.listen(self._endpoint, mode=0o600, user="", group="")
        except RexrayError as error:
            fields = {"error": str(error), "again": f"{self._retry_seconds:g}s"}
            log.error("metrics are not served", extra={"fields": fields})
            return None
        with self._lock:
            self._socket = listener
        log.info("metrics", extra={"fields": {"at": self._endpoint}})
        return listener

    def _run(self) -> None:
        listener = self._socket
        while listener is None:
            if self._closed.wait(self._retry_seconds):
                return
            listener = self._listen()
        with listener:
            while not self._closed.is_set():
                self._accept(listener)
            endpoints.withdraw(self._endpoint)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # no file descriptor is free, or the listener ends
            self._closed.wait(0.1)
            return
        self._make_way(connection)
        try:
            threading.Thread(target=self._serve, args=(connection,), name="monitoring-reader", daemon=True).start()
        except RuntimeError:  # no thread can be started
            self._forget(connection)
            connection.close()

    def _make_way(self, connection: socket.socket) -> None:
        with self._lock:
            oldest = next(iter(self._open)) if len(self._open) >= CONNECTIONS else None
            if oldest is not None:
                del self._open[oldest]
            self._open[connection] = None
        if oldest is not None:
            _end(oldest)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):  # a reader that is gone, or has made way
                _Reader(connection, self._answer)
        finally:
            self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)


def _end(connection: socket.socket) -> None:
    """Wake whoever reads from or writes to the socket, which then closes it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Reader(BaseHTTPRequestHandler):
    """One connection, for one request."""

    timeout = IDLE_SECONDS
    server_version = "rexray"
    sys_version = ""

    def __init__(self, connection: socket.socket, answer: Answer) -> None:
        self._answer = answer
        super().__init__(connection, ("", 0), None)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer it."""
        try:
            parts = urlsplit(self.path)
        except ValueError:
            self.send_error(400)
            return
        try:
            reply = self._answer(parts.path, parts.query, ",".join(self.headers.get_all("Accept") or ()))
        except Exception:
            log.exception("no answer", extra={"fields": {"call": parts.path}})
            reply = Reply(status=500, body=b"internal error: see the log of rexray\n")
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Readers come every few seconds, and are no news."""
