"""Group snapshots: all members or none."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable

import pytest

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import AlreadyExists, Busy, InvalidRequest, NotFound, RexrayError
from vfs_parts import Vfs, from_snapshot


@pytest.fixture
def ab(vfs: Vfs) -> Vfs:
    for name in "ab":
        vfs.create(name)
        (vfs.volume(name) / "file").write_text(name)
    return vfs


def test_a_group_has_a_snapshot_of_each_volume(ab: Vfs) -> None:
    group = ab.group("g", "b", "a")
    assert [snapshot.source_volume_id for snapshot in group.snapshots] == ["a", "b"]
    assert {snapshot.group_snapshot_id for snapshot in group.snapshots} == {"g"}
    assert ab.group("g", "a", "b") == ab.get_group("g") == group
    assert [entry.snapshot for entry in ab.snaps().entries] == sorted(group.snapshots, key=lambda s: s.snapshot_id)
    ab.create("again", source=from_snapshot(group.snapshots[1].snapshot_id))
    assert (ab.volume("again") / "file").read_text() == "b"


def test_other_volumes_under_the_same_name_are_refused(ab: Vfs) -> None:
    ab.group("g", "a")
    with pytest.raises(AlreadyExists, match=r"of a.*of a, b"):
        ab.group("g", "a", "b")
    with pytest.raises(InvalidRequest, match="source_volume_ids"):
        ab.group("h")


def test_a_missing_volume_leaves_nothing(ab: Vfs) -> None:
    with pytest.raises(NotFound, match="'missing'"):
        ab.group("g", "a", "missing")
    assert ab.snaps().entries == []
    with pytest.raises(NotFound):
        ab.get_group("g")


def test_members_go_with_their_group(ab: Vfs) -> None:
    members = [snapshot.snapshot_id for snapshot in ab.group("g", "a", "b").snapshots]
    with pytest.raises(InvalidRequest, match="group snapshot 'g'"):
        ab.delete_snap(members[0])
    with pytest.raises(InvalidRequest, match="snapshot_ids"):
        ab.delete_group("g", members[0])
    with pytest.raises(InvalidRequest, match="snapshot_ids"):
        ab.get_group("g", "other")
    ab.delete_group("g", *members)
    ab.delete_group("g", *members)
    assert ab.snaps().entries == []
    assert not ab.leftovers()


def test_an_interrupted_delete_hides_the_group_and_can_be_repeated_with_its_members(ab: Vfs) -> None:
    members = [snapshot.snapshot_id for snapshot in ab.group("g", "a", "b").snapshots]
    descriptor = os.open(ab.snapshot(members[1]), os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # as a copy under way holds it
    with pytest.raises(Busy):
        ab.delete_group("g", *members)
    assert ab.snaps().entries == []
    with pytest.raises(NotFound):
        ab.get_group("g")
    with pytest.raises(NotFound):
        ab.call(rpc.GET_SNAPSHOT, pb.GetSnapshotRequest(snapshot_id=members[1]))
    os.close(descriptor)
    ab.delete_group("g", *members)
    assert not ab.snapshot(members[1]).exists()


def test_a_member_whose_group_is_lost_can_be_deleted(ab: Vfs) -> None:
    members = ab.group("g", "a").snapshots
    (ab.data / "snap/.rexray/groups/g.json").unlink()
    ab.delete_snap(members[0].snapshot_id)
    assert not ab.snapshot(members[0].snapshot_id).exists()


def test_a_parameter_is_named(ab: Vfs) -> None:
    request = pb.CreateVolumeGroupSnapshotRequest(name="g", source_volume_ids=["a"], parameters={"colour": "red"})
    with pytest.raises(InvalidRequest, match="'colour'"):
        ab.call(rpc.CREATE_VOLUME_GROUP_SNAPSHOT, request)


def at_once(*calls: Callable[[], object]) -> list[BaseException]:
    errors: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            call()
        except RexrayError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_taking_one_group_at_once_takes_it_once(ab: Vfs) -> None:
    for number in range(300):
        (ab.volume("a") / str(number)).touch()
    second = Vfs(ab.home)
    groups: list[pb.VolumeGroupSnapshot] = []
    errors = at_once(*[lambda vfs=vfs: groups.append(vfs.group("g", "a", "b")) for vfs in (ab, second, ab, second)])
    assert errors == []
    assert all(group == groups[0] for group in groups)
    assert len(ab.snaps().entries) == 2


def test_a_start_beside_it_does_not_take_a_group_for_interrupted(ab: Vfs) -> None:
    for folder in range(20):
        (ab.volume("b") / str(folder)).mkdir()
        for number in range(200):
            (ab.volume("b") / f"{folder}/{number}").touch()
    taking = threading.Thread(target=lambda: ab.group("g", "a", "b"))
    taking.start()
    while not any((ab.data / "snap").glob("group-*")):
        time.sleep(0.0005)
    Vfs(ab.home)
    taking.join()
    assert len(ab.get_group("g").snapshots) == 2
