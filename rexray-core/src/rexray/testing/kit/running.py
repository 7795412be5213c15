"""Running checks, without any test runner."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rexray.testing.kit.check import Check, Failed, Skipped
from rexray.testing.kit.patience import patiently

OUTCOMES = ("passed", "failed", "skipped")


class Rig(Protocol):
    """What every kind's rig has."""

    @property
    def target(self) -> type:
        """The class under test."""

    @property
    def patience(self) -> float:
        """How many seconds one check may take."""


R = TypeVar("R", bound=Rig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a check ended; ``reason`` says why it failed or was skipped."""

    name: str
    tier: str
    outcome: str
    """One of :data:`OUTCOMES`."""
    reason: str = ""
    seconds: float = 0.0
    deviation: str = ""
    """Why the driver's author has replaced the check, if that was done."""


def perform(check: Check[R], rig: R) -> None:
    """Run one check to its end; ``Failed`` if that takes longer than the rig's patience, ``Skipped`` as it says.

    An error of the driver's that the check did not expect comes out as it is.
    """
    lacking = check.lacking(rig.target)
    if lacking:
        raise Skipped(lacking)
    patiently(rig.patience, check.name, lambda: check.run(rig))


def run_all(checks: Iterable[Check[R]], make: Callable[[], AbstractContextManager[R]]) -> Iterator[Result]:
    """Run checks one after another, each on a rig of its own; the result of each as it is done."""
    for check in checks:
        begin = time.monotonic()
        outcome, reason = _outcome(check, make)
        yield Result(name=check.name, tier=check.tier, outcome=outcome, reason=reason, seconds=time.monotonic() - begin)


def _outcome(check: Check[R], make: Callable[[], AbstractContextManager[R]]) -> tuple[str, str]:
    try:
        with make() as rig:
            perform(check, rig)
    except Skipped as skipped:
        return "skipped", _line(str(skipped))
    except Failed as failed:
        return "failed", _line(str(failed))
    except Exception as error:  # noqa: BLE001 whatever a broken driver raises is what is wrong with it
        return "failed", _line(f"{type(error).__name__}: {error}")
    return "passed", ""


def _line(text: str) -> str:
    """A reason is one line of a report, whatever a driver has to say."""
    return " ".join(text.split())
