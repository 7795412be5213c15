"""Looking at volumes: one, all, by name and by id."""

from __future__ import annotations

from rexray.errors import NotFound
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.suites import VOLUME
from rexray.testing.kit.volume_rig import VolumeRig, mount_points


@VOLUME.check(reads_only=True)
def list_is_sorted_by_name(rig: VolumeRig) -> None:
    """``list`` gives every volume once, sorted by name, whatever order the platform has."""
    names = [volume.name for volume in rig.driver.list()]
    expect_equal(names, sorted(names), "the names in the list")
    ids = [volume.id for volume in rig.driver.list()]
    expect_equal(len(ids), len(set(ids)), "volumes in the list, of which some are there twice")


@VOLUME.check()
def list_has_every_new_volume_in_its_place(rig: VolumeRig) -> None:
    """A volume is in the list as soon as ``create`` has returned, among the others by its name."""
    names = [rig.name(ending) for ending in ("-c", "-a", "-b")]
    for name in reversed(names):
        rig.create(name)
    found = [volume.name for volume in rig.driver.list() if volume.name in names]
    expect_equal(found, sorted(names), "the new volumes in the list")


@VOLUME.check()
def get_and_list_tell_the_same(rig: VolumeRig) -> None:
    """A volume's id, size and mount point are the same from ``get`` and from ``list``, mounted or not."""
    mounted, idle = rig.create(), rig.create()
    rig.mount(mounted.name)
    for name in (mounted.name, idle.name):
        one = rig.driver.get(name)
        (other,) = rig.listed(name)
        expect_equal((other.id, other.size_bytes), (one.id, one.size_bytes), f"id and size of {name!r} in the list")
        expect_equal(mount_points(other), mount_points(one), f"the mount points of {name!r} in the list")


@VOLUME.check()
def a_mount_point_is_told_while_there_is_one(rig: VolumeRig) -> None:
    """A mounted volume has an attachment of this host with its ``mount_point``; no other volume has one."""
    volume, idle, holder = rig.create(), rig.create(), rig.holder()
    expect_equal(mount_points(rig.driver.get(volume.name)), set(), "mount points of a volume that is not mounted")
    where = rig.mount(volume.name, holder).path
    found = rig.driver.get(volume.name)
    here = [each for each in found.attachments if each.mount_point and each.instance_id == rig.driver.instance_id()]
    expect_equal([each.mount_point for each in here], [str(where)], "mount points here of a volume that is mounted")
    expect_equal(mount_points(rig.driver.get(idle.name)), set(), "mount points of another volume")
    rig.driver.unmount(volume.name, holder)
    expect_equal(mount_points(rig.driver.get(volume.name)), set(), "mount points of a volume that was unmounted")


@VOLUME.check(reads_only=True)
def a_volume_that_is_not_there_is_not_found(rig: VolumeRig) -> None:
    """``get``, ``path`` and ``volume_id`` of a missing volume raise ``NotFound``."""
    name = rig.missing()
    for what, call in (("get", rig.driver.get), ("path", rig.driver.path), ("volume_id", rig.driver.volume_id)):
        with expect_raises(NotFound, what=f"{what} of a volume that never was"):
            call(name)


@VOLUME.check()
def volume_id_takes_a_name_or_an_id(rig: VolumeRig) -> None:
    """``volume_id`` gives a volume's id for its exact name as well as for its id."""
    volume = rig.create()
    expect_equal(rig.driver.volume_id(volume.name), volume.id, "volume_id of the name")
    expect_equal(rig.driver.volume_id(volume.id), volume.id, "volume_id of the id")
    with expect_raises(NotFound, what="volume_id of the beginning of a name"):
        rig.driver.volume_id(volume.name[:-1] + "~")


@VOLUME.check()
def an_unmounted_volume_has_no_path(rig: VolumeRig) -> None:
    """``path`` is None before the first mount and after the last unmount."""
    volume, holder = rig.create(), rig.holder()
    expect(rig.driver.path(volume.name) is None, "a new volume has a path")
    where = rig.mount(volume.name, holder).path
    expect_equal(rig.driver.path(volume.name), where, "the path while it is mounted")
    rig.driver.unmount(volume.name, holder)
    expect(rig.driver.path(volume.name) is None, "the volume has a path after it was unmounted")


@VOLUME.check(reads_only=True)
def this_host_has_one_name(rig: VolumeRig) -> None:
    """``instance_id`` is not empty, and the same for every driver of this host."""
    here = rig.driver.instance_id()
    expect(here, "instance_id is empty")
    expect_equal(rig.restarted().instance_id(), here, "the instance_id of another driver of this host")


@VOLUME.check(reads_only=True)
def viable_says_why_not(rig: VolumeRig) -> None:
    """``viable`` looks at this host alone, and gives a reason where the driver cannot work."""
    found = rig.target.viable()
    expect(found.ok or found.reason.strip(), "the driver is not viable here, and does not say why")
    expect("\n" not in found.reason, f"the reason is not one line: {found.reason!r}")
