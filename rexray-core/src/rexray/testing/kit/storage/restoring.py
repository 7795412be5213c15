"""Volumes that are made of snapshots."""

from __future__ import annotations

from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, OutOfRange
from rexray.mixins import Snapshots
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.storage.parts import (
    expect_data,
    expect_mark,
    gone_snapshot,
    larger_than,
    mark,
    ready_snapshot,
    write,
)
from rexray.testing.kit.suites import STORAGE
from rexray.types import Snapshot, Volume


@STORAGE.check(Snapshots)
def a_volume_of_a_snapshot_has_its_data(rig: StorageRig) -> None:
    """``create`` with ``source_snapshot`` makes a volume of at least the snapshot's size, with what it has."""
    volume = rig.create()
    write(rig, volume, b"a")
    snapshot = ready_snapshot(rig, volume)
    made = _made_of(rig, snapshot)
    expect(made.size_bytes >= volume.size_bytes, f"{made.size_bytes} bytes are less than its source's")
    expect_data(rig, made.id, volume, b"a", "the volume that was made of a snapshot")


@STORAGE.check(Snapshots)
def a_snapshot_keeps_what_the_volume_had(rig: StorageRig) -> None:
    """What is written to a volume after a snapshot was taken does not change the snapshot."""
    volume = rig.create()
    write(rig, volume, b"a")
    snapshot = ready_snapshot(rig, volume)
    write(rig, volume, b"b")
    expect_data(rig, _made_of(rig, snapshot).id, volume, b"a", "a volume that was made of the older snapshot")
    expect_data(rig, volume.id, volume, b"b", "the volume itself")


@STORAGE.check(Snapshots)
def a_volume_of_a_snapshot_is_independent(rig: StorageRig) -> None:
    """What is written to a volume that was made of a snapshot changes neither that nor the snapshot's volume."""
    volume = rig.create()
    write(rig, volume, b"a")
    snapshot = ready_snapshot(rig, volume)
    write(rig, _made_of(rig, snapshot), b"c")
    expect_data(rig, volume.id, volume, b"a", "the volume that the snapshot is of")
    expect_data(rig, _made_of(rig, snapshot).id, volume, b"a", "the next volume that was made of the snapshot")


@STORAGE.check(Snapshots)
def a_volume_of_a_snapshot_may_be_larger(rig: StorageRig) -> None:
    """A size beyond the snapshot's is honoured."""
    snapshot = ready_snapshot(rig, rig.create())
    wanted = snapshot.size_bytes + rig.step_bytes
    made = rig.create(source_snapshot=snapshot.id, size_bytes=wanted)
    expect(made.size_bytes >= wanted, f"asked for {wanted} bytes, it made {made.size_bytes}")
    expect_equal(rig.driver.volume(made.id).size_bytes, made.size_bytes, "its size afterwards")


@STORAGE.check(Snapshots)
def a_volume_of_a_snapshot_cannot_be_smaller(rig: StorageRig) -> None:
    """A size below the snapshot's is ``OutOfRange`` or ``InvalidRequest``, and nothing is made."""
    small = rig.create()
    snapshot = ready_snapshot(rig, rig.create(size_bytes=larger_than(rig, small)))
    name = rig.name()
    with expect_raises(OutOfRange, InvalidRequest, what="making a volume that is smaller than its snapshot"):
        rig.create(name, source_snapshot=snapshot.id, size_bytes=small.size_bytes)
    expect_equal(rig.named(name), [], "the volumes of the name afterwards")


@STORAGE.check(Snapshots)
def a_volume_of_a_snapshot_keeps_to_the_limit(rig: StorageRig) -> None:
    """A snapshot beyond ``limit_bytes`` is ``OutOfRange``, and nothing is made."""
    snapshot, name = ready_snapshot(rig, rig.create()), rig.name()
    with expect_raises(OutOfRange, what="making a volume whose limit is below the size of its snapshot"):
        rig.create(name, source_snapshot=snapshot.id, size_bytes=0, limit_bytes=snapshot.size_bytes - 1)
    expect_equal(rig.named(name), [], "the volumes of the name afterwards")


