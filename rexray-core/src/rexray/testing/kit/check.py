"""What a check is, how it fails, and how it says that it does not apply."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from rexray.errors import RexrayError

R = TypeVar("R")

CORE = "core"
"""The tier that every driver must pass; the other tiers bear the names of capabilities."""


class Failed(AssertionError):
    """The driver does not keep to the contract; the message says what it did and what it should have done."""


class Skipped(Exception):
    """The check does not apply to this driver, or lacks something; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Generic[R]):
    """One check; ``capabilities`` are the mixins without all of which it does not apply."""

    name: str
    kind: str
    help: str
    """What the contract says, in a line or a few."""
    capabilities: tuple[type, ...]
    reads_only: bool
    """Whether it changes nothing, on the platform or on the host."""
    run: Callable[[R], None]

    @property
    def tier(self) -> str:
        """``core``, or the capability that it is about."""
        return self.capabilities[0].__name__ if self.capabilities else CORE

    def lacking(self, driver: type) -> str:
        """Why the check does not apply to a driver class, empty if it does."""
        lacking = [mixin.__name__ for mixin in self.capabilities if not issubclass(driver, mixin)]
        return f"{driver.__name__} does not declare {' and '.join(lacking)}" if lacking else ""


class Suite(Generic[R]):
    """The checks of one kind of driver, which are in modules of their own."""

    def __init__(self, kind: str, modules: Iterable[str]) -> None:
        self.kind = kind
        self._modules = tuple(modules)
        self._checks: dict[str, Check[R]] = {}

    def check(
        self, *capabilities: type, reads_only: bool = False
    ) -> Callable[[Callable[[R], None]], Callable[[R], None]]:
        """Make a check of a function: its name and its docstring are the check's."""

        def register(function: Callable[[R], None]) -> Callable[[R], None]:
            name = function.__name__
            known = self._checks.get(name)
            if known is not None and known.run.__module__ != function.__module__:
                raise ValueError(f"two {self.kind} checks are called {name}")
            self._checks[name] = Check(
                name=name,
                kind=self.kind,
                help=" ".join((function.__doc__ or "").split()),
                capabilities=capabilities,
                reads_only=reads_only,
                run=function,
            )
            return function

        return register

    def checks(self) -> tuple[Check[R], ...]:
        """Every check, in the order of the modules: the core's first."""
        for module in self._modules:
            importlib.import_module(module)
        return tuple(sorted(self._checks.values(), key=lambda check: check.tier != CORE))


def expect(holds: object, message: str) -> None:
    """Fail with the message unless it holds."""
    if not holds:
        raise Failed(message)


def expect_equal(found: object, wanted: object, what: str) -> None:
    """Fail unless both are equal; ``what`` is what was looked at."""
    if found != wanted:
        raise Failed(f"{what}: {found!r}, where {wanted!r} was expected")


class Caught:
    """The error that was expected, once it came."""

    error: RexrayError

    @property
    def text(self) -> str:
        """Its message."""
        return str(self.error)


@contextlib.contextmanager
def expect_raises(*kinds: type[RexrayError], what: str) -> Iterator[Caught]:
    """Fail unless an error of one of the kinds, or of one derived from them, comes out; its message is one line.

    ``what`` is what was done: "removing an attached volume".
    """
    names = " or ".join(kind.__name__ for kind in kinds)
    caught = Caught()
    try:
        yield caught
    except kinds as error:
        caught.error = error
    except RexrayError as error:
        raise Failed(f"{what} raised {type(error).__name__} ({error}), where {names} was expected") from error
    except (Failed, Skipped):
        raise
    except Exception as error:
        raise Failed(f"{what} raised {type(error).__name__} ({error}), which is no RexrayError: {names}") from error
    else:
        raise Failed(f"{what} succeeded, where {names} was expected")
    text = str(caught.error)
    expect(text.strip() and "\n" not in text, f"{what}: the error's message is not one line: {text!r}")
