"""The checks of CSI plug-ins pass on one that keeps to CSI, and each fails on one with the defect that it is for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broken_csi import BROKEN_CSI
from broken_csi_use import BROKEN_USE
from careful_csi import csi_rig
from memory_host import quick_home
from rexray.testing.kit.check import Check
from rexray.testing.kit.csi_rig import CSIRig
from rexray.testing.kit.running import run_all
from rexray.testing.kit.suites import CSI

CHECKS = CSI.checks()
DEFECTS = {**BROKEN_CSI, **BROKEN_USE}

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


@pytest.fixture
def home() -> Iterator[Path]:
    with quick_home() as found:
        yield found


def test_there_is_a_defect_for_every_check() -> None:
    assert {check.name for check in CHECKS} == set(DEFECTS)
    assert len(CHECKS) >= 30


def test_only_the_checks_of_csi_need_grpc() -> None:
    script = """
import sys
sys.modules["grpc"] = None
from rexray.errors import NotInstalled
from rexray.testing import conformance
print(conformance.VolumeConformance.__name__)
try:
    conformance.CSIConformance
except NotInstalled as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    volume, csi = ended.stdout.splitlines()
    assert volume == "VolumeConformance"
    assert "pip install 'rexray-core[csi,testing]'" in csi


@pytest.mark.needs("root")
@each_check
def test_a_healthy_plugin_passes(check: Check[CSIRig], home: Path) -> None:
    (result,) = run_all([check], lambda: csi_rig(home))
    assert (result.outcome, result.reason) == ("passed", "")


@pytest.mark.needs("root")
@each_check
def test_a_plugin_with_the_defect_fails(check: Check[CSIRig], home: Path) -> None:
    (result,) = run_all([check], lambda: csi_rig(home, DEFECTS[check.name]))
    assert result.outcome == "failed", f"{DEFECTS[check.name].__doc__}: {result}"
