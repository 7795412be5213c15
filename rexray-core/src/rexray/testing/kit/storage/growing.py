"""Growing volumes, which never shrink and lose nothing."""

from __future__ import annotations

from rexray.errors import InUse, NotFound, OutOfRange
from rexray.mixins import Expand, Snapshots
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.storage.parts import expect_data, facts, gone_volume, larger_than, write
from rexray.testing.kit.suites import STORAGE
from rexray.types import Volume


@STORAGE.check(Expand)
def expand_makes_the_volume_as_large_as_was_asked(rig: StorageRig) -> None:
    """``expand`` grows the volume to at least that size and returns it so; it keeps its id and its name."""
    volume = rig.create()
    wanted = larger_than(rig, volume)
    made = rig.having(Expand).expand(volume.id, wanted)
    expect_equal((made.id, made.name), (volume.id, volume.name), "id and name of the volume that expand returned")
    expect(made.size_bytes >= wanted, f"asked for {wanted} bytes, it has {made.size_bytes}")


@STORAGE.check(Expand)
def expand_said_ten_times_grows_once(rig: StorageRig) -> None:
    """``expand`` is idempotent: as large already is success, and the size stays."""
    volume = rig.create()
    wanted = larger_than(rig, volume)
    sizes = {each.size_bytes for each in times(10, lambda: rig.having(Expand).expand(volume.id, wanted))}
    expect_equal(len(sizes), 1, f"different sizes that ten expands to {wanted} bytes returned ({sizes})")


@STORAGE.check(Expand)
def the_grown_size_is_told_everywhere(rig: StorageRig) -> None:
    """``volume`` and ``volumes`` tell the size that ``expand`` returned, also by a driver just started."""
    volume = rig.create()
    size = rig.having(Expand).expand(volume.id, larger_than(rig, volume)).size_bytes
    for what, driver in (("", rig.driver), (" by a restarted driver", rig.restarted())):
        expect_equal(driver.volume(volume.id).size_bytes, size, f"the size of the grown volume{what}")
        listed = [each.size_bytes for each in rig.named(volume.name, driver)]
        expect_equal(listed, [size], f"the sizes of the volumes of the name in the list{what}")


@STORAGE.check(Expand)
def expand_to_a_smaller_size_changes_nothing(rig: StorageRig) -> None:
    """Volumes never shrink: a size below the volume's is success, and it stays as large as it is."""
    volume = rig.create(size_bytes=rig.size_bytes + rig.step_bytes)
    for size in (volume.size_bytes - 1, 1):
        made = rig.having(Expand).expand(volume.id, size)
        expect_equal(made.size_bytes, volume.size_bytes, f"the size that an expand to {size} bytes returned")
    expect_equal(rig.driver.volume(volume.id).size_bytes, volume.size_bytes, "the size of the volume afterwards")


@STORAGE.check(Expand)
def expand_beyond_the_limit_is_refused(rig: StorageRig) -> None:
    """A size beyond ``limit_bytes`` is ``OutOfRange``, and nothing is changed."""
    volume = rig.create()
    wanted = larger_than(rig, volume)
    with expect_raises(OutOfRange, what="growing a volume beyond the limit that was given with the size"):
        rig.having(Expand).expand(volume.id, wanted, limit_bytes=wanted - 1)
    expect_equal(rig.driver.volume(volume.id).size_bytes, volume.size_bytes, "the size of the volume afterwards")


@STORAGE.check(Expand)
def steps_of_the_platform_do_not_lead_beyond_the_limit(rig: StorageRig) -> None:
    """Where the platform's steps would lead beyond ``limit_bytes`` it is ``OutOfRange``, and nothing is changed."""
    volume = rig.create()
    wanted = volume.size_bytes + 1
    try:
        made = rig.having(Expand).expand(volume.id, wanted, limit_bytes=wanted)
    except OutOfRange:
        expect_equal(rig.driver.volume(volume.id).size_bytes, volume.size_bytes, "the size after that was refused")
    else:
        expect_equal(made.size_bytes, wanted, "the size, where no other one was allowed")


