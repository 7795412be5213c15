"""What tests make go wrong in a simulated XMS, and the record of the calls that it got."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Act = Literal["refuse", "lose_answer", "drop_before", "slow", "throttle", "html"]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request as it came; ``status`` is 0 if it was not answered. ``thread`` is one for each connection."""

    method: str
    path: str
    query: dict[str, list[str]]
    status: int
    thread: int
    body: dict[str, Any]


@dataclass(kw_only=True)
class Fault:
    """One thing to go wrong, for so many requests that match."""

    act: Act
    method: re.Pattern[str]
    pattern: re.Pattern[str]
    times: int
    status: int = 400
    text: str = ""
    seconds: float = 0.0
    after: bool = False


class Faults:
    """The faults to come; each request uses the first one that matches it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, act: Act, method: str, pattern: str, times: int, **facts: Any) -> None:
        fault = Fault(act=act, method=re.compile(method), pattern=re.compile(pattern), times=times, **facts)
        with self._lock:
            self._faults.append(fault)

    def take(self, method: str, target: str) -> Fault | None:
        """The fault of a request; ``target`` is its path and query."""
        with self._lock:
            for fault in self._faults:
                if fault.times > 0 and fault.method.fullmatch(method) and fault.pattern.search(target):
                    fault.times -= 1
                    return fault
        return None

    @property
    def left(self) -> int:
        """How many uses of faults there are still."""
        with self._lock:
            return sum(fault.times for fault in self._faults)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()


class Injecting:
    """The methods of a simulator that make it fail; ``method`` and ``pattern`` are regular expressions.

    ``method`` has to match in full, ``pattern`` somewhere in the path and query.
    """

    def __init__(self) -> None:
        self.faults = Faults()
        self._calls_lock = threading.Lock()
        self._calls: list[Call] = []
        self.on_call: list[Callable[[Call], None]] = []
        """Told of each request after it was carried out, before its answer is sent."""

    @property
    def calls(self) -> list[Call]:
        """The calls up to now, in the order in which they ended."""
        with self._calls_lock:
            return self._calls[:]

    def clear_calls(self) -> None:
        with self._calls_lock:
            self._calls.clear()

    def record(self, call: Call) -> None:
        with self._calls_lock:
            self._calls.append(call)
        for watcher in self.on_call:
            watcher(call)

    def refuse(self, method: str, pattern: str, *, status: int = 400, message: str, times: int = 1) -> None:
        """Answer with an error and carry nothing out."""
        self.faults.add("refuse", method, pattern, times, status=status, text=message)

    def busy(self, times: int = 1, method: str = ".*", pattern: str = "") -> None:
        self.refuse(method, pattern, message="system_is_busy", times=times)

    def lose_answer(self, method: str, pattern: str, times: int = 1) -> None:
        """Carry the request out, then close the connection without an answer."""
        self.faults.add("lose_answer", method, pattern, times)

    def drop_before(self, method: str, pattern: str, times: int = 1) -> None:
        """Close the connection and carry nothing out."""
        self.faults.add("drop_before", method, pattern, times)

    def slow(self, method: str, pattern: str, seconds: float, times: int = 1, after: bool = False) -> None:
        """Wait before the request is carried out, or between that and its answer."""
        self.faults.add("slow", method, pattern, times, seconds=seconds, after=after)

    def throttle(self, times: int = 1, retry_after: str = "1", method: str = ".*", pattern: str = "") -> None:
        """Answer 429 with Retry-After; a proxy before an XMS does that."""
        self.faults.add("throttle", method, pattern, times, status=429, text=retry_after)

    def html(self, times: int = 1, *, status: int = 200, method: str = ".*", pattern: str = "") -> None:
        """Answer with a page of HTML and carry nothing out."""
        self.faults.add("html", method, pattern, times, status=status)
