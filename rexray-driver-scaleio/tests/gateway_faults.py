"""What goes wrong at the simulated gateway, by order of a test."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Literal

from gateway_server import Reply


@dataclass(slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong with requests of a method (a pattern too) whose path has the pattern in it."""

    kind: Literal["answer", "lose", "drop", "slow"]
    method: str
    pattern: str
    left: int | None
    """How many requests it is for yet; None is all."""
    reply: Reply | None = None
    seconds: float = 0.0
    after: bool = False
    used: int = 0
    """How many requests it has hit."""

    def matches(self, method: str, path: str) -> bool:
        return self.left != 0 and bool(re.fullmatch(self.method, method) and re.search(self.pattern, path))


class Faults:
    """Those that are to come; of several that match a request, the first one given, and the first delay besides."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, method: str, path: str) -> tuple[Fault | None, Fault | None]:
        """The fault and the delay of a request."""
        found: dict[bool, Fault] = {}
        with self._lock:
            for fault in self._faults:
                if fault.matches(method, path):
                    found.setdefault(fault.kind == "slow", fault)
            for fault in found.values():
                fault.used += 1
                if fault.left is not None:
                    fault.left -= 1
        return found.get(False), found.get(True)
