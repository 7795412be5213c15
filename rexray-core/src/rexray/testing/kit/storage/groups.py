"""Group snapshots: all of the volumes or none, taken once, and removed together."""

from __future__ import annotations

from rexray.errors import AlreadyExists, InvalidRequest, NotFound, RexrayError
from rexray.mixins import GroupSnapshots, Snapshots
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.storage.parts import expect_data, gone_volume, until_ready, write
from rexray.testing.kit.suites import STORAGE
from rexray.types import SnapshotGroup, SnapshotId, Volume


@STORAGE.check(GroupSnapshots)
def a_group_has_a_snapshot_of_each_volume(rig: StorageRig) -> None:
    """``create_snapshot_group`` takes one snapshot of each volume, and each says to which group it belongs."""
    volumes, name = _volumes(rig), rig.name("-g")
    made = rig.group(volumes, name)
    expect_equal(made.name, name, "the name of the group")
    found = sorted(each.volume_id for each in made.snapshots)
    expect_equal(found, sorted(each.id for each in volumes), "the volumes of the group's snapshots")
    expect_equal({each.group for each in made.snapshots}, {made.id}, "the groups that its snapshots say they are of")
    expect_equal(len({each.id for each in made.snapshots}), len(volumes), "different ids of its snapshots")


@STORAGE.check(GroupSnapshots)
def create_snapshot_group_said_ten_times_takes_one(rig: StorageRig) -> None:
    """``create_snapshot_group`` is idempotent, in whatever order the volumes are named."""
    volumes, name = _volumes(rig), rig.name("-g")
    made = {_facts(each) for each in times(9, lambda: rig.group(volumes, name))}
    made.add(_facts(rig.group(reversed(volumes), name)))
    expect_equal(len(made), 1, "different groups that ten create_snapshot_group returned")


@STORAGE.check(GroupSnapshots)
def a_group_of_other_volumes_is_refused(rig: StorageRig) -> None:
    """A group of that name that is of other volumes, or of fewer or more, is ``AlreadyExists``, and stays."""
    (one, other), third, name = _volumes(rig), rig.create(), rig.name("-g")
    made = rig.group([one, other], name)
    for volumes in ([one, third], [one], [one, other, third]):
        with expect_raises(AlreadyExists, what="taking a group whose name one of other volumes has"):
            rig.group(volumes, name)
    expect_equal(_facts(_driver(rig).snapshot_group(made.id)), _facts(made), "the group afterwards")


@STORAGE.check(GroupSnapshots)
def a_group_with_an_unknown_volume_is_not_taken(rig: StorageRig) -> None:
    """All of them or none: with an unknown volume it is ``NotFound``, and the others get no snapshot."""
    volume, unknown, name = rig.create(), gone_volume(rig), rig.name("-g")
    with expect_raises(NotFound, what="taking a group snapshot of a volume and an unknown one"):
        rig.keep_group(_driver(rig).create_snapshot_group(name, [volume.id, unknown]))
    if isinstance(rig.driver, Snapshots):
        expect_equal(list(rig.driver.snapshots(volume_id=volume.id)), [], "the snapshots of the volume that exists")
    made = rig.group([volume], name)
    expect_equal([each.volume_id for each in made.snapshots], [volume.id], "the volumes of the group taken after that")


@STORAGE.check(GroupSnapshots)
def a_group_of_no_volumes_is_refused(rig: StorageRig) -> None:
    """A group snapshot of nothing is ``InvalidRequest``."""
    with expect_raises(InvalidRequest, what="taking a group snapshot of no volumes"):
        rig.group([])


@STORAGE.check(GroupSnapshots)
def a_group_is_the_same_when_it_is_looked_up(rig: StorageRig) -> None:
    """``snapshot_group`` returns the group with its snapshots as they were taken, also for a driver just started."""
    made = rig.group(_volumes(rig))
    again = rig.restarted()
    assert isinstance(again, GroupSnapshots)
    for what, driver in (("", _driver(rig)), (" by a restarted driver", again)):
        expect_equal(_facts(driver.snapshot_group(made.id)), _facts(made), f"the group as it is looked up{what}")


@STORAGE.check(GroupSnapshots, reads_only=True)
def an_unknown_group_is_not_found(rig: StorageRig) -> None:
    """``snapshot_group`` of an id that nothing has is ``NotFound``."""
    with expect_raises(NotFound, what="looking up an unknown group snapshot"):
        _driver(rig).snapshot_group(SnapshotId(rig.name("-none")))


@STORAGE.check(GroupSnapshots)
def a_group_is_removed_with_its_snapshots(rig: StorageRig) -> None:
    """``remove_snapshot_group`` deletes the group and its snapshots, ten times over, and leaves the volumes."""
    volumes = _volumes(rig)
    made = rig.group(volumes)
    times(10, lambda: _driver(rig).remove_snapshot_group(made.id))
    with expect_raises(NotFound, what="looking up a group that was removed"):
        _driver(rig).snapshot_group(made.id)
    if isinstance(rig.driver, Snapshots):
        left = [each.id for volume in volumes for each in rig.driver.snapshots(volume_id=volume.id)]
        expect_equal(left, [], "snapshots of the volumes after the group was removed")
    for volume in volumes:
        expect_equal(len(rig.named(volume.name)), 1, "volumes of the name after the group was removed")


