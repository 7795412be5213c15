"""The checks of OS drivers pass on a healthy one, and each of them fails on a driver with the defect it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

import broken_os_filling  # noqa: F401 which adds its own, as do the next two
import broken_os_mounting  # noqa: F401
import broken_os_mounts  # noqa: F401
from broken_os import BROKEN
from memory_rigs import os_rig
from rexray.testing.kit.check import Check
from rexray.testing.kit.os_rig import OSRig
from rexray.testing.kit.running import run_all
from rexray.testing.kit.suites import OS

CHECKS = OS.checks()

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


def test_there_is_a_defect_for_every_check() -> None:
    assert {check.name for check in CHECKS} == set(BROKEN)
    assert len(CHECKS) >= 95
    assert all(driver.__doc__ for driver in BROKEN.values())


@each_check
def test_a_healthy_driver_passes(check: Check[OSRig], tmp_path: Path) -> None:
    (result,) = run_all([check], lambda: os_rig(tmp_path))
    assert (result.outcome, result.reason) == ("passed", "")


@each_check
def test_a_driver_with_the_defect_fails(check: Check[OSRig], tmp_path: Path) -> None:
    (result,) = run_all([check], lambda: os_rig(tmp_path, BROKEN[check.name]))
    assert result.outcome == "failed", f"{BROKEN[check.name].__doc__}: {result}"
