"""Group snapshots: all of the volumes or none, shown at once."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from loop_parts import Host, run_script
from rexray.errors import AlreadyExists, InvalidRequest, NotFound
from rexray.types import SnapshotGroup, SnapshotId, VolumeId
from rexray_driver_loop import groups


@pytest.fixture
def pair(host: Host) -> Host:
    for name in ("a", "b"):
        host.create(name)
        host.write(name, name.encode())
    return host


def take(host: Host, *volumes: str, name: str = "g") -> SnapshotGroup:
    return host.storage.create_snapshot_group(name, [VolumeId(volume) for volume in volumes])


def test_a_group_has_a_snapshot_of_each_volume_and_asking_twice_takes_one(pair: Host) -> None:
    group = take(pair, "a", "b")
    assert [snapshot.volume_id for snapshot in group.snapshots] == ["a", "b"]
    assert {snapshot.group for snapshot in group.snapshots} == {"g"}
    assert take(pair, "b", "a") == group
    assert pair.storage.snapshot_group(SnapshotId("g")) == group
    assert pair.snaps() == sorted(snapshot.id for snapshot in group.snapshots)
    pair.restore("copy", group.snapshots[1].id)
    assert pair.read("copy", 1) == b"b"


def test_a_group_of_other_volumes_is_refused_by_both_names(pair: Host) -> None:
    take(pair, "a")
    with pytest.raises(AlreadyExists, match="is of a, and was asked for of a, b"):
        take(pair, "a", "b")
    pair.remove("a")
    pair.create("a")
    with pytest.raises(AlreadyExists, match="made anew"):
        take(pair, "a")


def test_a_missing_volume_leaves_nothing_of_the_group(pair: Host) -> None:
    with pytest.raises(NotFound, match="'none'"):
        take(pair, "a", "none")
    assert pair.snaps() == []
    with pytest.raises(NotFound):
        pair.storage.snapshot_group(SnapshotId("g"))


def test_a_member_goes_with_its_group_and_not_alone(pair: Host) -> None:
    group = take(pair, "a", "b")
    with pytest.raises(InvalidRequest, match="belongs to group snapshot 'g'"):
        pair.remove_snap(group.snapshots[0].id)
    for _ in range(2):
        pair.storage.remove_snapshot_group(SnapshotId("g"))
    assert pair.snaps() == []
    with pytest.raises(NotFound):
        pair.storage.snapshot_group(SnapshotId("g"))


@pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 129])
def test_a_name_that_is_none_is_refused(pair: Host, name: str) -> None:
    with pytest.raises(InvalidRequest):
        take(pair, "a", name=name)


POINTS = re.findall(r'faults\.point\("([\w-]+)"\)', Path(groups.__file__).read_text())


@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_in_a_group_shows_none_of_it_and_the_next_one_takes_it(pair: Host, point: str) -> None:
    make = "host.storage.create_snapshot_group('g', ['a', 'b'])"
    last = "; host.storage.remove_snapshot_group('g')" if point == "loop-group-removed" else ""
    start = "import sys; from pathlib import Path; from loop_parts import Host; host = Host(Path(sys.argv[1])); "
    assert run_script(start + make + last, pair.root, fault=point).status == -signal.SIGKILL
    assert pair.snaps() == []
    assert len(take(pair, "a", "b").snapshots) == 2
    pair.storage.remove_snapshot_group(SnapshotId("g"))
    assert list((pair.root / "snapshots").iterdir()) == []
    assert list((pair.root / "groups").iterdir()) == []
