"""Copies of snapshots in other regions."""

from __future__ import annotations

from rexray.errors import AlreadyExists, InvalidRequest, NotFound
from rexray.mixins import SnapshotCopy, Snapshots
from rexray.testing.kit.check import Skipped, expect, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.storage.parts import gone_snapshot, ready_snapshot
from rexray.testing.kit.suites import STORAGE


@STORAGE.check(SnapshotCopy, Snapshots)
def a_copied_snapshot_is_another_of_that_name(rig: StorageRig) -> None:
    """``copy_snapshot`` makes a snapshot of that name with an id of its own, as large as the one that it copies."""
    region, name = _region(rig), rig.name("-c")
    source = ready_snapshot(rig, rig.create())
    made = rig.having(SnapshotCopy).copy_snapshot(source.id, name, region)
    expect_equal(made.name, name, "the name of the copy")
    expect(made.id != source.id, f"the copy has the id {source.id!r} of the snapshot that it copies")
    expect(made.size_bytes in (0, source.size_bytes), f"the copy has {made.size_bytes} of {source.size_bytes} bytes")


@STORAGE.check(SnapshotCopy, Snapshots)
def copy_snapshot_said_ten_times_makes_one(rig: StorageRig) -> None:
    """``copy_snapshot`` is idempotent: the copy of that name is made if it is missing."""
    region, name = _region(rig), rig.name("-c")
    source = ready_snapshot(rig, rig.create())
    made = times(10, lambda: rig.having(SnapshotCopy).copy_snapshot(source.id, name, region))
    expect_equal(len({each.id for each in made}), 1, "different ids that ten copies of one name returned")


@STORAGE.check(SnapshotCopy, Snapshots)
def a_copy_leaves_the_snapshot_as_it_is(rig: StorageRig) -> None:
    """The snapshot that is copied stays where and as it is."""
    region, volume = _region(rig), rig.create()
    source = ready_snapshot(rig, volume)
    rig.having(SnapshotCopy).copy_snapshot(source.id, rig.name("-c"), region)
    found = [(each.name, each.volume_id) for each in rig.having(Snapshots).snapshots(snapshot_id=source.id)]
    expect_equal(found, [(source.name, volume.id)], "name and volume of the snapshot after it was copied")


@STORAGE.check(SnapshotCopy, Snapshots)
def a_copy_of_an_unknown_snapshot_is_not_found(rig: StorageRig) -> None:
    """Copying a snapshot that does not exist is ``NotFound``."""
    region, unknown = _region(rig), gone_snapshot(rig)
    with expect_raises(NotFound, what="copying an unknown snapshot"):
        rig.having(SnapshotCopy).copy_snapshot(unknown, rig.name("-c"), region)


@STORAGE.check(SnapshotCopy, Snapshots)
def a_copy_of_another_snapshot_is_refused(rig: StorageRig) -> None:
    """A copy of that name that is of another snapshot is ``AlreadyExists``."""
    region, name, volume = _region(rig), rig.name("-c"), rig.create()
    one, other = ready_snapshot(rig, volume), ready_snapshot(rig, rig.create())
    rig.having(SnapshotCopy).copy_snapshot(one.id, name, region)
    with expect_raises(AlreadyExists, what="copying a snapshot to the name of another one's copy"):
        rig.having(SnapshotCopy).copy_snapshot(other.id, name, region)


@STORAGE.check(SnapshotCopy, Snapshots)
def a_copy_without_a_region_is_refused(rig: StorageRig) -> None:
    """A copy has to be told where it shall be: no region is ``InvalidRequest``."""
    source = ready_snapshot(rig, rig.create())
    with expect_raises(InvalidRequest, what="copying a snapshot without a region"):
        rig.having(SnapshotCopy).copy_snapshot(source.id, rig.name("-c"), "")


def _region(rig: StorageRig) -> str:
    if not rig.region:
        raise Skipped("no region is given to which snapshots can be copied")
    return rig.region
