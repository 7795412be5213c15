"""What all threads need is asked for by one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from rexray.errors import RexrayError

T = TypeVar("T")


class Shared(Generic[T]):
    """An answer that is asked for once, for all threads.

    Those that waited for it share a failure as well: with a gateway that is down, none of them has to wait for the
    tries of all others.
    """

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._found: T | None = None
        self._asked: Future[T] | None = None

    def get(self, ended: T | None = None) -> T:
        """The answer, asked for anew if there is none, or still the one that has ``ended``."""
        while True:
            with self._lock:
                if self._found is not None and self._found is not ended:
                    return self._found
                others = self._asked
                if others is None:
                    mine = self._asked = Future()
            if others is None:
                return self._answer(mine)
            failure = others.exception()  # waits, and for this one try only, however many others begin one after it
            if failure is None:
                return others.result()
            if isinstance(failure, RexrayError):
                raise _again(failure)

    def _answer(self, mine: Future[T]) -> T:
        """Ask, and tell those who wait."""
        try:
            found = self._ask()
        except BaseException as error:
            with self._lock:
                self._asked = None
            mine.set_exception(error)
            raise
        with self._lock:  # before anybody is told, who may find soon that it has ended
            self._found, self._asked = found, None
        mine.set_result(found)
        return found


def _again(error: RexrayError) -> RexrayError:
    """The same for another thread: a raised error gathers the places that it passes."""
    other = type(error)(*error.args)
    other.__cause__ = error.__cause__
    return other
