"""What the rigs of several kinds need: names of one run, calls at one moment, and what was said meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rexray.settings import Secret, Sources

T = TypeVar("T")


class Names:
    """Names that nobody else uses, and which of them were given out."""

    def __init__(self) -> None:
        self._run = f"kit-{secrets.token_hex(4)}"
        self._numbers = itertools.count(1)
        self._given: dict[str, None] = {}

    def unused(self, ending: str = "") -> str:
        """A name that ends so, and that nothing will get."""
        return f"{self._run}-{next(self._numbers)}{ending}"

    def new(self, ending: str = "") -> str:
        """A name that ends so, given out."""
        return self.claim(self.unused(ending))

    def claim(self, name: str) -> str:
        """Count a name that a check made up as given out; it must begin as those of :meth:`new` do."""
        if not name.startswith(self._run):
            raise ValueError(f"{name!r} may be somebody else's")
        self._given[name] = None
        return name

    def given(self) -> list[str]:
        """The names so far."""
        return list(self._given)

    def clear(self) -> None:
        """Forget them."""
        self._given.clear()


def long_name(name: str, size: int = 128) -> str:
    """The name made that many bytes long, the limit of what CSI and Docker may ask for."""
    return name + "x" * (size - len(name.encode()))


def together(*calls: Callable[[], T]) -> list[T | Exception]:
    """What comes of calls that begin at the same moment, each in a thread: results and errors in their order."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T | Exception:
        gate.wait(30)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 the check judges it
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def secret_values(sources: Sources, settings: Iterable[type]) -> tuple[str, ...]:
    """The values of the secret settings of those classes that are set."""
    found = (effective.value for each in settings for effective in sources.effective(each))
    return tuple(value.reveal() for value in found if isinstance(value, Secret) and value)


@contextlib.contextmanager
def overhearing() -> Iterator[list[str]]:
    """What is logged meanwhile by anybody in this process, at any level."""
    heard: list[str] = []
    formatter = logging.Formatter()

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(formatter.format(record))

    ear, root = Ear(logging.DEBUG), logging.getLogger()
    level = root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    try:
        yield heard
    finally:
        root.setLevel(level)
        root.removeHandler(ear)