@STORAGE.check(Snapshots)
def a_volume_of_an_unknown_snapshot_is_not_found(rig: StorageRig) -> None:
    """A ``source_snapshot`` that does not exist is ``NotFound``, and nothing is made: least of all an empty volume."""
    unknown, name = gone_snapshot(rig), rig.name()
    with expect_raises(NotFound, what="making a volume of an unknown snapshot"):
        rig.create(name, source_snapshot=unknown)
    expect_equal(rig.named(name), [], "the volumes of the name afterwards")


@STORAGE.check(Snapshots)
def a_volume_of_a_snapshot_is_made_once(rig: StorageRig) -> None:
    """Making a volume of a snapshot is idempotent; made of another one, or of none, it is ``AlreadyExists``."""
    volume, name = rig.create(), rig.name()
    snapshot, other = ready_snapshot(rig, volume), ready_snapshot(rig, volume)
    wish = {"source_snapshot": snapshot.id, "size_bytes": snapshot.size_bytes}
    ids = {each.id for each in times(10, lambda: rig.create(name, **wish))}
    expect_equal([each.id for each in rig.named(name)], list(ids), "the volumes of the name after ten creates")
    with expect_raises(AlreadyExists, what="making a volume of a snapshot whose name one of another snapshot has"):
        rig.create(name, **{**wish, "source_snapshot": other.id})
    with expect_raises(AlreadyExists, what="making a volume of a snapshot whose name an empty volume has"):
        rig.create(volume.name, **wish)


@STORAGE.check(Snapshots)
def a_volume_outlives_the_snapshot_that_it_was_made_of(rig: StorageRig) -> None:
    """Removing a snapshot leaves the volumes that were made of it, or is ``InUse`` and removes nothing."""
    volume = rig.create()
    mark(rig, volume, b"o")
    snapshot = ready_snapshot(rig, volume)
    made = _made_of(rig, snapshot)
    try:
        rig.having(Snapshots).remove_snapshot(snapshot.id)
    except InUse:
        expect(_there(rig, snapshot), "the snapshot whose removal was refused is gone")
    else:
        expect(not _there(rig, snapshot), "the snapshot that was removed is still listed")
    expect_equal([each.id for each in rig.named(made.name)], [made.id], "the volume that was made of the snapshot")
    expect_mark(rig, made.id, volume, b"o", "a volume whose snapshot was removed")
    rig.driver.remove(made.id)


@STORAGE.check(Snapshots)
def a_snapshot_is_never_lost_with_its_volume(rig: StorageRig) -> None:
    """Removing a volume that has snapshots keeps them, or is ``InUse`` and keeps both: it never deletes them."""
    volume = rig.create()
    mark(rig, volume, b"o")
    snapshot = ready_snapshot(rig, volume)
    try:
        rig.driver.remove(volume.id)
    except InUse:
        expect_equal(len(rig.named(volume.name)), 1, "volumes of the name whose removal was refused")
    else:
        expect_equal(rig.named(volume.name), [], "the volumes of the name of the one that was removed")
    expect(_there(rig, snapshot), "the snapshot is gone with its volume")
    made = _made_of(rig, snapshot)
    expect_mark(rig, made.id, volume, b"o", "a volume that was made of the snapshot afterwards")
    rig.having(Snapshots).remove_snapshot(snapshot.id)


def _made_of(rig: StorageRig, snapshot: Snapshot) -> Volume:
    return rig.create(source_snapshot=snapshot.id, size_bytes=snapshot.size_bytes)


def _there(rig: StorageRig, snapshot: Snapshot) -> bool:
    return any(each.id == snapshot.id for each in rig.having(Snapshots).snapshots(snapshot_id=snapshot.id))
