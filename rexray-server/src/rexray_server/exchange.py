"""One HTTP/1 request and its answer as bytes: h11, with the patience that old clients of unix sockets need."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import h11

from rexray_server import wsgi

MAX_BODY = 1 << 20
"""The largest body of a request in bytes."""
MAX_HEAD = 16 << 10
"""The largest request line with headers in bytes, and the most that empty lines before a request may take."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


class Refused(Exception):
    """The request cannot be read on; the connection ends with a response of that status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Exchange:
    """A request that arrives in pieces, and its answer, which goes out through ``write``.

    What arrives behind the request is kept as ``rest``, for the next exchange.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.rest = bytearray()
        self._write = write
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._skipped = 0

    @property
    def begun(self) -> bool:
        """Whether anything of the request has arrived."""
        return self._request is not None or bool(self.rest)

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow on the connection, once the answer is sent."""
        return self._h11.our_state is h11.DONE

    def receive(self, data: bytes | bytearray) -> bool:
        """Take bytes in; whether the request is whole now. ``Refused`` if it is none, or too large."""
        self.rest += data
        try:
            if self._request is None and not self._complete_head():
                return False
            return self._read_events()
        except h11.RemoteProtocolError as error:
            raise Refused(error.error_status_hint, str(error)) from None

    def environ(self) -> dict[str, Any]:
        """The WSGI environment of the whole request."""
        assert self._request is not None
        return wsgi.environ_of(self._request, bytes(self._body))

    def send(self, answer: wsgi.Answer, *, last: bool) -> None:
        """Send the answer. ``h11.LocalProtocolError`` if it is not HTTP, or if one is sent already."""
        headers = [*answer.headers, ("Connection", "close")] if last else answer.headers
        without_body = self._request is not None and self._request.method == b"HEAD"
        body = b"" if without_body else answer.body
        events = [h11.Response(status_code=answer.status, headers=headers), h11.Data(data=body), h11.EndOfMessage()]
        self._write(b"".join(self._h11.send(event) or b"" for event in events))

    def _complete_head(self) -> bool:
        """Whether the head is there whole; it then has the Host header that old tools leave out."""
        self._skip_empty_lines()
        end = _END_OF_HEAD.search(self.rest)
        if (len(self.rest) if end is None else end.end()) > MAX_HEAD:
            raise Refused(431, f"the request's head is larger than {MAX_HEAD} bytes")
        if end is None:
            return False
        if b"\nhost:" not in self.rest[: end.end()].lower():
            after_first_line = self.rest.index(b"\n") + 1
            self.rest[after_first_line:after_first_line] = b"Host:\r\n"
        return True

    def _skip_empty_lines(self) -> None:
        """Empty lines before a request are to be ignored (RFC 9112, 2.2), within reason."""
        arrived = len(self.rest)
        self.rest = self.rest.lstrip(b"\r\n")
        self._skipped += arrived - len(self.rest)
        if self._skipped > MAX_HEAD:
            raise Refused(400, f"more than {MAX_HEAD} bytes of empty lines where a request should begin")

    def _read_events(self) -> bool:
        if self.rest:  # no bytes at all would tell h11 that the client has ended
            self._h11.receive_data(bytes(self.rest))
            self.rest.clear()
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MAX_BODY:
                    raise Refused(413, f"the body is larger than {MAX_BODY} bytes")
            elif isinstance(event, h11.EndOfMessage):
                self.rest += self._h11.trailing_data[0]
                return True
            else:
                return False

    def _begin(self, request: h11.Request) -> None:
        self._request = request
        headers = dict(request.headers)
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > MAX_BODY:
            raise Refused(413, f"the body is {int(length)} bytes long: at most {MAX_BODY} are allowed")
        if headers.get(b"expect", b"").lower() == b"100-continue":
            self._write(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
