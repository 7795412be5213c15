"""Many callers' questions as one call: each asks for one thing, and one of them asks EC2 for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

from rexray.errors import RexrayError, Unavailable

V = TypeVar("V")

ALONE_SECONDS = 0.1
"""The pause between two calls while nobody else asks."""
TOGETHER_SECONDS = 1.5
"""The pause between two calls while many ask: what is asked meanwhile goes into the next call."""


class _Batch(Generic[V]):
    """Keys that are asked for in one call; ``due`` ends the wait for more of them."""

    __slots__ = ("due", "ended", "error", "found", "keys")

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.due = threading.Event()
        self.ended = threading.Event()
        self.found: Mapping[str, V] = {}
        self.error: BaseException | None = None


class Batcher(Generic[V]):
    """Asks for what callers want to know, at most ``most`` keys in a call.

    ``fetch`` is given the keys and answers with those that exist. An answer is never older than the question.
    """

    def __init__(self, fetch: Callable[[Collection[str]], Mapping[str, V]], *, most: int) -> None:
        self._fetch = fetch
        self._most = most
        self._lock = threading.Lock()
        self._open: _Batch[V] | None = None
        self._next = 0.0

    def get(self, key: str) -> V | None:
        """What there is by that key, None if nothing; the error of the call is every caller's."""
        with self._lock:
            batch = self._open
            first = batch is None
            if batch is None:
                batch = self._open = _Batch()
            batch.keys.add(key)
            if len(batch.keys) >= self._most:
                self._close(batch)
        if first:
            self._ask(batch)
        else:
            batch.ended.wait()
            if batch.error is not None:
                raise _copy_of(batch.error) from batch.error.__cause__
        return batch.found.get(key)

    def _ask(self, batch: _Batch[V]) -> None:
        try:
            batch.due.wait(max(0.0, self._next - time.monotonic()))
            with self._lock:
                self._close(batch)
                pause = TOGETHER_SECONDS if len(batch.keys) > 1 else ALONE_SECONDS
                self._next = time.monotonic() + pause
            batch.found = self._fetch(batch.keys)
        except BaseException as error:
            batch.error = error
            raise
        finally:
            with self._lock:
                self._close(batch)
            batch.ended.set()

    def _close(self, batch: _Batch[V]) -> None:
        """Take no more keys; the lock is held."""
        if self._open is batch:
            self._open = None
        batch.due.set()


def _copy_of(error: BaseException) -> BaseException:
    """An error of one's own for each thread: a traceback is only one thread's. An interrupt is only its thread's."""
    if isinstance(error, RexrayError):
        return type(error)(*error.args)
    return Unavailable("EC2 was asked by another thread, which was interrupted: try again")
