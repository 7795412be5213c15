"""Snapshots: taken once, of one volume, kept as they are, and good to make volumes of."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from rexray.errors import AlreadyExists, NotFound
from rexray.mixins import Snapshots
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.storage.parts import (
    at_one_moment,
    gone_snapshot,
    gone_volume,
    until_ready,
)
from rexray.testing.kit.suites import STORAGE
from rexray.types import Snapshot, SnapshotId, VolumeId

HOSTILE = (" two  blanks ", "-ünï🙂", "-'\"`$(x);--", "-%s{0}\\n", "-" + "n" * 90)
"""What names of snapshots may end in: 128 bytes at most, and no slash, as for volumes."""

CLOCKS = timedelta(minutes=30)
"""How far the platform's clock may be from this host's."""


@STORAGE.check(Snapshots)
def a_snapshot_has_the_name_and_the_volume(rig: StorageRig) -> None:
    """``create_snapshot`` takes a snapshot of the volume that bears the name, and it is listed."""
    volume, name = rig.create(), rig.name("-s")
    made = rig.snapshot(volume, name)
    expect_equal((made.name, made.volume_id), (name, volume.id), "the name and the volume of the snapshot")
    expect_equal(_ids(rig, volume_id=volume.id), [made.id], "the snapshots of the volume afterwards")


@STORAGE.check(Snapshots)
def create_snapshot_said_ten_times_takes_one(rig: StorageRig) -> None:
    """``create_snapshot`` is idempotent: the snapshot of that name is taken if it is missing."""
    volume, name = rig.create(), rig.name("-s")
    ids = {each.id for each in times(10, lambda: rig.snapshot(volume, name))}
    expect_equal(len(ids), 1, "different ids that ten create_snapshot of one name returned")
    expect_equal(_ids(rig, volume_id=volume.id), list(ids), "the snapshots of the volume afterwards")


@STORAGE.check(Snapshots)
def create_snapshot_at_one_moment_takes_one(rig: StorageRig) -> None:
    """So it is when several callers say it at the same moment."""
    volume, name = rig.create(), rig.name("-s")
    driver, other = rig.having(Snapshots), rig.restarted()
    assert isinstance(other, Snapshots)
    calls = [lambda each=each: each.create_snapshot(volume.id, name) for each in (driver, driver, other, other)]
    ids = {each.id for each in at_one_moment(rig, "taking a snapshot", *calls)}
    expect_equal(len(ids), 1, "different ids that were returned")
    expect_equal(len(_ids(rig, volume_id=volume.id)), 1, "snapshots of the volume afterwards")


@STORAGE.check(Snapshots)
def a_snapshot_name_of_another_volume_is_refused(rig: StorageRig) -> None:
    """A snapshot of that name that is of another volume is ``AlreadyExists``, and stays; none is taken."""
    one, other, name = rig.create(), rig.create(), rig.name("-s")
    made = rig.snapshot(one, name)
    with expect_raises(AlreadyExists, what="taking a snapshot whose name one of another volume has"):
        rig.snapshot(other, name)
    expect_equal(_ids(rig, volume_id=one.id), [made.id], "the snapshots of the volume that had the name")
    expect_equal(_ids(rig, volume_id=other.id), [], "the snapshots of the other volume")


@STORAGE.check(Snapshots)
def snapshots_of_a_volume_are_those_alone(rig: StorageRig) -> None:
    """``snapshots`` with a volume lists that volume's, each once, and those only."""
    one, other, none = rig.create(), rig.create(), rig.create()
    wanted = {rig.snapshot(one).id for _ in range(3)}
    rig.snapshot(other)
    expect_equal(
        Counter(_ids(rig, volume_id=one.id)), Counter(wanted), "how often each snapshot of the volume is listed"
    )
    expect_equal(_ids(rig, volume_id=none.id), [], "the snapshots of a volume that has none")


@STORAGE.check(Snapshots)
def snapshots_by_id_are_that_one(rig: StorageRig) -> None:
    """``snapshots`` with an id lists that one as it was taken, and with two filters what has both."""
    one, other = rig.create(), rig.create()
    wanted = rig.snapshot(one)
    rig.snapshot(one)
    driver = rig.having(Snapshots)
    found = [_facts(each) for each in driver.snapshots(snapshot_id=wanted.id)]
    expect_equal(found, [_facts(wanted)], f"id, volume and size of the snapshots with the id {wanted.id!r}")
    expect_equal(_ids(rig, volume_id=one.id, snapshot_id=wanted.id), [wanted.id], "those of its volume with that id")
    expect_equal(_ids(rig, volume_id=other.id, snapshot_id=wanted.id), [], "those of another volume with that id")


