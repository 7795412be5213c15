"""What is said of ``viable`` by the checks of drivers of this host."""

from __future__ import annotations

import time

from rexray.drivers import Driver
from rexray.testing.kit.check import expect
from rexray.types import Viability

_QUICK = 1.0


def expect_reason(driver: type[Driver]) -> None:
    """Fail unless ``viable`` returns a ``Viability``, with one line of a reason where it says no."""
    found: object = driver.viable()
    expect(isinstance(found, Viability), f"viable returned {found!r} and no Viability")
    assert isinstance(found, Viability)
    if not found.ok:
        reason = found.reason.strip()
        expect(reason and "\n" not in reason, f"viable says no, with {found.reason!r} for a reason")


def expect_quick(driver: type[Driver]) -> None:
    """Fail if ``viable`` takes longer than a quick look does."""
    begin = time.monotonic()
    driver.viable()
    took = time.monotonic() - begin
    expect(took < _QUICK, f"viable took {took:.1f} s, and may take {_QUICK:g} s")
