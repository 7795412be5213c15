"""Removing volumes: the one that was meant, all of it, and nothing else."""

from __future__ import annotations

import contextlib

from rexray.errors import InUse, InvalidRequest, NotFound
from rexray.testing.kit.check import Skipped, expect, expect_equal, expect_raises
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.suites import STORAGE
from rexray.types import VolumeId

BLOCK = 4096


@STORAGE.check()
def a_removed_volume_is_gone(rig: StorageRig) -> None:
    """``remove`` deletes the volume: no list has it, and a look-up is ``NotFound``."""
    volume = rig.create()
    rig.driver.remove(volume.id)
    expect_equal(rig.named(volume.name), [], "the volumes of the name in the list after it was removed")
    expect_equal(list(rig.driver.volumes_named(volume.name)), [], "the volumes of the name after it was removed")
    with expect_raises(NotFound, what="looking up a volume that was removed"):
        rig.driver.volume(volume.id)


@STORAGE.check()
def remove_said_ten_times_succeeds(rig: StorageRig) -> None:
    """``remove`` is idempotent: a volume that is missing is success."""
    volume = rig.create()
    times(10, lambda: rig.driver.remove(volume.id))
    expect_equal(rig.named(volume.name), [], "the volumes of the name after ten removes")


@STORAGE.check()
def remove_of_what_never_was_succeeds(rig: StorageRig) -> None:
    """An id that no volume ever had is a volume that is missing: success, ``force`` or not."""
    volume = rig.create()
    rig.driver.remove(VolumeId(rig.name("-none")))
    rig.driver.remove(VolumeId(rig.name("-none")), force=True)
    expect_equal(rig.driver.volume(volume.id).id, volume.id, "the id of a volume that was there all the time")


@STORAGE.check()
def remove_leaves_volumes_of_like_names(rig: StorageRig) -> None:
    """``remove`` deletes one volume: those whose names begin or end as its name does stay, whatever is removed."""
    name = rig.name()
    names = [name, f"{name}0", f"{name}-x", f"{name}.x", f"x-{name}"]
    made = {each: rig.create(rig.claim(each)) for each in names}
    for each in (f"{name}-x", name):
        rig.driver.remove(made.pop(each).id)
        found = {volume.id for volume in rig.driver.volumes()} & {volume.id for volume in made.values()}
        expect_equal(found, {volume.id for volume in made.values()}, f"the other volumes after {each!r} was removed")


@STORAGE.check()
def remove_leaves_what_its_id_only_resembles(rig: StorageRig) -> None:
    """An id with something added is not the id: patterns, blanks and paths of a volume's id never delete it."""
    volume = rig.create()
    begins_others = any(each.id.startswith(volume.id) for each in rig.driver.volumes() if each.id != volume.id)
    forms = (
        *(() if begins_others else ("{}*", "{}?", "{}%")),  # a driver that takes patterns would remove those as well
        "{} ",
        " {}",
        "{}\n",
        "{}/",
        "{}/.",
        "{}/../{}",
        "./{}",
        "{}@x",
        "{}\0",
        "{},{}",
        "-{}",
    )
    for form in forms:
        like = VolumeId(form.replace("{}", volume.id))
        with contextlib.suppress(NotFound, InvalidRequest):  # it can be no id of this platform
            rig.driver.remove(like, force=True)
        found = [each.id for each in rig.named(volume.name)]
        expect_equal(found, [volume.id], f"the volumes of the name after {like!r} was removed, which is not its id")


@STORAGE.check()
def remove_of_a_name_is_no_remove_of_its_volume(rig: StorageRig) -> None:
    """``remove`` takes an id: a name deletes nothing, unless a look-up takes it for the id as well."""
    volume = rig.create()
    try:
        rig.driver.volume(VolumeId(volume.name))
    except (NotFound, InvalidRequest):
        with contextlib.suppress(NotFound, InvalidRequest):
            rig.driver.remove(VolumeId(volume.name), force=True)
        found = [each.id for each in rig.named(volume.name)]
        expect_equal(found, [volume.id], "the volumes of the name after that was removed as if it were an id")
        return
    rig.driver.remove(VolumeId(volume.name))
    expect_equal(rig.named(volume.name), [], "the volumes of the name after it was removed by what a look-up takes")