@STORAGE.check(Snapshots)
def snapshots_lists_all_of_them_once(rig: StorageRig) -> None:
    """``snapshots`` without a filter lists every snapshot of every volume once, also for a driver just started."""
    wanted = {rig.snapshot(volume).id for volume in (rig.create(), rig.create()) for _ in range(2)}
    again = rig.restarted()
    assert isinstance(again, Snapshots)
    for what, driver in (("", rig.having(Snapshots)), (" by a restarted driver", again)):
        found = Counter(each.id for each in driver.snapshots() if each.id in wanted)
        expect_equal(found, Counter(wanted), f"how often each snapshot is listed{what}")


@STORAGE.check(Snapshots, reads_only=True)
def snapshots_in_the_list_have_ids_of_their_own(rig: StorageRig) -> None:
    """Every snapshot in the list has an id, and none has another one's."""
    found = Counter(each.id for each in rig.having(Snapshots).snapshots())
    expect(all(found), "a snapshot without an id is listed")
    twice = [each for each, count in found.items() if count > 1]
    expect_equal(twice, [], "ids that are listed several times")


@STORAGE.check(Snapshots, reads_only=True)
def an_unknown_snapshot_id_lists_nothing(rig: StorageRig) -> None:
    """``snapshots`` with an id that nothing has is an empty list, and no error."""
    expect_equal(_ids(rig, snapshot_id=SnapshotId(rig.name("-none"))), [], "the snapshots of an unknown id")


@STORAGE.check(Snapshots)
def a_removed_snapshot_is_not_listed(rig: StorageRig) -> None:
    """``remove_snapshot`` deletes the snapshot, and said ten times is success; what else is there stays."""
    volume = rig.create()
    gone, kept = rig.snapshot(volume), rig.snapshot(volume)
    times(10, lambda: rig.having(Snapshots).remove_snapshot(gone.id))
    expect_equal(_ids(rig, volume_id=volume.id), [kept.id], "the snapshots of the volume afterwards")
    expect_equal(_ids(rig, snapshot_id=gone.id), [], "the snapshots with the id of the removed one")
    expect_equal(len(rig.named(volume.name)), 1, "volumes of the name after a snapshot was removed")


@STORAGE.check(Snapshots)
def remove_snapshot_of_an_unknown_one_succeeds(rig: StorageRig) -> None:
    """Removing a snapshot that is missing is success, whatever the id looks like."""
    driver = rig.having(Snapshots)
    driver.remove_snapshot(gone_snapshot(rig))
    driver.remove_snapshot(SnapshotId(rig.name("-none")))


@STORAGE.check(Snapshots)
def a_snapshot_name_is_free_once_it_is_removed(rig: StorageRig) -> None:
    """A snapshot that was removed can be taken anew, of another volume too."""
    one, other, name = rig.create(), rig.create(), rig.name("-s")
    rig.having(Snapshots).remove_snapshot(rig.snapshot(one, name).id)
    made = rig.snapshot(other, name)
    expect_equal(made.volume_id, other.id, "the volume of the snapshot that was taken anew")
    expect_equal(_ids(rig, volume_id=other.id), [made.id], "the snapshots of the volume afterwards")


@STORAGE.check(Snapshots)
def a_snapshot_of_an_unknown_volume_is_not_found(rig: StorageRig) -> None:
    """Taking a snapshot of a volume that does not exist is ``NotFound``, and the volume's list is empty."""
    unknown = gone_volume(rig)
    with expect_raises(NotFound, what="taking a snapshot of an unknown volume"):
        rig.having(Snapshots).create_snapshot(unknown, rig.name("-s"))
    expect_equal(_ids(rig, volume_id=unknown), [], "the snapshots of a volume that does not exist")


@STORAGE.check(Snapshots)
def a_snapshot_becomes_ready(rig: StorageRig) -> None:
    """A snapshot that is not ``ready`` when ``create_snapshot`` returns becomes so."""
    volume = rig.create()
    ready = until_ready(rig, rig.snapshot(volume))
    found = [each.ready for each in rig.having(Snapshots).snapshots(snapshot_id=ready.id)]
    expect_equal(found, [True], "whether the snapshot is ready by the list")


