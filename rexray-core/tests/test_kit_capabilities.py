"""The checks of attaching and of the capabilities pass on a healthy driver, and each fails on one with its defect."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from broken_attaching import BROKEN_ATTACHING
from broken_capabilities import BROKEN_CAPABILITIES
from broken_copies import BROKEN_COPIES
from broken_holding import BROKEN_HOLDING, Plain
from broken_snapshots import BROKEN_SNAPSHOTS
from broken_telling import BROKEN_TELLING
from rexray.drivers import StorageDriver
from rexray.settings import Sources
from rexray.testing.kit.check import CORE, Check
from rexray.testing.kit.rig import StorageRig
from rexray.testing.kit.running import run_all
from rexray.testing.kit.suites import STORAGE
from rexray.testing.memory.model import MIB, State
from rexray.testing.memory.platform import MemoryPlatform
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import InstanceId, VolumeSpec

PASSWORD = "canary-4711"
MODULES = (
    "attaching",
    "detaching",
    "holding",
    "snapshots",
    "restoring",
    "groups",
    "copies",
    "clones",
    "growing",
    "modifying",
    "rolling",
    "readonly",
    "telling",
    "encrypting",
)
CHECKS = tuple(check for check in STORAGE.checks() if check.run.__module__.rpartition(".")[2] in MODULES)
DEFECTS: Mapping[str, type[StorageDriver]] = {
    **BROKEN_ATTACHING,
    **BROKEN_HOLDING,
    **BROKEN_SNAPSHOTS,
    **BROKEN_COPIES,
    **BROKEN_CAPABILITIES,
    **BROKEN_TELLING,
}

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """A platform that has things of somebody else's, and can take few volumes more at an instance."""
    sources = _sources(tmp_path / "platform.json")
    platform, driver = MemoryPlatform.of(sources.load(MemorySettings)), MemoryStorage.make(sources)
    volumes = [driver.create(VolumeSpec(name=f"other-{number}", size_bytes=MIB)) for number in range(2)]
    driver.attach(volumes[0].id, InstanceId("host-1"))
    driver.create_snapshot(volumes[0].id, "other-s")
    driver.create_snapshot_group("other-g", [volume.id for volume in volumes])
    platform.set_health(volumes[1].id, "two of three disks are gone")
    platform.set_password(PASSWORD)
    return sources


@pytest.fixture
def nothing(tmp_path: Path) -> Sources:
    """A platform that cannot be reached."""
    sources = _sources(tmp_path / "down.json")
    MemoryPlatform.of(sources.load(MemorySettings)).go_down()
    return sources


def _sources(file: Path) -> Sources:
    return Sources(
        environ={
            "MEMORY_FILE": str(file),
            "MEMORY_MAXVOLUMES": "5",
            "MEMORY_PAGESIZE": "2",
            "MEMORY_PASSWORD": PASSWORD,
        }
    )


def _platform(sources: Sources) -> MemoryPlatform:
    return MemoryPlatform.of(sources.load(MemorySettings))


def _rig(target: type[StorageDriver], sources: Sources, nothing: Sources) -> StorageRig:
    contents = getattr(target, "contents", lambda platform: platform)
    return StorageRig(
        target,
        sources,
        size_bytes=4 * MIB,
        step_bytes=2 * MIB,
        troubles={"unreachable": nothing},
        contents=contents(_platform(sources)),
        modification={"type": "fast"},
        region="region-2",
        patience=getattr(target, "patience", 60.0),
    )


def _others(state: State) -> tuple[object, ...]:
    """What is on the platform, of whomever."""
    return (state.volumes, state.snapshots, state.groups, state.hosts)


def _healthy(check: Check[StorageRig]) -> type[StorageDriver]:
    """The driver of which the broken one differs by its defect alone."""
    return Plain if issubclass(DEFECTS[check.name], Plain) else MemoryStorage


def test_there_is_a_defect_for_every_check() -> None:
    assert {check.name for check in CHECKS} == set(DEFECTS)


def test_every_capability_has_its_checks() -> None:
    counts = {tier: sum(check.tier == tier for check in CHECKS) for tier in {check.tier for check in CHECKS}}
    least = {
        CORE: 22,
        "Snapshots": 14,
        "GroupSnapshots": 8,
        "SnapshotCopy": 3,
        "Clone": 6,
        "Expand": 7,
        "HasCapacity": 3,
        "Modify": 4,
        "Rollback": 6,
        "ReadOnlyAttach": 4,
        "VolumeHealth": 4,
        "Topology": 5,
        "Encrypted": 3,
        "HasPolicy": 3,
    }
    assert counts.keys() == least.keys()
    assert not [tier for tier, count in least.items() if counts[tier] < count]


@each_check
def test_a_healthy_driver_passes_and_what_is_others_stays(
    check: Check[StorageRig], sources: Sources, nothing: Sources
) -> None:
    before = _others(_platform(sources).state())
    (result,) = run_all([check], lambda: _rig(_healthy(check), sources, nothing))
    assert (result.outcome, result.reason) == ("passed", "")
    assert _others(_platform(sources).state()) == before


@each_check
def test_a_driver_with_the_defect_fails(check: Check[StorageRig], sources: Sources, nothing: Sources) -> None:
    (result,) = run_all([check], lambda: _rig(DEFECTS[check.name], sources, nothing))
    assert result.outcome == "failed", f"{DEFECTS[check.name].__doc__}: {result}"
    assert "could not be removed" not in result.reason


@pytest.mark.parametrize("check", [check for check in CHECKS if check.reads_only], ids=lambda check: check.name)
def test_a_check_that_only_reads_changes_nothing(check: Check[StorageRig], sources: Sources, nothing: Sources) -> None:
    before = _platform(sources).state()
    (result,) = run_all([check], lambda: _rig(MemoryStorage, sources, nothing))
    assert result.outcome == "passed"
    assert _platform(sources).state() == before