@STORAGE.check()
def remove_by_force_is_whole_or_nothing(rig: StorageRig) -> None:
    """An attached volume that is removed by force is ``InUse`` and stays as it is, or is gone with its attachment."""
    [host], volume = rig.hosts(1), rig.create()
    rig.driver.attach(volume.id, host)
    try:
        rig.driver.remove(volume.id, force=True)
    except InUse:
        expect_equal(rig.holders(volume), {host}, "the instances that have the volume after its removal was refused")
        return
    expect_equal(rig.named(volume.name), [], "the volumes of the name after it was removed by force")
    left = [each.id for each in rig.driver.attached(host) if each.id == volume.id]
    expect_equal(left, [], "what the instance has of it after it was removed by force")


@STORAGE.check()
def a_volume_made_again_is_a_new_one(rig: StorageRig) -> None:
    """After ``remove`` the name is free: ``create`` makes another volume, of whatever size, that nobody has."""
    [host], name = rig.hosts(1), rig.name()
    for number in range(3):
        size = rig.size_bytes + number * 8 * rig.step_bytes
        volume = rig.create(name, size_bytes=size)
        expect(volume.size_bytes >= size, f"made again with {size} bytes, it has {volume.size_bytes}")
        expect_equal(rig.holders(volume), set(), f"the instances that have {name!r}, which was just made again")
        expect_equal([each.id for each in rig.named(name)], [volume.id], f"the volumes named {name!r}")
        rig.driver.attach(volume.id, host)
        rig.driver.detach(volume.id, host)
        rig.driver.remove(volume.id)


@STORAGE.check()
def a_volume_made_again_has_none_of_the_data(rig: StorageRig) -> None:
    """``remove`` deletes the data: a volume that is made by the same name afterwards is blank."""
    volume, mark = rig.create(), b"of the volume that was removed"
    rig.contents.write(volume.id, 0, mark.ljust(BLOCK, b"\0"))
    rig.driver.remove(volume.id)
    data = rig.contents.read(rig.create(volume.name).id, 0, BLOCK)
    expect(not any(data), f"the new volume begins with {data[: len(mark)]!r}, which the removed one had")


@STORAGE.check()
def remove_leaves_the_data_of_other_volumes(rig: StorageRig) -> None:
    """``remove`` touches no data but the volume's own."""
    volume, other, mark = rig.create(), rig.create(), b"of the volume that stays"
    rig.contents.write(other.id, 0, mark.ljust(BLOCK, b"\0"))
    rig.contents.write(volume.id, 0, b"of the other".ljust(BLOCK, b"\0"))
    rig.driver.remove(volume.id)
    expect_equal(rig.contents.read(other.id, 0, len(mark)), mark, "the data of a volume after another was removed")


@STORAGE.check()
def remove_said_again_leaves_the_new_volume_of_the_name(rig: StorageRig) -> None:
    """A ``remove`` that is repeated late never deletes what was made by the same name meanwhile."""
    old = rig.create()
    rig.driver.remove(old.id)
    new = rig.create(old.name)
    if new.id == old.id:
        raise Skipped("the platform's ids are names, or are given again: a late repetition cannot be told from a wish")
    rig.driver.remove(old.id)
    expect_equal([each.id for each in rig.named(old.name)], [new.id], "the volumes of the name afterwards")


@STORAGE.check()
def a_remove_that_was_killed_and_said_again_removes(rig: StorageRig) -> None:
    """A process that is killed anywhere in ``remove`` leaves what a repeat finishes; other volumes stay."""
    other = rig.create()
    for killed in sweep(rig.target, rig.sources, lambda: Call(method="remove", arguments=(rig.create().id,))):
        [volume_id] = killed.call.arguments
        rig.driver.remove(VolumeId(str(volume_id)))
        left = {each.id for each in rig.driver.volumes()}
        expect(volume_id not in left, f"{volume_id!r}, removed, killed {killed.where} and repeated, is still there")
        expect(other.id in left, f"another volume is gone after a remove was killed {killed.where} and repeated")
