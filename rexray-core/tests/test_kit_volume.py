"""The checks of volume drivers pass on a healthy one, and each of them fails on a driver with the defect it is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from broken_mounts import BROKEN_MOUNTS
from broken_volume import BROKEN
from memory_host import OTHERS, MemoryVolumes, quick_home, sources_below, volume_rig
from rexray.testing.kit.check import Check
from rexray.testing.kit.running import run_all
from rexray.testing.kit.suites import VOLUME
from rexray.testing.kit.volume_rig import VolumeRig

CHECKS = VOLUME.checks()
DEFECTS = {**BROKEN, **BROKEN_MOUNTS}

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


@pytest.fixture
def home() -> Iterator[Path]:
    with quick_home() as found:
        yield found


def test_there_is_a_defect_for_every_check() -> None:
    assert {check.name for check in CHECKS} == set(DEFECTS)
    assert len(CHECKS) >= 28


@pytest.mark.needs("root")
@each_check
def test_a_healthy_driver_passes(check: Check[VolumeRig], home: Path) -> None:
    (result,) = run_all([check], lambda: volume_rig(home))
    assert (result.outcome, result.reason) == ("passed", "")
    left = [volume.name for volume in MemoryVolumes.make(sources_below(home)).list()]
    assert left == sorted(OTHERS)


@pytest.mark.needs("root")
@each_check
def test_a_driver_with_the_defect_fails(check: Check[VolumeRig], home: Path) -> None:
    (result,) = run_all([check], lambda: volume_rig(home, DEFECTS[check.name]))
    assert result.outcome == "failed", f"{DEFECTS[check.name].__doc__}: {result}"
