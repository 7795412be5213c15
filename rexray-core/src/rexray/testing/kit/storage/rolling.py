"""Putting volumes back to their snapshots: the one call that destroys data on purpose."""

from __future__ import annotations

from rexray.errors import InUse, InvalidRequest, NotFound
from rexray.mixins import Expand, Rollback, Snapshots
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig
from rexray.testing.kit.storage.parts import (
    expect_data,
    facts,
    gone_snapshot,
    gone_volume,
    larger_than,
    ready_snapshot,
    write,
)
from rexray.testing.kit.suites import STORAGE
from rexray.types import Snapshot, Volume


@STORAGE.check(Rollback, Snapshots)
def rollback_puts_the_data_back(rig: StorageRig) -> None:
    """``rollback`` puts the snapshot's data back into the volume; what was written since is gone."""
    volume, snapshot = _changed(rig)
    made = rig.having(Rollback).rollback(volume.id, snapshot.id)
    expect_data(rig, made.id, volume, b"a", "the volume after it was rolled back")


@STORAGE.check(Rollback, Snapshots)
def a_volume_that_was_rolled_back_keeps_its_name_and_size(rig: StorageRig) -> None:
    """What ``rollback`` returns is there by its id, as large as before, and the only volume of the name."""
    volume = rig.create()
    snapshot = ready_snapshot(rig, volume)
    made = rig.having(Rollback).rollback(volume.id, snapshot.id)
    expect_equal((made.name, made.size_bytes), (volume.name, volume.size_bytes), "name and size of what it returned")
    expect_equal([each.id for each in rig.named(volume.name)], [made.id], "the volumes of the name afterwards")
    expect_equal(rig.driver.volume(made.id).size_bytes, volume.size_bytes, "the size of the volume afterwards")


@STORAGE.check(Rollback, Snapshots)
def rollback_said_ten_times_is_said_once(rig: StorageRig) -> None:
    """``rollback`` is idempotent: the volume that it returns can be put back to the same snapshot again."""
    volume = rig.create()
    snapshot, made = ready_snapshot(rig, volume), volume
    for _ in range(10):
        made = rig.having(Rollback).rollback(made.id, snapshot.id)
    expect_equal([each.id for each in rig.named(volume.name)], [made.id], "the volumes of the name after ten rollbacks")


@STORAGE.check(Rollback, Snapshots)
def rollback_of_an_attached_volume_is_refused(rig: StorageRig) -> None:
    """An attached volume is ``InUse``, and stays attached: its host would not notice that its data has changed."""
    [host], volume = rig.hosts(1), rig.create()
    snapshot = ready_snapshot(rig, volume)
    made = rig.driver.attach(volume.id, host)
    with expect_raises(InUse, what="rolling back an attached volume"):
        rig.having(Rollback).rollback(volume.id, snapshot.id)
    expect_equal(list(map(facts, rig.driver.attachments(volume.id))), [facts(made)], "the attachments afterwards")


@STORAGE.check(Rollback, Snapshots)
def a_rollback_that_is_refused_changes_no_data(rig: StorageRig) -> None:
    """Refused because the volume is attached, or because the snapshot is another's, it has changed nothing."""
    [host], (volume, snapshot) = rig.hosts(1), _changed(rig)
    other = rig.create()
    write(rig, other, b"o")
    foreign = ready_snapshot(rig, other)
    with expect_raises(InvalidRequest, NotFound, what="rolling a volume back to another one's snapshot"):
        rig.having(Rollback).rollback(volume.id, foreign.id)
    rig.driver.attach(volume.id, host)
    with expect_raises(InUse, what="rolling back an attached volume"):
        rig.having(Rollback).rollback(volume.id, snapshot.id)
    rig.driver.detach(volume.id)
    expect_data(rig, volume.id, volume, b"b", "the volume after the rollbacks were refused")


