"""What all threads need is asked for by one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
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
        self._tries = 0
        self._failure: RexrayError | None = None

    def get(self, ended: T | None = None) -> T:
        """The answer, asked for anew if there is none, or still the one that has ``ended``."""
        tries = self._tries
        with self._lock:
            if self._found is not None and self._found is not ended:
                return self._found
            if self._failure is not None and self._tries != tries:
                raise _again(self._failure)
            try:
                self._found, self._failure = self._ask(), None
            except RexrayError as error:
                self._failure = error
                raise
            finally:
                self._tries += 1
            return self._found


def _again(error: RexrayError) -> RexrayError:
    """The same for another thread: a raised error gathers the places that it passes."""
    other = type(error)(*error.args)
    other.__cause__ = error.__cause__
    return other
