"""What a run knows: whether the daemon is up, what its clients believe, and what was found to be wrong."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PATIENCE = 150.0
"""Seconds within which whatever is waited for has to happen; a call of the daemon's may take 100."""


class Over(Exception):
    """The run ends before this client is done: something is wrong."""


@dataclass(slots=True)
class Belief:
    """A volume as the client that made it believes it to be; one client's alone, but for the ``holders``."""

    name: str
    holders: set[str] = field(default_factory=set)
    """Docker's, whose Mount was answered and whose Unmount was not asked for."""
    places: set[str] = field(default_factory=set)
    """CSI's staging and target paths, likewise."""
    path: str = ""
    """Where it is mounted, while it is."""
    files: dict[str, str] = field(default_factory=dict)
    """The SHA-256 of each file whose fsync(2) has returned."""
    unsure: int = 0
    """How many calls about it are not answered."""

    @property
    def used(self) -> bool:
        """Whether it is mounted somewhere."""
        return bool(self.holders or self.places)


class World:
    """The state that the clients share with whoever kills the daemon; every method may be called by any thread."""

    def __init__(self, clients: int) -> None:
        self.beliefs: dict[str, Belief] = {}
        self.snapshots: set[str] = set()
        self.violations: list[str] = []
        self.calls = 0
        self.written = 0
        self.finishing = False
        """The clients end after the round that they are in."""
        self.generation = 0
        """How many daemons there were; odd while one runs."""
        self._changed = threading.Condition()
        self._calm = False
        self._parked = 0
        self._waiting = 0
        self._clients = clients

    def violated(self, message: str) -> None:
        """Note what is wrong; the clients end."""
        with self._changed:
            self.violations.append(message)
            self._changed.notify_all()

    def count(self, *, calls: int = 0, written: int = 0) -> None:
        """Add to the figures of the report."""
        with self._changed:
            self.calls += calls
            self.written += written

    # What clients do

    def add(self, belief: Belief) -> Belief:
        """A new volume, before its creation is asked for."""
        with self._changed:
            self.beliefs[belief.name] = belief
        return belief

    def forget(self, belief: Belief) -> None:
        """A volume whose removal was answered."""
        with self._changed:
            del self.beliefs[belief.name]

    @contextlib.contextmanager
    def unsure(self, *beliefs: Belief) -> Iterator[None]:
        """Around calls that change what is believed of the volumes, and the change of the belief."""
        with self._changed:
            for belief in beliefs:
                belief.unsure += 1
        yield  # whoever leaves by an error stays unsure
        with self._changed:
            for belief in beliefs:
                belief.unsure -= 1

    def pause(self) -> None:
        """Between two steps of a client, with no call under way: it waits here while it shall be calm."""
        with self._changed:
            self._parked += 1
            self._changed.notify_all()
            self._await(lambda: not self._calm)
            self._parked -= 1

    def running(self) -> int:
        """Wait for a daemon, and tell which it is."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._await(lambda: self.generation % 2 == 1)
            self._waiting -= 1
            return self.generation

    def killed_since(self, generation: int) -> bool:
        """Whether that daemon is dead, or dies within some seconds: its clients may hear of it first."""
        with self._changed:
            return self._changed.wait_for(lambda: self.generation != generation, 10)

    def ended(self) -> None:
        """A client is done."""
        with self._changed:
            self._clients -= 1
            self._changed.notify_all()

    def _await(self, ready: Callable[[], bool]) -> None:
        if not self._changed.wait_for(lambda: ready() or bool(self.violations), 2 * PATIENCE):
            self.violations.append("a client waited for ever")
        if self.violations:
            raise Over

    # What the killer does

    def change_daemon(self) -> None:
        """A daemon was started, or is dead."""
        with self._changed:
            self.generation += 1
            self._changed.notify_all()

    def still(self) -> bool:
        """Wait, while there is no daemon, until no client does anything."""
        with self._changed:
            return self._changed.wait_for(lambda: self._parked + self._waiting >= self._clients, PATIENCE)

    @contextlib.contextmanager
    def calm(self) -> Iterator[Callable[[], bool]]:
        """Have the clients finish what they are at and do no more; what is given waits until all of them are there."""
        with self._changed:
            self._calm = True
        try:
            yield self._reached
        finally:
            with self._changed:
                self._calm = False
                self._changed.notify_all()

    def _reached(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._parked >= self._clients or bool(self.violations), PATIENCE)
            return self._parked >= self._clients

    def join(self) -> bool:
        """Wait until every client is done."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            return self._changed.wait_for(lambda: self._clients == 0, deadline - time.monotonic())
