"""Idempotency tokens of volumes: derived from the name, so that a create that is repeated makes nothing new."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import TypeVar

V = TypeVar("V")

GENERATIONS = 1000
"""How many volumes of a name can be deleted while EC2 remembers their tokens."""
SPENT_SECONDS = 4 * 3600.0
"""How long a token is known to be good for nothing; EC2 remembers it longer."""
DYING_SECONDS = 60.0
"""How long EC2 may still show a volume as it was before it was deleted."""
REMEMBERED = 10_000


class Tokens:
    """The tokens of names, with those left out that this process knows to be a deleted volume's.

    EC2 repeats its first answer for a token for hours, whatever became of the volume: each deletion of a volume makes
    its name go on to the next token.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: OrderedDict[str, str] = OrderedDict()
        self._spent: OrderedDict[str, float] = OrderedDict()
        self._removed: OrderedDict[str, float] = OrderedDict()

    def of(self, name: str) -> Iterator[str]:
        """The tokens to try for a volume, one after the other."""
        for generation in range(GENERATIONS):
            token = hashlib.sha256(f"{name}\0{generation}".encode()).hexdigest()
            with self._lock:
                since = self._spent.get(token, float("-inf"))
            if time.monotonic() - since > SPENT_SECONDS:
                yield token

    def made(self, volume_id: str, token: str) -> None:
        """EC2 has answered for that token with that volume."""
        with self._lock:
            _remember(self._made, volume_id, token)

    def removed(self, volume_id: str) -> None:
        """EC2 has deleted the volume, and its token is good for nothing any more."""
        now = time.monotonic()
        with self._lock:
            _remember(self._removed, volume_id, now)
            token = self._made.pop(volume_id, None)
            if token is not None:
                _remember(self._spent, token, now)

    def is_dying(self, volume_id: str) -> bool:
        """Whether this process has just deleted the volume, which EC2 may still show."""
        with self._lock:
            return time.monotonic() - self._removed.get(volume_id, float("-inf")) < DYING_SECONDS


def _remember(table: OrderedDict[str, V], key: str, value: V) -> None:
    table[key] = value
    if len(table) > REMEMBERED:
        table.popitem(last=False)