@STORAGE.check(Snapshots)
def a_snapshot_is_as_large_as_its_volume(rig: StorageRig) -> None:
    """``size_bytes`` is the size of the volume that the snapshot was taken of."""
    volume = rig.create(size_bytes=rig.size_bytes + rig.step_bytes)
    made = rig.snapshot(volume)
    for found in (made, *rig.having(Snapshots).snapshots(snapshot_id=made.id)):
        expect_equal(found.size_bytes, volume.size_bytes, "the size of the snapshot")


@STORAGE.check(Snapshots)
def a_snapshot_says_when_it_was_taken(rig: StorageRig) -> None:
    """``created``, where the platform says it, is in UTC and is the moment at which the snapshot was taken."""
    made = rig.snapshot(rig.create())
    for found in (made, *rig.having(Snapshots).snapshots(snapshot_id=made.id)):
        if found.created is not None:
            expect_equal(found.created.utcoffset(), timedelta(0), "how far the time of the snapshot is from UTC")
            away = abs(datetime.now(UTC) - found.created)
            expect(away < CLOCKS, f"the snapshot was taken now, and says {found.created}: is that another zone's time?")


@STORAGE.check(Snapshots)
def a_description_is_kept_as_it_is(rig: StorageRig) -> None:
    """A snapshot's ``description`` is the one that was given, or empty where the platform has no place for one."""
    volume, text = rig.create(), "before the upgrade: 100% «sure»"
    made = rig.having(Snapshots).create_snapshot(volume.id, rig.name("-s"), text)
    for found in (made, *rig.having(Snapshots).snapshots(snapshot_id=made.id)):
        expect(found.description in ("", text), f"the description is {found.description!r}, where {text!r} was given")
        expect_equal(found.description, made.description, "the description in the list, beside the one returned")


@STORAGE.check(Snapshots)
def snapshots_may_have_strange_names(rig: StorageRig) -> None:
    """What volumes may be called snapshots may be too; each name is one snapshot, whatever it looks like."""
    volume, seen = rig.create(), set()
    for ending in HOSTILE:
        name = rig.name(ending)
        made = rig.snapshot(volume, name)
        expect_equal(made.name, name, "the name of the snapshot")
        expect_equal(rig.snapshot(volume, name).id, made.id, f"the id of snapshot {name!r} when it is said again")
        seen.add(made.id)
    expect_equal(len(seen), len(HOSTILE), "different snapshots of as many names")
    expect_equal(set(_ids(rig, volume_id=volume.id)), seen, "the snapshots of the volume")


@STORAGE.check(Snapshots)
def a_snapshot_is_no_volume(rig: StorageRig) -> None:
    """A snapshot is not among the volumes, also where the platform keeps both alike."""
    volume = rig.create()
    made = rig.snapshot(volume)
    found = [each.id for each in rig.driver.volumes() if each.name == made.name or str(each.id) == str(made.id)]
    expect(not found, f"the snapshot is listed as volume {found}")
    expect_equal(len(rig.named(volume.name)), 1, "volumes of the name of the one that a snapshot was taken of")


@STORAGE.check(Snapshots)
def a_snapshot_that_was_killed_and_said_again_is_one(rig: StorageRig) -> None:
    """A process that is killed anywhere in ``create_snapshot`` leaves what a repeat finishes: one snapshot."""
    for killed in sweep(
        rig.target, rig.sources, lambda: Call(method="create_snapshot", arguments=(rig.create().id, rig.name("-s")))
    ):
        volume_id, name = killed.call.arguments
        made = rig.having(Snapshots).create_snapshot(volume_id, name)  # type: ignore[arg-type] # as it was given
        found = _ids(rig, volume_id=volume_id)  # type: ignore[arg-type] # as above
        expect_equal(found, [made.id], f"the snapshots of the volume, killed {killed.where} and repeated")
        until_ready(rig, made)


def _ids(
    rig: StorageRig, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
) -> list[SnapshotId]:
    found = rig.having(Snapshots).snapshots(volume_id=volume_id, snapshot_id=snapshot_id)
    return [each.id for each in found]


def _facts(snapshot: Snapshot) -> tuple[str, str, int]:
    """What the list tells of a snapshot as it was returned; a name may be kept as a hash of it."""
    return (snapshot.id, snapshot.volume_id, snapshot.size_bytes)
