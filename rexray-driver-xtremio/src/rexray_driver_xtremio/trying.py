"""When a change is tried again.

A request may take effect late, and what it names may be something else by then: a change is sent once for each look at
what it is to change. Between two looks this waits.
"""

from __future__ import annotations

import random
import time

from rexray.errors import Busy, RexrayError

TRIES = 5
"""How often a change is tried whose answer was lost, or which something else got in the way of."""
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds between two tries while the array is busy."""


class Pauses:
    """Pauses that grow and differ from each other, until so many seconds have passed."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._pause = FIRST_PAUSE

    def wait(self) -> bool:
        """Wait for the next try; False, at once, if there is no time for one."""
        left = self._until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, self._pause * random.uniform(0.5, 1.0)))
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return True


class Tries:
    """The tries of one change: several where something got in its way, as many as there is time for while it is busy.

    Who uses it looks again before each of them.
    """

    def __init__(self, busy_seconds: float) -> None:
        self._pauses = Pauses(busy_seconds)
        self._left = TRIES

    def again(self, error: RexrayError, *kinds: type[RexrayError]) -> bool:
        """Whether to look and try again after that error: the array was busy, or it is one of the kinds."""
        if isinstance(error, Busy):
            return self._pauses.wait()
        self._left -= 1
        return isinstance(error, kinds) and self._left > 0

    def after(self, error: RexrayError, *kinds: type[RexrayError]) -> None:
        """Return if it makes sense to look and try again after that error; else raise it."""
        if not self.again(error, *kinds):
            raise error
