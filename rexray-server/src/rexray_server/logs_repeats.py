"""Errors that come again and again are told once, and then how often: a log that is full hides what matters.

Two errors are the same where the logger, the level, the message, the error and all fields are, but for what differs
with each call. So those of two volumes are two errors.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from rexray_server.logs_records import Prepared

WINDOW = 30.0
"""Seconds in which the same error is told once."""
MOST = 500
"""How many different errors are watched at once; beyond that the oldest is told as if its time were over."""
_VARYING = frozenset({"took", "pid"})

_Key = tuple[object, ...]


@dataclass(slots=True, kw_only=True)
class _Seen:
    """An error that was told; ``count`` is how often it came since."""

    name: str
    level: int
    last: Prepared
    since: float
    count: int = 0


class Repeats:
    """Which records are mere repetitions. Its caller sees to it that one thread at a time uses it."""

    def __init__(
        self, *, window: float = WINDOW, most: int = MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._window, self._most, self._clock = window, most, clock
        self._seen: OrderedDict[_Key, _Seen] = OrderedDict()

    def admit(self, record: logging.LogRecord) -> Iterator[logging.LogRecord]:
        """What is to be written now that this record has come, in order."""
        yield from self.due()
        found = Prepared.of(record)
        if not _is_error(record, found):
            yield record
            return
        key = _key(record, found)
        if (seen := self._seen.get(key)) is not None:
            seen.count += 1
            seen.last = replace(found, traceback="")
            return
        if len(self._seen) >= self._most:
            _, oldest = self._seen.popitem(last=False)
            yield from self._told(oldest)
        last = replace(found, traceback="")
        self._seen[key] = _Seen(name=record.name, level=record.levelno, last=last, since=self._clock())
        yield record

    def due(self) -> Iterator[logging.LogRecord]:
        """The counts of those whose time is over; what was repeated is watched for another while."""
        now = self._clock()
        while self._seen:
            key, seen = next(iter(self._seen.items()))
            if seen.since + self._window > now:
                return
            del self._seen[key]
            if seen.count:
                self._seen[key] = replace(seen, since=now, count=0)
                yield from self._told(seen)

    def due_in(self) -> float | None:
        """Seconds until there is something to tell; None if nothing is repeated."""
        until = [seen.since + self._window for seen in self._seen.values() if seen.count]
        return max(0.0, min(until) - self._clock()) if until else None

    def flush(self) -> Iterator[logging.LogRecord]:
        """All counts; nothing is watched any more."""
        while self._seen:
            yield from self._told(self._seen.popitem(last=False)[1])

    def _told(self, seen: _Seen) -> Iterator[logging.LogRecord]:
        if not seen.count:
            return
        times = "once" if seen.count == 1 else f"{seen.count} times"
        fields = {**seen.last.fields, "repeated": seen.count}
        told = replace(seen.last, message=f"{seen.last.message} (repeated {times})", fields=fields)
        record = logging.LogRecord(seen.name, seen.level, "", 0, told.message, None, None)
        told.attach(record)
        yield record


def _is_error(record: logging.LogRecord, found: Prepared) -> bool:
    """At debug everything is wanted."""
    return record.levelno >= logging.WARNING or (
        record.levelno >= logging.INFO and bool(found.error or "error" in found.fields)
    )


def _key(record: logging.LogRecord, found: Prepared) -> _Key:
    fields = tuple(sorted((name, str(value)) for name, value in found.fields.items() if name not in _VARYING))
    return (record.name, record.levelno, found.message, found.error, fields)
