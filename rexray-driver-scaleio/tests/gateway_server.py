"""The HTTPS server of the simulated gateway: HTTP/1.1 with connections that are kept, a thread for each.

Werkzeug's server closes every connection after one answer, and does handshakes where it accepts; clients of the real
gateway keep connections, so this one does too.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANDSHAKE_SECONDS = 30.0
STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    """As it was sent, with its query, not decoded."""
    headers: Message
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Application = Callable[[Request], Reply | None]
"""None closes the connection with no answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def _serve(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            self._send(Reply(411))
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reply = self.server.application(Request(self.command, self.path, self.headers, body))
        if reply is None:
            self.close_connection = True
        else:
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.content)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _serve

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Serves from ``start`` to ``stop``."""

    request_queue_size = 512
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, context: ssl.SSLContext, application: Application) -> None:
        self.context = context
        self.application = application
        self._idle = threading.Condition()
        self._connections: set[socket.socket] = set()
        self._stopping = False
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="gateway", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread: a client that stalls there stalls nobody else."""
        tls = self.context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        with tls:
            with self._idle:
                if self._stopping:
                    return
                self._connections.add(tls)
            try:
                tls.settimeout(HANDSHAKE_SECONDS)
                tls.do_handshake()
                tls.settimeout(None)
                _Handler(tls, client_address, self)
            except OSError:
                pass  # the client went, or this server stops
            finally:
                with self._idle:
                    self._connections.discard(tls)
                    self._idle.notify_all()

    def stop(self) -> None:
        """Close the port and every connection, and wait for their threads."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._idle:
            self._stopping = True
            for connection in self._connections:
                with suppress(OSError):
                    # the socket's own, since that of TLS would take the encryption away under a thread that writes
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            if not self._idle.wait_for(lambda: not self._connections, STOP_SECONDS):
                raise RuntimeError(f"{len(self._connections)} connections to the simulated gateway do not end")
