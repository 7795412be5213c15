"""Which calls are made again by themselves: those that EC2 had no time for, and those whose repetition is harmless.

The SDK's own retries share a budget between all actions and give up at once when that is used up, as under heavy
throttling; they are switched off, and this takes their place, by the event that they use themselves.
"""

from __future__ import annotations

import random
from typing import Any

from rexray_driver_ec2.pacing import Pacer
from rexray_driver_ec2.refusals import is_throttled

LONGEST_DELAY = 10.0
THROTTLED_TRIES = 100
"""Tries of a call that EC2 throttles: it is held up for a quarter of an hour before it fails."""
UNREACHED_TRIES = 3
"""Tries of a call that gets no answer, each of which may take as long as a connection's time limits."""


class Retries:
    """Says how long to wait before a call is made again, or that it is not.

    ``most`` is how often a call is repeated that failed on EC2's side; with ``once`` it is not, for it may have taken
    effect. A throttled call has no effect, and is always repeated.
    """

    def __init__(self, pacer: Pacer, *, most: int, once: bool) -> None:
        self._pacer = pacer
        self._most = 0 if once else most
        self._once = once

    def before_send(self, event_name: str, **_: Any) -> None:
        """Wait for the action's turn; each try has to."""
        self._pacer.wait(event_name.rpartition(".")[2])

    def needs_retry(self, event_name: str, attempts: int, response: Any, **_: Any) -> float | None:
        """Seconds to wait before the next try, None if there is to be none."""
        if response is None:  # no answer
            return None if self._once or attempts > min(self._most, UNREACHED_TRIES) else _delay(attempts)
        http, parsed = response
        if is_throttled(parsed.get("Error", {}).get("Code", "")):
            self._pacer.throttled(event_name.rpartition(".")[2])
            return _delay(attempts) if attempts < THROTTLED_TRIES else None
        return _delay(attempts) if http.status_code >= 500 and attempts <= self._most else None


def _delay(attempts: int) -> float:
    """Twice as long each time, and anything between a tenth and all of that: many processes must not march in step."""
    return min(LONGEST_DELAY, 0.2 * 2.0 ** min(attempts, 10)) * random.uniform(0.1, 1.0)
