"""Relaying a connection's bytes to the gRPC server's private socket, both ways, at the pace of the slower side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


class Relay:
    """The outer side of a relayed connection; it keeps what arrives until the inner side is connected."""

    def __init__(self, transport: asyncio.Transport, path: str) -> None:
        self._outer = transport
        self._inner: asyncio.Transport | None = None
        self._inner_has_ended = False
        self._waiting: list[bytes] = []
        self._eof = False
        transport.pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._connect(path))

    async def _connect(self, path: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            inner, _ = await loop.create_unix_connection(lambda: _Inner(self._outer, self._end), path)
        except OSError as error:
            log.error("the gRPC server does not answer", extra={"fields": {"error": str(error)}})
            self._outer.abort()
            return
        if self._outer.is_closing():
            inner.abort()
            return
        self._inner = inner
        self._outer.resume_reading()
        inner.writelines(self._waiting)
        self._waiting.clear()
        if self._eof:
            inner.write_eof()

    def _end(self) -> None:
        """The inner side has said all it will say: what it said is still passed on."""
        self._inner_has_ended = True
        self._outer.close()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on to the gRPC server."""
        if self._inner is None:
            self._waiting.append(data)
        else:
            self._inner.write(data)

    def eof_received(self) -> bool:
        """Pass the half-close on; answers may still come."""
        self._eof = True
        if self._inner is not None and self._inner.can_write_eof():
            self._inner.write_eof()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The outer side is gone: so is the inner."""
        if self._inner is not None:
            self._inner.abort() if error else self._inner.close()

    def pause_writing(self) -> None:
        """The client reads slowly: stop reading from the gRPC server."""
        if self._inner is not None:
            self._inner.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._inner is not None and not self._inner.is_closing():
            self._inner.resume_reading()

    @property
    def busy(self) -> bool:
        """Whether the gRPC server may say more, or what it said is still to be sent.

        It drains its own calls and then closes; nothing is known of them here.
        """
        return not self._inner_has_ended or self._outer.get_write_buffer_size() > 0

    def finish(self) -> None:
        """Leave it to the gRPC server, which says goodbye to its clients in their own protocol."""


class _Inner(asyncio.Protocol):
    """The side towards the gRPC server; ``end`` is called when that is done with the connection."""

    def __init__(self, outer: asyncio.Transport, end: Callable[[], None]) -> None:
        self._outer = outer
        self._end = end

    def data_received(self, data: bytes) -> None:
        self._outer.write(data)

    def eof_received(self) -> bool:
        return False  # gRPC never closes half a connection: its server is done with this one

    def connection_lost(self, _: Exception | None) -> None:
        self._end()

    def pause_writing(self) -> None:
        if not self._outer.is_closing():
            self._outer.pause_reading()

    def resume_writing(self) -> None:
        if not self._outer.is_closing():
            self._outer.resume_reading()
