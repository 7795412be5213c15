"""HTTP/1 connections for a WSGI application, whose calls run in a pool of threads.

A request is handed to the pool only when it has arrived whole, so a slow client occupies a connection and nothing
else. A connection is in one :class:`State` at a time; :meth:`HTTPConnection._enter` alone changes it::

    IDLE -> RECEIVING (unless all comes at once) -> RUNNING -> BLOCKED (if the client reads too slowly) -> IDLE
    IDLE, RECEIVING -> REFUSED -> CLOSED
    any -> CLOSED
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import h11

from rexray_server import wsgi
from rexray_server.exchange import Exchange, Refused

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a connection may stay in a state, in seconds."""

    request: float = 60.0
    """For a request to arrive, from its first byte."""
    idle: float = 600.0
    """Without a request, or without reading an answer; Docker keeps a connection open and replaces a closed one."""
    linger: float = 5.0
    """For a client to end after a refusal; what it still sends is read and dropped."""


DEFAULT_LIMITS = Limits()


class State(enum.Enum):
    """What a connection is doing."""

    IDLE = enum.auto()
    """Nothing of a request has arrived."""
    RECEIVING = enum.auto()
    """A part of a request has arrived."""
    RUNNING = enum.auto()
    """The call is under way; nothing is read meanwhile."""
    BLOCKED = enum.auto()
    """The client has to read answers before its next request is looked at."""
    REFUSED = enum.auto()
    """The last answer is given and what arrives is dropped: closing with bytes unread would reset the connection
    before the client has read the answer."""
    CLOSED = enum.auto()
    """The transport is closed, or closes once the client has taken what is written."""


class HTTPConnection:
    """One HTTP/1 connection: requests one after another, kept alive as HTTP says."""

    def __init__(
        self,
        transport: asyncio.Transport,
        application: wsgi.Application,
        executor: Executor,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._transport = transport
        self._application = application
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._seconds = {
            State.IDLE: limits.idle,
            State.RECEIVING: limits.request,
            State.BLOCKED: limits.idle,
            State.REFUSED: limits.linger,
        }
        self._timer: asyncio.TimerHandle | None = None
        self._client_is_slow = False
        self._client_has_ended = False
        self._finishing = False
        self._exchange = Exchange(transport.write)
        self._enter(State.IDLE)

    @property
    def busy(self) -> bool:
        """Whether a call is under way or a part of an answer is still to be sent."""
        return self._state is State.RUNNING or self._transport.get_write_buffer_size() > 0

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and run the request once it is whole."""
        if self._state in (State.IDLE, State.RECEIVING):
            self._receive(data)

    def eof_received(self) -> bool:
        """The client sends no more; a request under way is still answered."""
        self._client_has_ended = True
        if self._state is State.REFUSED:
            self._enter(State.CLOSED)
        elif self._state in (State.IDLE, State.RECEIVING):
            self._receive(b"")
        return self._state is not State.CLOSED

    def connection_lost(self, _: Exception | None) -> None:
        """The client is gone; a call under way runs to its end and its answer is dropped."""
        self._enter(State.CLOSED)

    def pause_writing(self) -> None:
        """The client reads slower than it asks: take nothing more from it."""
        self._client_is_slow = True
        self._read_or_wait()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._client_is_slow = False
        if self._state is State.BLOCKED:
            self._next_request()
        else:
            self._read_or_wait()

    def finish(self) -> None:
        """Close once no request is under way."""
        self._finishing = True
        if self._state is not State.RUNNING:
            self._enter(State.CLOSED)

    def _enter(self, state: State) -> None:
        self._state = state
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if state in self._seconds:
            self._timer = self._loop.call_later(self._seconds[state], self._transport.abort)
        if state is State.CLOSED:
            self._transport.close()
        self._read_or_wait()

    def _read_or_wait(self) -> None:
        receptive = self._state in (State.IDLE, State.RECEIVING) and not self._client_is_slow
        if receptive or self._state is State.REFUSED:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    @contextlib.contextmanager
    def _ended_by_errors(self) -> Iterator[None]:
        """End the connection on an error of our own: the client must not wait for an answer that never comes."""
        try:
            yield
        except Exception:
            log.exception("connection ended by an error")
            self._transport.abort()

    def _receive(self, data: bytes | bytearray) -> None:
        """Read the request as far as it has arrived; from IDLE or RECEIVING to where that leads."""
        with self._ended_by_errors():
            try:
                if self._exchange.receive(data):
                    self._run()
                elif not self._client_has_ended:
                    if self._state is State.IDLE and self._exchange.begun:
                        self._enter(State.RECEIVING)
                elif self._exchange.begun:
                    self._refuse(400, "the request ends before it is complete")
                else:
                    self._enter(State.CLOSED)
            except Refused as error:
                self._refuse(error.status, str(error))

    def _run(self) -> None:
        self._enter(State.RUNNING)
        environ = self._exchange.environ()
        call = functools.partial(wsgi.call, self._application, environ)
        if self._application.is_instant(environ):
            self._loop.call_soon(self._answer, call)  # other connections get their turn between pipelined requests
        else:
            self._loop.run_in_executor(self._executor, call).add_done_callback(self._ran)

    def _ran(self, future: asyncio.Future[wsgi.Answer]) -> None:
        if future.cancelled():  # the pool is shut down
            self._transport.abort()
        else:
            self._answer(future.result)

    def _answer(self, result: Callable[[], wsgi.Answer]) -> None:
        """Write the answer, then look for the next request."""
        try:
            answer = result()
        except Exception:
            log.exception("call failed")
            answer = wsgi.fault(500, "internal error: see the log of rexray")
        if self._transport.is_closing():
            return
        with self._ended_by_errors():
            self._exchange.send(answer, last=self._finishing)
            if self._finishing or not self._exchange.reusable:
                self._enter(State.CLOSED)
            elif self._client_is_slow:
                self._enter(State.BLOCKED)
            else:
                self._next_request()

    def _next_request(self) -> None:
        rest = self._exchange.rest
        self._exchange = Exchange(self._transport.write)
        self._enter(State.IDLE)
        self._receive(rest)

    def _refuse(self, status: int, message: str) -> None:
        """Answer what could not be read as a request, and close: what follows cannot be made sense of either."""
        self._enter(State.REFUSED)
        with contextlib.suppress(h11.LocalProtocolError):  # an answer has begun already
            self._exchange.send(wsgi.fault(status, message), last=True)
        if self._client_has_ended:
            self._enter(State.CLOSED)
        else:
            self._transport.write_eof()