@STORAGE.check(Expand)
def an_attached_volume_grows_or_is_in_use(rig: StorageRig) -> None:
    """A volume that an instance has grows, or is ``InUse`` and as it was; either way it stays attached."""
    [host], volume = rig.hosts(1), rig.create()
    made, wanted = rig.driver.attach(volume.id, host), larger_than(rig, volume)
    try:
        size = rig.having(Expand).expand(volume.id, wanted).size_bytes
    except InUse:
        size = volume.size_bytes
    else:
        expect(size >= wanted, f"asked for {wanted} bytes, it has {size}")
    found = rig.driver.volume(volume.id)
    expect_equal(found.size_bytes, size, "the size of the attached volume afterwards")
    expect_equal(list(map(facts, found.attachments)), [facts(made)], "the attachments afterwards")
    for attachment in found.attachments:
        expect_equal(attachment.fields.get("sizeBytes", str(size)), str(size), "the size that the attachment tells")


@STORAGE.check(Expand)
def a_grown_volume_keeps_its_data(rig: StorageRig) -> None:
    """What the volume had before it grew is where it was."""
    volume = rig.create()
    write(rig, volume, b"a")
    rig.having(Expand).expand(volume.id, larger_than(rig, volume))
    expect_data(rig, volume.id, volume, b"a", "the volume after it has grown")


@STORAGE.check(Expand)
def a_grown_volume_can_be_written_to_its_end(rig: StorageRig) -> None:
    """The room that was added is there."""
    volume = rig.create()
    grown = rig.having(Expand).expand(volume.id, larger_than(rig, volume))
    write(rig, grown, b"b")
    expect_data(rig, volume.id, grown, b"b", "the grown volume")


@STORAGE.check(Expand)
def expand_of_an_unknown_volume_is_not_found(rig: StorageRig) -> None:
    """Growing a volume that does not exist is ``NotFound``."""
    unknown = gone_volume(rig)
    with expect_raises(NotFound, what="growing an unknown volume"):
        rig.having(Expand).expand(unknown, rig.size_bytes + rig.step_bytes)


@STORAGE.check(Expand)
def expand_grows_no_other_volume(rig: StorageRig) -> None:
    """``expand`` is about one volume: others stay as large as they are."""
    volume, other = rig.create(), rig.create()
    rig.having(Expand).expand(volume.id, larger_than(rig, volume))
    expect_equal(rig.driver.volume(other.id).size_bytes, other.size_bytes, "the size of another volume")


@STORAGE.check(Expand, Snapshots)
def a_snapshot_does_not_grow_with_its_volume(rig: StorageRig) -> None:
    """A snapshot's size is the one that the volume had when it was taken."""
    volume = rig.create()
    snapshot = rig.snapshot(volume)
    rig.having(Expand).expand(volume.id, larger_than(rig, volume))
    found = [each.size_bytes for each in rig.having(Snapshots).snapshots(snapshot_id=snapshot.id)]
    expect_equal(found, [volume.size_bytes], "the size of the snapshot after its volume has grown")


@STORAGE.check(Expand)
def an_expand_that_was_killed_and_said_again_grows_the_volume(rig: StorageRig) -> None:
    """A process that is killed anywhere in ``expand`` leaves what a repeat finishes."""
    made: list[Volume] = []

    def make() -> Call:
        made.append(rig.create())
        return Call(method="expand", arguments=(made[-1].id, larger_than(rig, made[-1])))

    for killed in sweep(rig.target, rig.sources, make):
        volume, wanted = made[-1], larger_than(rig, made[-1])
        size = rig.having(Expand).expand(volume.id, wanted).size_bytes
        expect(size >= wanted, f"killed {killed.where} and repeated, it has {size} of {wanted} bytes")
        expect_equal(rig.driver.volume(volume.id).size_bytes, size, f"the size, killed {killed.where} and repeated")
