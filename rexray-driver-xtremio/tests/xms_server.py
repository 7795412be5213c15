"""The HTTPS server of a simulated XMS: connections, TLS, HTTP/1.1, faults and the record of calls."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import xms_rules as rules
from xms_faults import Call, Fault
from xms_store import Refused

if TYPE_CHECKING:
    from xms_parts import Xms

MAX_BODY = 1 << 20
MAX_HANDSHAKE_S = 30


class Server(ThreadingHTTPServer):
    """A thread for each connection, which makes the TLS handshake too: one that stalls holds up no other."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, xms: Xms, port: int) -> None:
        self.xms = xms
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._closed = False
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that break off are part of the tests; other errors of handlers are answered with 500."""

    def secure(self, connection: socket.socket) -> ssl.SSLSocket:
        """Make the handshake; the plain socket is known meanwhile, so that ``stop`` can end it."""
        with self._changed:
            if self._closed:
                connection.close()
                raise ConnectionAbortedError("the server was stopped")
            self._connections.add(connection)
        try:
            connection.settimeout(MAX_HANDSHAKE_S)
            secured = self.xms.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            with self._changed:
                self._connections.add(secured)
            try:
                secured.do_handshake()
                secured.settimeout(None)
            except BaseException:
                self.forget(secured)
                raise
            return secured
        finally:
            self.forget(connection)

    def forget(self, connection: socket.socket) -> None:
        connection.close()
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()

    def drop_connections(self) -> None:
        with self._changed:
            self._closed = True
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._connections, 10)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        self.request = self.server.secure(self.request)
        super().setup()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        self.server.forget(self.request)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            self.close_connection = True
            return
        raw = self.rfile.read(length)
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        try:
            body = json.loads(raw) if raw.strip() else {}
        except ValueError:
            body = None
        xms = self.server.xms
        fault = xms.faults.take(self.command, self.path)
        if fault is not None and fault.act == "slow" and not fault.after:
            xms.stopping.wait(fault.seconds)
        status, content, headers = self._outcome(fault, parts.path, query, body)
        answered = status if fault is None or fault.act not in ("lose_answer", "drop_before") else 0
        xms.record(
            Call(
                method=self.command,
                path=parts.path,
                query=query,
                status=answered,
                thread=threading.get_ident(),
                body=body if isinstance(body, dict) else {},
            )
        )
        if fault is not None and fault.act == "slow" and fault.after:
            xms.stopping.wait(fault.seconds)
        if answered:
            self._send(status, content, headers)
        else:
            self.close_connection = True

    def _outcome(
        self, fault: Fault | None, path: str, query: dict[str, list[str]], body: Any
    ) -> tuple[int, bytes, dict[str, str]]:
        """Carry a request out, unless a fault is in its place: the status, the body and more headers."""
        if fault is not None:
            if fault.act == "drop_before":
                return 0, b"", {}
            if fault.act == "html":
                return (
                    fault.status,
                    b"<html><body>XtremIO Management Server</body></html>",
                    {"Content-Type": "text/html"},
                )
            if fault.act == "throttle":
                return fault.status, b"", {"Retry-After": fault.text}
            if fault.act == "refuse":
                return fault.status, _error(fault.text, fault.status), {}
        if not self.server.xms.may(self.headers.get("Authorization", "")):
            return 401, _error("Unauthorized", 401), {"WWW-Authenticate": 'Basic realm="XtremIO"'}
        if not isinstance(body, dict):
            return 400, _error("Command Syntax Error: Invalid JSON", 400), {}
        origin = f"https://{self.headers.get('Host', '')}"
        request = rules.Request(method=self.command, path=path, query=query, body=body, origin=origin)
        store = self.server.xms.store
        try:
            with store.lock:
                status, content = rules.answer(store, request)
        except Refused as error:
            return error.status, _error(error.message, error.status), {}
        except Exception as error:  # noqa: BLE001 - a bug of the simulator is to be seen by the test
            return 500, _error(f"simulator: {type(error).__name__}: {error}", 500), {}
        return status, b"" if content is None else json.dumps(content).encode(), {}

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        # in one piece: two would wait for each other's acknowledgement
        self._headers_buffer.append(b"\r\n" + content)  # type: ignore[attr-defined]
        self.flush_headers()

    do_GET = do_POST = do_PUT = do_DELETE = _serve


def _error(message: str, status: int) -> bytes:
    return json.dumps({"message": message, "error_code": status}).encode()
