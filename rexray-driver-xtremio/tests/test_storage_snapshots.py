"""Snapshots, groups of them and rollbacks; each call twice."""

from __future__ import annotations

from functools import partial

import pytest

from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, Unsupported
from rexray.types import SnapshotId, VolumeId
from rexray_driver_xtremio.names import LONGEST
from rexray_driver_xtremio.storage import XtremIoStorage
from xms_parts import Xms
from xtremio_parts import GIB, HERE, NOWHERE, changes, driver, fails, named, of, spec

NONE = SnapshotId(NOWHERE)


def test_a_snapshot_is_taken_once_and_told_as_it_is(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 2))
    snapshot = storage.create_snapshot(made.id, "kept", "before the update")
    assert storage.create_snapshot(made.id, "kept") == snapshot
    assert (snapshot.name, snapshot.volume_id, snapshot.size_bytes) == ("kept", made.id, 2 * GIB)
    assert snapshot.ready
    assert snapshot.created is not None
    assert list(storage.snapshots()) == list(storage.snapshots(volume_id=made.id)) == [snapshot]
    assert list(storage.snapshots(snapshot_id=snapshot.id)) == [snapshot]
    assert list(storage.snapshots(snapshot_id=NONE)) == []
    assert list(storage.snapshots(volume_id=NOWHERE)) == []
    assert named(each_xms) == ["data", "kept.snap"]


def test_snapshots_of_v2_cannot_be_written_to(xms: Xms, storage: XtremIoStorage) -> None:
    storage.create_snapshot(storage.create(spec("data", 2)).id, "kept")
    content = xms.volume("kept.snap")
    assert content is not None
    assert content["snapshot-type"] == "readonly"


def test_a_snapshot_is_no_volume_and_has_names_of_its_own(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 1))
    snapshot = storage.create_snapshot(made.id, "data")
    assert [volume.name for volume in storage.volumes()] == ["data"]
    assert [volume.id for volume in storage.volumes_named("data")] == [made.id]
    assert list(storage.volumes_named("data.snap")) == []
    fails(NotFound, snapshot.id, lambda: storage.volume(VolumeId(snapshot.id)))
    fails(NotFound, snapshot.id, lambda: storage.attach(VolumeId(snapshot.id), HERE))
    fails(InvalidRequest, "id of a snapshot", lambda: storage.remove(VolumeId(snapshot.id)))
    fails(InvalidRequest, "id of a volume", lambda: storage.remove_snapshot(SnapshotId(made.id)))
    assert named(each_xms) == ["data", "data.snap"]


def test_a_snapshots_name_may_be_anything(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 1))
    name = "vor dem Umzug nach Zürich, " * 4
    snapshot = storage.create_snapshot(made.id, name)
    assert snapshot.name == name
    assert storage.create_snapshot(made.id, name) == snapshot


