"""How fast EC2 may be called: as fast as one likes until it throttles, and then at the pace that it allows."""

from __future__ import annotations

import random
import threading
import time

FLOOR = 5.0
"""Calls a second below which no pace falls: what EC2 refills the buckets of most actions with at least."""
_RISE = 1.5
_FALL = 0.7
_BURST = 5.0
_LONGEST_RISE = 60.0
"""Seconds after which any rate is as good as none."""


class Pacer:
    """A token bucket for each action, which is only there once EC2 has throttled that action.

    A throttled call makes the bucket's rate 0.7 times what was called before, never less than :data:`FLOOR`; it then
    rises by half each second until it is as good as none, and is forgotten.
    """

    def __init__(self, forget_above: float = 1000.0) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}
        self._recent: dict[str, tuple[float, int]] = {}
        self._forget_above = forget_above

    def wait(self, action: str) -> None:
        """Wait for the action's turn, a little longer at random so that many processes do not march in step."""
        with self._lock:
            now = time.monotonic()
            self._count(action, now)
            bucket = self._buckets.get(action)
            if bucket is None:
                return
            if bucket.rise(now) > self._forget_above:
                del self._buckets[action]
                return
            pause = bucket.take(now)
        if pause > 0:
            time.sleep(pause * random.uniform(1.0, 1.2))

    def throttled(self, action: str) -> None:
        """EC2 refused a call of the action for its pace."""
        with self._lock:
            now = time.monotonic()
            bucket = self._buckets.get(action)
            if bucket is None:
                self._buckets[action] = _Bucket(self._rate(action, now) * _FALL, now)
            else:
                bucket.fall(now)

    def _count(self, action: str, now: float) -> None:
        since, count = self._recent.get(action, (now, 0))
        self._recent[action] = (now, 1) if now - since > 1.0 else (since, count + 1)

    def _rate(self, action: str, now: float) -> float:
        since, count = self._recent.get(action, (now, 0))
        return count / max(now - since, 1.0)


class _Bucket:
    """Tokens that come at a rate; the caller holds the pacer's lock."""

    __slots__ = ("_changed", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = max(rate, FLOOR)
        self._tokens = _BURST
        self._updated = self._changed = now

    def rise(self, now: float) -> float:
        """The rate, which has risen since it last fell."""
        return float(self._rate * _RISE ** min(now - self._changed, _LONGEST_RISE))

    def fall(self, now: float) -> None:
        """Be slower from now on; refusals of one moment count once."""
        if now - self._changed > 0.5:
            self._rate, self._changed = max(self.rise(now) * _FALL, FLOOR), now

    def take(self, now: float) -> float:
        """Take a token, and say how many seconds it takes until it is there."""
        rate = self.rise(now)
        self._tokens = min(_BURST, self._tokens + (now - self._updated) * rate) - 1.0
        self._updated = now
        return max(0.0, -self._tokens / rate)
