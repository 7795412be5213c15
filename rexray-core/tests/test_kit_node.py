"""The checks of node drivers pass on a healthy one, and each of them fails on a driver with the defect it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

import broken_node_connecting  # noqa: F401 which adds its own
from broken_node import BROKEN
from memory_rigs import node_rig
from rexray.testing.kit.check import Check
from rexray.testing.kit.node_rig import NodeRig
from rexray.testing.kit.running import run_all
from rexray.testing.kit.suites import NODE

CHECKS = NODE.checks()

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


def test_there_is_a_defect_for_every_check() -> None:
    assert {check.name for check in CHECKS} == set(BROKEN)
    assert len(CHECKS) >= 50
    assert all(driver.__doc__ for driver in BROKEN.values())


@each_check
def test_a_healthy_driver_passes(check: Check[NodeRig], tmp_path: Path) -> None:
    (result,) = run_all([check], lambda: node_rig(tmp_path))
    assert (result.outcome, result.reason) == ("passed", "")


@each_check
def test_a_driver_with_the_defect_fails(check: Check[NodeRig], tmp_path: Path) -> None:
    (result,) = run_all([check], lambda: node_rig(tmp_path, BROKEN[check.name]))
    assert result.outcome == "failed", f"{BROKEN[check.name].__doc__}: {result}"
