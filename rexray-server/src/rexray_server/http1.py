"""HTTP/1 connections for a WSGI application: h11 reads and writes the protocol, a pool of threads runs the calls.

A request is handed to the pool only when it has arrived whole, so a slow client occupies a connection and nothing
else. Plug-in calls are small: a body beyond :data:`MAX_BODY` is refused unread.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Any

import h11

log = logging.getLogger(__name__)

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

MAX_BODY = 1 << 20
"""The largest body of a request in bytes."""
MAX_HEAD = 16 << 10
"""The largest request line with headers in bytes."""
IDLE_SECONDS = 600.0
"""How long a connection without a request is kept; Docker keeps one open and opens another when it is closed."""
REQUEST_SECONDS = 60.0
"""How long a request may take to arrive."""
LINGER_SECONDS = 5.0
"""How long what a client still sends after a refusal is read and dropped."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


class _Refused(Exception):
    """The request cannot be read on; the connection ends with a response of that status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HTTPConnection:
    """One HTTP/1 connection: requests one after another, kept alive as HTTP says."""

    def __init__(self, transport: asyncio.Transport, application: WSGIApplication | None, executor: Executor) -> None:
        self._transport = transport
        self._application = application
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._head = b""
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._eof = False
        self._finishing = False
        self._refused = False
        self.busy = False
        self._timer = self._loop.call_later(REQUEST_SECONDS, self._expire)

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and run the request once it is whole."""
        if self._refused:
            return
        try:
            self._feed(data)
            self._advance()
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, str(error))
        except _Refused as error:
            self._refuse(error.status, str(error))

    def eof_received(self) -> bool:
        """The client sends no more; a request under way is still answered."""
        if self._refused:
            return False
        self._eof = True
        if self.busy:
            return True
        if self._request is not None or self._head:
            self._refuse(400, "the request ends before it is complete")
            return True
        return False

    def connection_lost(self, _: Exception | None) -> None:
        """The client is gone; a call under way runs to its end and its answer is dropped."""
        self._timer.cancel()

    def finish(self) -> None:
        """Close once no request is under way."""
        self._finishing = True
        if not self.busy:
            self._transport.close()

    def _feed(self, data: bytes) -> None:
        """Give h11 the bytes; a head first gets the Host header that old tools on unix sockets leave out."""
        if self._request is not None or self.busy:
            self._h11.receive_data(data)
            return
        self._head += data
        while self._head[:1] in (b"\r", b"\n"):
            self._head = self._head[1:]  # RFC 9112, 2.2: empty lines before a request are to be ignored
        end = _END_OF_HEAD.search(self._head)
        if (len(self._head) if end is None else end.end()) > MAX_HEAD:
            raise _Refused(431, f"the request's head is larger than {MAX_HEAD} bytes")
        if end is None:
            return
        head, rest, self._head = self._head[: end.end()], self._head[end.end() :], b""
        if b"\nhost:" not in head.lower():
            line, newline, headers = head.partition(b"\n")
            head = line + newline + b"Host:\r\n" + headers
        self._h11.receive_data(head + rest)

    def _advance(self) -> None:
        if self.busy:
            return
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MAX_BODY:
                    raise _Refused(413, f"the body is larger than {MAX_BODY} bytes")
            elif isinstance(event, h11.EndOfMessage):
                self._run()
                return
            else:
                return

    def _begin(self, request: h11.Request) -> None:
        self._request = request
        headers = dict(request.headers)
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > MAX_BODY:
            raise _Refused(413, f"the body is {int(length)} bytes long: at most {MAX_BODY} are allowed")
        if headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")

    def _run(self) -> None:
        assert self._request is not None
        self._timer.cancel()
        self.busy = True
        self._transport.pause_reading()
        environ = _environ(self._request, bytes(self._body))
        self._body.clear()
        future = self._loop.run_in_executor(self._executor, _call, self._application, environ)
        future.add_done_callback(self._answer)

    def _answer(self, future: asyncio.Future[tuple[int, list[tuple[str, str]], bytes]]) -> None:
        """Write the answer, then look for the next request."""
        self.busy = False
        if self._transport.is_closing():
            return
        status, headers, body = future.result()
        method = self._request.method if self._request else b""
        self._send(status, headers, b"" if method == b"HEAD" else body)
        self._request = None
        pending, _ = self._h11.trailing_data
        if self._finishing or self._h11.our_state is not h11.DONE or (self._eof and not pending):
            self._transport.close()
            return
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._timer = self._loop.call_later(IDLE_SECONDS, self._expire)
        self._transport.resume_reading()
        if pending:
            self.data_received(pending)
        if self._eof and not self.busy:
            self._transport.close()

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        if self._finishing:
            headers = [*headers, ("Connection", "close")]
        events = [h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()]
        self._transport.write(b"".join(self._h11.send(event) or b"" for event in events))

    def _refuse(self, status: int, message: str) -> None:
        """Answer what could not be read as a request, and close: what follows cannot be made sense of either."""
        body = json.dumps({"Err": message}).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        self._refused = True
        with contextlib.suppress(h11.LocalProtocolError):  # an answer has begun already
            self._send(status, headers, body)
        if self._eof:
            self._transport.close()
            return
        # Closing now, with bytes unread, would reset the connection before the client has read the answer.
        self._transport.write_eof()
        self._timer.cancel()
        self._timer = self._loop.call_later(LINGER_SECONDS, self._expire)

    def _expire(self) -> None:
        self._transport.abort()


def _environ(request: h11.Request, body: bytes) -> dict[str, Any]:
    """The WSGI environment of a request (PEP 3333)."""
    target = request.target.decode("latin-1")
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method.decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/" + request.http_version.decode("latin-1"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value.decode("latin-1")
        elif key not in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
            environ["HTTP_" + key] = value.decode("latin-1")
    return environ


def _call(application: WSGIApplication | None, environ: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
    """Run the application to its end; it runs in a thread of the pool."""
    started: list[tuple[int, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
        started.append((int(status.split(" ", 1)[0]), headers))

    if application is None:
        body = b'{"Err": "Docker\'s protocol is switched off here (csi.nodocker)"}'
        return 404, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body
    chunks = application(environ, start_response)
    body = b"".join(chunks)
    status, headers = started[-1]
    return status, headers, body