def test_the_name_of_another_volumes_snapshot_is_told_with_both(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made, other = storage.create(spec("data", 1)), storage.create(spec("other", 1))
    storage.create_snapshot(made.id, "kept")
    fails(
        AlreadyExists, f"of volume '{made.id}', not of '{other.id}'", lambda: storage.create_snapshot(other.id, "kept")
    )
    fails(NotFound, NOWHERE, lambda: storage.create_snapshot(NOWHERE, "new"))
    assert named(each_xms) == ["data", "kept.snap", "other"]


def test_removing_a_snapshot_twice_is_removing_it_once(each_xms: Xms) -> None:
    storage = driver(each_xms)
    snapshot = storage.create_snapshot(storage.create(spec("data", 1)).id, "kept")
    for identity in (snapshot.id, snapshot.id, NONE, SnapshotId("kept")):
        storage.remove_snapshot(identity)
    assert named(each_xms) == ["data"]


def test_a_snapshot_that_a_host_has_is_not_removed(xms: Xms, storage: XtremIoStorage) -> None:
    snapshot = storage.create_snapshot(storage.create(spec("data", 1)).id, "kept")
    xms.add_initiator_group("host")
    xms.add_initiator("port", HERE, "host")
    home = xms.cluster()
    found, group = home.volumes.named("kept.snap"), home.igs.named("host")
    assert found is not None
    assert group is not None
    xms.store.map(home, found, group, 1)
    fails(InUse, HERE, lambda: storage.remove_snapshot(snapshot.id))


def test_a_volume_is_made_of_a_snapshot(each_xms: Xms) -> None:
    storage = driver(each_xms)
    snapshot = storage.create_snapshot(storage.create(spec("data", 2)).id, "kept")
    wish = spec("restored", 3, source_snapshot=snapshot.id)
    restored = storage.create(wish)
    assert storage.create(wish) == restored
    assert (restored.size_bytes, restored.fields["ancestor"]) == (3 * GIB, snapshot.id)
    wrong = spec("wrong", source_volume=VolumeId(snapshot.id))
    fails(NotFound, "its source", lambda: storage.create(wrong))
    storage.attach(restored.id, HERE)
    assert named(each_xms) == ["data", "kept.snap", "restored"]


@pytest.mark.parametrize("orphan", ["emptied", "kept"])
def test_a_snapshot_outlives_its_volume(each_xms: Xms, orphan: str) -> None:
    each_xms.switches.orphan_ancestor = orphan  # type: ignore[assignment]
    storage = driver(each_xms)
    made = storage.create(spec("data", 1))
    snapshot = storage.create_snapshot(made.id, "kept")
    storage.remove(made.id)
    if orphan == "emptied" and not each_xms.cluster().sets:  # nothing tells any more that it is a snapshot
        assert [str(volume.id) for volume in storage.volumes()] == [snapshot.id]
        fails(InvalidRequest, "id of a volume", lambda: storage.remove_snapshot(snapshot.id))
        return
    assert [found.id for found in storage.snapshots()] == [snapshot.id]
    assert list(storage.volumes()) == []
    restored = storage.create(spec("restored", source_snapshot=snapshot.id))
    assert [volume.id for volume in storage.volumes()] == [restored.id]
    storage.remove_snapshot(snapshot.id)
    assert named(each_xms) == ["restored"]


def test_a_strangers_writable_snapshot_is_a_volume(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    clone = storage.create(spec("clone", **of(made)))
    assert {volume.id for volume in storage.volumes()} == {made.id, clone.id}


def test_a_group_is_taken_at_once_and_once(xms: Xms, storage: XtremIoStorage) -> None:
    first, second = storage.create(spec("first", 1)), storage.create(spec("second", 2))
    xms.clear_calls()
    group = storage.create_snapshot_group("both", [second.id, first.id])
    assert storage.create_snapshot_group("both", [first.id, second.id, first.id]) == group
    assert changes(xms) == ["POST snapshots"]
    assert {snapshot.volume_id for snapshot in group.snapshots} == {first.id, second.id}
    assert {snapshot.group for snapshot in group.snapshots} == {group.id}
    assert group.name == "both"
    assert group.created is not None
    assert storage.snapshot_group(group.id) == group
    assert sorted(found.id for found in storage.snapshots()) == sorted(found.id for found in group.snapshots)
    assert {volume.name for volume in storage.volumes()} == {"first", "second"}


def test_a_group_of_other_volumes_is_told_with_both(xms: Xms, storage: XtremIoStorage) -> None:
    first, second = storage.create(spec("first", 1)), storage.create(spec("second", 2))
    storage.create_snapshot_group("both", [first.id])
    wrong = [first.id, second.id]
    fails(AlreadyExists, f"is of {first.id}, and.*{second.id}", lambda: storage.create_snapshot_group("both", wrong))
    fails(InvalidRequest, "no volumes", lambda: storage.create_snapshot_group("none", []))
    fails(NotFound, NOWHERE, lambda: storage.create_snapshot_group("new", [first.id, NOWHERE]))
    assert len(named(xms)) == 3


@pytest.mark.parametrize("empty_sets", ["gone", "kept"])
def test_a_group_goes_with_its_snapshots_and_they_with_it_only(
    xms: Xms, storage: XtremIoStorage, empty_sets: str
) -> None:
    xms.switches.empty_sets = empty_sets  # type: ignore[assignment]
    volumes = [storage.create(spec(name, 1)).id for name in ("first", "second")]
    for _ in range(2):
        group = storage.create_snapshot_group("both", volumes)
        alone = group.snapshots[0].id
        fails(InvalidRequest, f"group snapshot '{group.id}'", partial(storage.remove_snapshot, alone))
        for _ in range(2):
            storage.remove_snapshot_group(group.id)
        fails(NotFound, group.id, partial(storage.snapshot_group, group.id))
        assert named(xms) == ["first", "second"]
    storage.remove_snapshot_group(NONE)
    storage.remove_snapshot_group(SnapshotId("both"))


def test_a_group_whose_snapshots_somebody_deleted_is_taken_anew(xms: Xms, storage: XtremIoStorage) -> None:
    xms.switches.empty_sets = "kept"
    made = storage.create(spec("data", 1))
    first = storage.create_snapshot_group("both", [made.id])
    [member] = [volume for volume in xms.cluster().volumes if volume.is_snapshot]
    xms.store.remove_volume(xms.cluster(), member)
    assert storage.snapshot_group(first.id).snapshots == ()
    second = storage.create_snapshot_group("both", [made.id])
    assert [snapshot.volume_id for snapshot in second.snapshots] == [made.id]
    assert second.id != first.id


def test_a_set_that_is_no_group_of_ours_is_left_alone(xms: Xms, storage: XtremIoStorage) -> None:
    storage.create_snapshot(storage.create(spec("data", 1)).id, "kept")
    [found] = xms.cluster().sets
    storage.remove_snapshot_group(SnapshotId(found.guid))
    fails(NotFound, found.guid, lambda: storage.snapshot_group(SnapshotId(found.guid)))
    assert named(xms) == ["data", "kept.snap"]


def test_what_only_v2_has_is_refused_with_the_version(old_xms: Xms) -> None:
    storage = driver(old_xms)
    made = storage.create(spec("data", 1))
    snapshot = storage.create_snapshot(made.id, "kept")
    fails(Unsupported, r"4\.0.*3\.0\.1-11", lambda: storage.create_snapshot_group("both", [made.id]))
    fails(Unsupported, r"4\.0.*3\.0\.1-11", lambda: storage.rollback(made.id, snapshot.id))
    fails(NotFound, "does not exist", lambda: storage.snapshot_group(NONE))
    storage.remove_snapshot_group(NONE)


@pytest.mark.parametrize("identity", ["kept", "moved"])
def test_a_rollback_puts_the_data_back(xms: Xms, storage: XtremIoStorage, identity: str) -> None:
    xms.switches.restore_identity = identity  # type: ignore[assignment]
    made = storage.create(spec("data", 1))
    _write(xms, b"before")
    snapshot = storage.create_snapshot(made.id, "kept")
    _write(xms, b"after!")
    back = storage.rollback(made.id, snapshot.id)
    assert _read(xms) == b"before"
    assert (back.name, back.size_bytes) == ("data", GIB)
    assert (back.id == made.id) == (identity == "kept")
    _write(xms, b"after!")
    assert storage.rollback(back.id, snapshot.id).name == "data"
    assert _read(xms) == b"before"
    assert named(xms) == ["data", "kept.snap"]


def test_a_rollback_that_would_harm_is_refused(xms: Xms, storage: XtremIoStorage) -> None:
    xms.switches.restore_other_size = "take"
    made, other = storage.create(spec("data", 1)), storage.create(spec("other", 1))
    snapshot = storage.create_snapshot(made.id, "kept")
    fails(InvalidRequest, f"of '{made.id}', not of", lambda: storage.rollback(other.id, snapshot.id))
    fails(NotFound, NOWHERE, lambda: storage.rollback(NOWHERE, snapshot.id))
    fails(NotFound, NOWHERE, lambda: storage.rollback(made.id, NONE))
    fails(NotFound, other.id, lambda: storage.rollback(made.id, SnapshotId(other.id)))
    storage.attach(made.id, HERE)
    fails(InUse, HERE, lambda: storage.rollback(made.id, snapshot.id))
    storage.detach(made.id)
    storage.expand(made.id, 2 * GIB)
    fails(InvalidRequest, "grown since", lambda: storage.rollback(made.id, snapshot.id))
    assert changes(xms).count("POST snapshots") == 1


def _write(xms: Xms, data: bytes) -> None:
    with xms.contents("data").open("r+b") as file:
        file.write(data)


def _read(xms: Xms) -> bytes:
    with xms.contents("data").open("rb") as file:
        return file.read(6)


@pytest.mark.parametrize("snapshot_names", ["suffix", "opaque"])
def test_names_keep_within_64_characters_with_all_that_is_appended(
    xms: Xms, storage: XtremIoStorage, snapshot_names: str
) -> None:
    xms.switches.name_limit, xms.switches.snapshot_names = 64, snapshot_names  # type: ignore[assignment]
    made = storage.create(spec("v" * LONGEST, 1))
    snapshot = storage.create_snapshot(made.id, "s" * LONGEST)
    assert storage.create(spec("c" * LONGEST, source_snapshot=snapshot.id)).name == "c" * LONGEST
    assert len(storage.create_snapshot_group("g" * LONGEST, [made.id]).snapshots) == 1
    assert storage.create(spec("x" * 100, 1)).name == "x" * 100
    assert storage.create_snapshot(made.id, "y" * 100).name == "y" * 100