@STORAGE.check(Rollback, Snapshots)
def rollback_to_another_volumes_snapshot_is_refused(rig: StorageRig) -> None:
    """A snapshot of another volume is ``InvalidRequest`` (or ``NotFound``): neither volume gets the other's data."""
    volume, other = rig.create(), rig.create()
    snapshot = ready_snapshot(rig, other)
    with expect_raises(InvalidRequest, NotFound, what="rolling a volume back to another one's snapshot"):
        rig.having(Rollback).rollback(volume.id, snapshot.id)


@STORAGE.check(Rollback, Snapshots)
def rollback_to_an_unknown_snapshot_is_not_found(rig: StorageRig) -> None:
    """A snapshot that does not exist is ``NotFound``, and the volume keeps its id and its size."""
    volume, unknown = rig.create(), gone_snapshot(rig)
    with expect_raises(NotFound, InvalidRequest, what="rolling a volume back to an unknown snapshot"):
        rig.having(Rollback).rollback(volume.id, unknown)
    expect_equal(rig.driver.volume(volume.id).size_bytes, volume.size_bytes, "the size of the volume afterwards")


@STORAGE.check(Rollback, Snapshots)
def rollback_of_an_unknown_volume_is_not_found(rig: StorageRig) -> None:
    """A volume that does not exist is ``NotFound``, or ``InvalidRequest`` as the snapshot is not its own."""
    unknown, snapshot = gone_volume(rig), ready_snapshot(rig, rig.create())
    with expect_raises(NotFound, InvalidRequest, what="rolling back an unknown volume"):
        rig.having(Rollback).rollback(unknown, snapshot.id)


@STORAGE.check(Rollback, Snapshots)
def snapshots_outlive_a_rollback(rig: StorageRig) -> None:
    """The snapshot that a volume was put back to stays, and so does one that was taken later."""
    volume = rig.create()
    older, newer = ready_snapshot(rig, volume), ready_snapshot(rig, volume)
    rig.having(Rollback).rollback(volume.id, older.id)
    for snapshot in (older, newer):
        found = [each.id for each in rig.having(Snapshots).snapshots(snapshot_id=snapshot.id)]
        expect_equal(found, [snapshot.id], "a snapshot after its volume was rolled back")


@STORAGE.check(Rollback, Snapshots)
def a_volume_can_go_back_and_forth(rig: StorageRig) -> None:
    """After a rollback a newer snapshot still has what it had: putting the volume forward to it works too."""
    volume, older = _changed(rig)
    newer = ready_snapshot(rig, volume)
    made = rig.having(Rollback).rollback(volume.id, older.id)
    expect_data(rig, made.id, volume, b"a", "the volume, put back to the older snapshot")
    made = rig.having(Rollback).rollback(made.id, newer.id)
    expect_data(rig, made.id, volume, b"b", "the volume, put forward to the newer snapshot")


@STORAGE.check(Rollback, Snapshots, Expand)
def a_volume_that_has_grown_is_put_back_or_left_alone(rig: StorageRig) -> None:
    """A volume that has grown since is put back to the snapshot's data, or refused with what it has now."""
    volume, snapshot = _changed(rig)
    rig.having(Expand).expand(volume.id, larger_than(rig, volume))
    try:
        made = rig.having(Rollback).rollback(volume.id, snapshot.id)
    except InvalidRequest:
        expect_data(rig, volume.id, volume, b"b", "the volume that was not rolled back")
    else:
        expect(made.size_bytes >= snapshot.size_bytes, f"{made.size_bytes} bytes cannot hold the snapshot's data")
        expect_data(rig, made.id, volume, b"a", "the volume after it was rolled back")


def _changed(rig: StorageRig) -> tuple[Volume, Snapshot]:
    """A volume that was written to since a snapshot of it was taken: it has ``b``, and had ``a``."""
    volume = rig.create()
    write(rig, volume, b"a")
    snapshot = ready_snapshot(rig, volume)
    write(rig, volume, b"b")
    return volume, snapshot
