"""What the rigs of drivers have in common: the driver itself, made once or anew."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from rexray.drivers import Driver
from rexray.settings import Sources
from rexray.testing.kit.check import expect
from rexray.testing.kit.tidying import Tidied

D = TypeVar("D", bound=Driver)
T = TypeVar("T")


class DriverRig(Tidied, Generic[D]):
    """A driver class with the sources that configure it."""

    def __init__(self, driver: type[D], sources: Sources, patience: float) -> None:
        self.target = driver
        self.sources = sources
        self.patience = patience
        self._driver: D | None = None

    @property
    def driver(self) -> D:
        """The driver, made once."""
        if self._driver is None:
            self._driver = self.restarted()
        return self._driver

    def restarted(self) -> D:
        """Another one with the same settings, which knows only what is kept: as after a restart of the process."""
        return self.target.make(self.sources)


class HostRig(DriverRig[D]):
    """A driver of this host, whose calls have deadlines that may be missed by ``slack`` seconds."""

    def __init__(self, driver: type[D], sources: Sources, patience: float, slack: float) -> None:
        super().__init__(driver, sources, patience)
        self.slack = slack

    def begin(self, call: Callable[[], T]) -> Future[T]:
        """Make a call beside the check; its result is waited for with ``result(seconds)``."""
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(call)
        finally:
            pool.shutdown(wait=False)

    @contextlib.contextmanager
    def at_most(self, seconds: float, what: str) -> Iterator[None]:
        """Fail if the block takes longer than its deadline of so many seconds, and some slack, however it ends."""
        begin = time.monotonic()
        try:
            yield
        finally:
            took = time.monotonic() - begin
            expect(took < seconds + self.slack, f"{what} took {took:.1f} s, with a deadline of {seconds:g} s")
