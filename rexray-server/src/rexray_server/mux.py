"""One listening socket for two protocols: the first bytes of a connection say which it speaks.

HTTP/2 with prior knowledge begins with a fixed preface (RFC 9113, 3.4) and is gRPC here: its bytes are relayed to
grpcio, which listens at a private socket because it cannot be handed a connection. Everything else is HTTP/1 for
the WSGI application. One event loop holds every connection, so idle ones cost no thread.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from concurrent.futures import Executor

from rexray_server.http1 import DEFAULT_LIMITS, HTTPConnection, Limits
from rexray_server.splice import Relay
from rexray_server.wsgi import Application, NotServed

log = logging.getLogger(__name__)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FIRST_BYTES_SECONDS = 60.0
"""How long a connection may take to say what it speaks."""


class Multiplexer:
    """Accepts connections on a listener and gives each its protocol."""

    def __init__(
        self,
        *,
        application: Application | None,
        grpc_path: str,
        executor: Executor,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        switched_off = NotServed("Docker's protocol is switched off here (csi.nodocker)")
        self.application = switched_off if application is None else application
        self.grpc_path = grpc_path
        self.executor = executor
        self.limits = limits
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        # For unix sockets too: create_unix_server would remove the socket's file when it closes, since Python 3.13,
        # and that is the endpoint's to decide.
        self._server = await loop.create_server(lambda: Connection(self), sock=listener, backlog=socket.SOMAXCONN)

    def stop_accepting(self) -> None:
        """Take no new connection and no new request."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.finish()

    async def drain(self, seconds: float) -> None:
        """Let requests under way finish and their answers pass for so long, then close what is left."""
        deadline = asyncio.get_running_loop().time() + seconds
        while any(connection.busy for connection in self.connections):
            if asyncio.get_running_loop().time() > deadline:
                log.warning("closing connections with requests under way", extra={"fields": {"after": f"{seconds:g}s"}})
                break
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()


class Connection(asyncio.Protocol):
    """One accepted connection: sniffs, then hands everything to the protocol that it found."""

    def __init__(self, mux: Multiplexer) -> None:
        self._mux = mux
        self._buffer = b""
        self._chosen: HTTPConnection | Relay | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes, but not for ever."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._mux.connections.add(self)
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(FIRST_BYTES_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Choose when the bytes are enough to tell, then pass them on."""
        if self._chosen is not None:
            self._chosen.data_received(data)
            return
        self._buffer += data
        if len(self._buffer) < len(PREFACE) and PREFACE.startswith(self._buffer):
            return
        self._choose()

    def _choose(self) -> None:
        self._patience.cancel()
        if self._buffer.startswith(PREFACE):
            self._chosen = Relay(self._transport, self._mux.grpc_path)
        else:
            mux = self._mux
            self._chosen = HTTPConnection(self._transport, mux.application, mux.executor, mux.limits)
        buffered, self._buffer = self._buffer, b""
        self._chosen.data_received(buffered)

    def eof_received(self) -> bool:
        """The peer has said all it will say; it may still want the answer."""
        if self._chosen is None:
            if not self._buffer:
                return False
            self._choose()
        assert self._chosen is not None
        return self._chosen.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._patience.cancel()
        self._mux.connections.discard(self)
        if self._chosen is not None:
            self._chosen.connection_lost(error)

    def pause_writing(self) -> None:
        """The peer reads slower than it is written to."""
        if self._chosen is not None:
            self._chosen.pause_writing()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        if self._chosen is not None:
            self._chosen.resume_writing()

    @property
    def busy(self) -> bool:
        """Whether a request is under way or a part of an answer still to be sent."""
        return self._chosen is not None and self._chosen.busy

    def finish(self) -> None:
        """Close as soon as no request is under way and every answer is sent."""
        if self._chosen is None:
            self._transport.close()
        else:
            self._chosen.finish()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()
