"""The device names of instances: which are free, which are asked for right now, and which EC2 refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from rexray.errors import OutOfCapacity
from rexray_driver_ec2.names import candidates, canonical

KNOWN_SECONDS = 60.0
"""How long EC2's list of an instance's devices is good for; a name that was taken meanwhile is refused by EC2."""
REFUSED_SECONDS = 3600.0
"""How long a name that EC2 refused is not tried again."""


class _Instance:
    """What is known of one instance's names; ``used`` has the moment at which each was known to be in use."""

    __slots__ = ("asked", "pending", "refused", "used")

    def __init__(self) -> None:
        self.asked = float("-inf")
        self.used: dict[str, float] = {}
        self.pending: set[str] = set()
        self.refused: dict[str, float] = {}


class Slots:
    """Hands out device names, each to one attach at a time.

    ``ask`` tells the names that an instance has in use, as EC2 knows it.
    """

    def __init__(self, ask: Callable[[str], Collection[str]], *, large: bool) -> None:
        self._ask = ask
        self._names = candidates(large=large)
        self._lock = threading.Lock()
        self._instances: dict[str, _Instance] = {}

    @contextmanager
    def taken(self, instance_id: str, preferred: str = "") -> Iterator[str]:
        """A free name, nobody else's until the end; the preferred one if it is free. ``OutOfCapacity`` without any."""
        instance = self._of(instance_id)
        if time.monotonic() - instance.asked > KNOWN_SECONDS:
            self._refresh(instance, instance_id)
        name = self._choose(instance, preferred)
        if not name:
            self._refresh(instance, instance_id)
            name = self._choose(instance, preferred)
        if not name:
            raise OutOfCapacity(f"instance {instance_id!r} has no device name left, of {len(self._names)}")
        try:
            yield name
            with self._lock:
                instance.used[canonical(name)] = time.monotonic()
        finally:
            with self._lock:
                instance.pending.discard(canonical(name))

    def refused(self, instance_id: str, name: str) -> None:
        """Do not try that name for a while, and have EC2 asked again which are in use."""
        instance = self._of(instance_id)
        with self._lock:
            instance.refused[canonical(name)] = time.monotonic()
            instance.asked = float("-inf")

    def freed(self, instance_id: str) -> None:
        """A volume was detached: its name may be used again."""
        with self._lock:
            if instance_id in self._instances:
                self._instances[instance_id].asked = float("-inf")

    def _of(self, instance_id: str) -> _Instance:
        with self._lock:
            return self._instances.setdefault(instance_id, _Instance())

    def _refresh(self, instance: _Instance, instance_id: str) -> None:
        """Ask EC2; what came into use since the question stays in use."""
        asked = time.monotonic()
        answer = {canonical(name): asked for name in self._ask(instance_id)}
        with self._lock:
            newer = {name: since for name, since in instance.used.items() if since >= asked}
            instance.used, instance.asked = answer | newer, asked

    def _choose(self, instance: _Instance, preferred: str) -> str:
        """A free name, pending from now on; one that EC2 refused only if there is no other, none if all are used."""
        wanted = ([preferred] if preferred else []) + [name for name in self._names if name != preferred]
        now = time.monotonic()
        with self._lock:
            refused = {name for name, since in instance.refused.items() if now - since < REFUSED_SECONDS}
            free = [name for name in wanted if canonical(name) not in instance.used.keys() | instance.pending]
            good = [name for name in free if canonical(name) not in refused]
            chosen = next(iter(good or free), "")
            if chosen:
                instance.pending.add(canonical(chosen))
        return chosen
