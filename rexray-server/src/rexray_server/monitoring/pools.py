"""Pools of threads that know how long their work waits for one."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class MeasuredPool(ThreadPoolExecutor):
    """A pool of threads. ``started`` is called in the thread with the seconds that a piece of work waited for it."""

    def __init__(self, threads: int, name: str, started: Callable[[float], None]) -> None:
        super().__init__(threads, name)
        self.name = name
        self.threads = threads
        self._started = started
        self._count = threading.Lock()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many pieces of work wait for a thread."""
        return self._waiting

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do it in a thread; work that is cancelled before it begins waits no more."""
        asked = time.perf_counter()

        def run() -> T:
            self._add(-1)
            self._started(time.perf_counter() - asked)
            return fn(*args, **kwargs)

        self._add(1)
        try:
            future = super().submit(run)
        except BaseException:  # the pool is shut down, or no thread can be started
            self._add(-1)
            raise
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: Future[Any]) -> None:
        if future.cancelled():
            self._add(-1)

    def _add(self, number: int) -> None:
        with self._count:
            self._waiting += number


class Pools:
    """The pools that there are; one that nobody uses any more is forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: weakref.WeakSet[MeasuredPool] = weakref.WeakSet()

    def add(self, pool: MeasuredPool) -> None:
        """Know one more."""
        with self._lock:
            self._known.add(pool)

    def readings(self) -> tuple[dict[str, int], dict[str, int]]:
        """What waits for a thread, and how many threads there may be, by the names of the pools."""
        waiting: dict[str, int] = {}
        threads: dict[str, int] = {}
        with self._lock:
            pools = tuple(self._known)
        for pool in pools:
            waiting[pool.name] = waiting.get(pool.name, 0) + pool.waiting
            threads[pool.name] = threads.get(pool.name, 0) + pool.threads
        return waiting, threads