@STORAGE.check(GroupSnapshots)
def removing_a_group_leaves_other_snapshots(rig: StorageRig) -> None:
    """With a group go its own snapshots, and no others of the same volumes."""
    volumes = _volumes(rig)
    gone, kept = rig.group(volumes), rig.group(volumes)
    _driver(rig).remove_snapshot_group(gone.id)
    expect_equal(_facts(_driver(rig).snapshot_group(kept.id)), _facts(kept), "the other group of the same volumes")


@STORAGE.check(GroupSnapshots)
def remove_of_an_unknown_group_succeeds(rig: StorageRig) -> None:
    """Removing a group that is missing is success, whatever the id looks like."""
    _driver(rig).remove_snapshot_group(SnapshotId(rig.name("-none")))


@STORAGE.check(GroupSnapshots, Snapshots)
def snapshots_of_a_group_are_listed(rig: StorageRig) -> None:
    """A group's snapshots are snapshots like others: the list has them, and says to which group they belong."""
    made = rig.group(_volumes(rig))
    driver = rig.having(Snapshots)
    for snapshot in made.snapshots:
        for filters in ({"volume_id": snapshot.volume_id}, {"snapshot_id": snapshot.id}):
            found = [(each.id, each.group) for each in driver.snapshots(**filters)]
            expect_equal(
                found, [(snapshot.id, made.id)], "id and group of the listed snapshots of a volume of the group"
            )


@STORAGE.check(GroupSnapshots, Snapshots)
def a_group_that_loses_a_snapshot_says_so(rig: StorageRig) -> None:
    """Removing one snapshot of a group is refused and the group stays whole, or the group lists it no more."""
    made = rig.group(_volumes(rig))
    one = made.snapshots[0]
    try:
        rig.having(Snapshots).remove_snapshot(one.id)
    except RexrayError:
        expect_equal(_facts(_driver(rig).snapshot_group(made.id)), _facts(made), "the group after that was refused")
    else:
        left = {each.id for each in _driver(rig).snapshot_group(made.id).snapshots}
        expect_equal(
            left, {each.id for each in made.snapshots} - {one.id}, "the group's snapshots after one was removed"
        )


@STORAGE.check(GroupSnapshots, Snapshots)
def volumes_of_a_group_have_their_data(rig: StorageRig) -> None:
    """Of each snapshot of a group a volume can be made that has what the group's volume had."""
    volumes = _volumes(rig)
    marks = dict(zip([each.id for each in volumes], (b"a", b"b"), strict=True))
    for volume in volumes:
        write(rig, volume, marks[volume.id])
    made = rig.group(volumes)
    for volume in volumes:
        write(rig, volume, b"z")
    for snapshot in made.snapshots:
        until_ready(rig, snapshot)
        [volume] = [each for each in volumes if each.id == snapshot.volume_id]
        copy = rig.create(source_snapshot=snapshot.id, size_bytes=volume.size_bytes)
        expect_data(rig, copy.id, volume, marks[volume.id], "a volume that was made of a group's snapshot")


@STORAGE.check(GroupSnapshots)
def a_group_that_was_killed_and_said_again_is_one(rig: StorageRig) -> None:
    """A process that is killed anywhere in ``create_snapshot_group`` leaves what a repeat finishes: one whole group."""

    def make() -> Call:
        ids = [volume.id for volume in _volumes(rig)]
        return Call(method="create_snapshot_group", arguments=(rig.name("-g"), ids))

    for killed in sweep(rig.target, rig.sources, make):
        name, ids = killed.call.arguments
        made = _driver(rig).create_snapshot_group(name, ids)  # type: ignore[arg-type] # as it was given
        rig.keep_group(made)
        found = sorted(each.volume_id for each in made.snapshots)
        expect_equal(found, sorted(ids), f"the volumes of the group, killed {killed.where} and repeated")  # type: ignore[call-overload] # as above
        if isinstance(rig.driver, Snapshots):
            for snapshot in made.snapshots:
                there = list(rig.driver.snapshots(volume_id=snapshot.volume_id))
                expect(len(there) == 1, f"{len(there)} snapshots of a volume, killed {killed.where} and repeated")


def _driver(rig: StorageRig) -> GroupSnapshots:
    return rig.having(GroupSnapshots)


def _volumes(rig: StorageRig) -> list[Volume]:
    return [rig.create(), rig.create()]


def _facts(group: SnapshotGroup) -> tuple[str, frozenset[tuple[str, str]]]:
    """What of a group stays as it is; its name may be kept as a hash of it."""
    return (group.id, frozenset((each.id, each.volume_id) for each in group.snapshots))
