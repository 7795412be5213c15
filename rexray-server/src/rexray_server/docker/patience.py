"""Looks at a platform that nobody waits for longer than some seconds, however long the platform's own timeout is.

dockerd looks at every volume that it remembers before it answers anybody after a restart, and gives each a minute (the
Docker Engine's ``volume/drivers/proxy.go``, ``shortTimeout``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Expired
from typing import TypeVar

from rexray import calls
from rexray.errors import Busy, TimedOut

T = TypeVar("T")

SECONDS = 10.0
"""More than a look takes where a platform works."""
MOST_OVERDUE = 256
"""How many looks that nobody waits for any more may be under way, each in a thread of its own."""


class Patience:
    """Looks by a key each: one that is overdue makes the next by that key fail at once, until the platform answers."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._overdue: dict[str, int] = {}

    def look(self, key: str, what: str, look: Callable[[], T]) -> T:
        """What the look finds, or its error; ``TimedOut`` says ``what`` was not answered."""
        with self._lock:
            if key in self._overdue:
                raise TimedOut(f"{what}: the storage platform has still not answered an earlier call: try again")
            if len(self._overdue) >= MOST_OVERDUE:
                raise Busy(f"{what}: the storage platform has not answered {MOST_OVERDUE} earlier calls: try again")
        found: Future[T] = Future()
        threading.Thread(target=calls.carried(_run), args=(look, found), name="docker-look", daemon=True).start()
        try:
            return found.result(self._seconds)
        except Expired:
            if found.done():  # the look's own error, or its answer after all
                return found.result()
            self._give_up(key, found)
            raise TimedOut(f"{what}: no answer from the storage platform within {self._seconds:g} s") from None

    def _give_up(self, key: str, found: Future[T]) -> None:
        with self._lock:
            self._overdue[key] = self._overdue.get(key, 0) + 1
        found.add_done_callback(lambda _: self._answered(key))

    def _answered(self, key: str) -> None:
        with self._lock:
            self._overdue[key] -= 1
            if not self._overdue[key]:
                del self._overdue[key]


def _run(look: Callable[[], T], found: Future[T]) -> None:
    try:
        found.set_result(look())
    except BaseException as error:  # noqa: BLE001 it is for whoever waits
        found.set_exception(error)
