"""Mounting for holders: the first one mounts, the last one unmounts."""

from __future__ import annotations

from rexray.errors import AlreadyExists, InUse, NotFound, RexrayError
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import VOLUME
from rexray.testing.kit.volume_rig import VolumeRig


@VOLUME.check()
def two_holders_share_one_mount(rig: VolumeRig) -> None:
    """A volume is mounted once for all of its holders, and stays so until the last one lets go."""
    volume, one, other = rig.create(), rig.holder(), rig.holder()
    paths = {rig.mount(volume.name, holder).path for holder in (one, other)}
    expect_equal(len(paths), 1, "different paths for two holders")
    rig.driver.unmount(volume.name, one)
    expect_equal(rig.driver.path(volume.name), paths.pop(), "the path while one of two holders is left")
    rig.driver.unmount(volume.name, other)
    expect(rig.driver.path(volume.name) is None, "the volume is mounted after both holders let go")


@VOLUME.check()
def a_holder_counts_once(rig: VolumeRig) -> None:
    """The same holder that asks ten times gets the same path and counts once: one unmount ends it."""
    volume, holder = rig.create(), rig.holder()
    paths = {mount.path for mount in times(10, lambda: rig.mount(volume.name, holder))}
    expect_equal(len(paths), 1, "different paths for ten mounts of one holder")
    rig.driver.unmount(volume.name, holder)
    expect(rig.driver.path(volume.name) is None, "the volume is mounted after its only holder let go")


@VOLUME.check()
def an_unknown_holder_unmounts_nothing(rig: VolumeRig) -> None:
    """``unmount`` for somebody who does not hold the volume is success, and changes nothing."""
    volume = rig.create()
    rig.driver.unmount(volume.name, rig.holder())
    where = rig.mount(volume.name).path
    rig.driver.unmount(volume.name, rig.holder())
    expect_equal(rig.driver.path(volume.name), where, "the path after an unknown holder's unmount")


@VOLUME.check()
def unmount_said_ten_times_is_success(rig: VolumeRig) -> None:
    """``unmount`` is idempotent, and does not take the volume from whoever mounts it after the first one."""
    volume, holder = rig.create(), rig.holder()
    rig.mount(volume.name, holder)
    times(5, lambda: rig.driver.unmount(volume.name, holder))
    where = rig.mount(volume.name).path
    times(5, lambda: rig.driver.unmount(volume.name, holder))
    expect_equal(rig.driver.path(volume.name), where, "the path for the next holder")


@VOLUME.check()
def the_last_holder_detaches(rig: VolumeRig) -> None:
    """The last ``unmount`` also detaches what ``mount`` had attached: the volume is free for other hosts."""
    volume, holder, here = rig.create(), rig.holder(), rig.driver.instance_id()
    rig.mount(volume.name, holder)
    rig.driver.unmount(volume.name, holder)
    left = [each for each in rig.driver.get(volume.name).attachments if each.instance_id == here]
    expect_equal(left, [], "attachments to this host after the last holder let go")


@VOLUME.check()
def mount_of_a_missing_volume_makes_nothing(rig: VolumeRig) -> None:
    """``mount`` of a volume that does not exist is ``NotFound``; no volume comes of a misspelt name."""
    name = rig.name()
    with expect_raises(NotFound, what="mounting a volume that never was"):
        rig.mount(name)
    expect_equal(rig.listed(name), [], f"volumes named {name!r} afterwards")


@VOLUME.check()
def a_read_only_mount_takes_no_writes(rig: VolumeRig) -> None:
    """A ``read_only`` mount says that it is one, can be read, and cannot be written to."""
    rig.need_files()
    volume, writer, reader = rig.create(), rig.holder(), rig.holder()
    (rig.mount(volume.name, writer).path / "file").write_text("content")
    rig.driver.unmount(volume.name, writer)
    mount = rig.mount(volume.name, reader, read_only=True)
    expect(mount.read_only, "the mount point that was returned does not say that it is read-only")
    expect_equal((mount.path / "file").read_text(), "content", "what is read from it")
    try:
        (mount.path / "other").write_text("x")
    except OSError:
        return
    expect(False, "a file was written to a read-only mount")


@VOLUME.check()
def holders_with_other_wishes_are_refused(rig: VolumeRig) -> None:
    """Who wants to write is refused a read-only mount, and the other way round, and the first holder keeps its own."""
    for first in (False, True):
        volume, holder = rig.create(), rig.holder()
        rig.mount(volume.name, holder)  # a blank volume gets its filesystem by the first mount for writing
        rig.driver.unmount(volume.name, holder)
        where = rig.mount(volume.name, holder, read_only=first).path
        with expect_raises(AlreadyExists, InUse, what=f"mounting with read_only={not first} beside {first}"):
            rig.mount(volume.name, read_only=not first)
        expect_equal(rig.driver.path(volume.name), where, "the first holder's path")
        rig.driver.unmount(volume.name, holder)
        expect(rig.driver.path(volume.name) is None, "the volume is mounted for the holder that was refused")


@VOLUME.check()
def what_was_written_is_there_in_the_next_mount(rig: VolumeRig) -> None:
    """Data outlive the mount; the place where it was holds nothing that could be taken for them."""
    rig.need_files()
    volume, holder = rig.create(), rig.holder()
    where = rig.mount(volume.name, holder).path
    (where / "file").write_text("content")
    rig.driver.unmount(volume.name, holder)
    expect(not (where / "file").exists(), f"{where / 'file'} is there although the volume is unmounted")
    expect_equal((rig.mount(volume.name, holder).path / "file").read_text(), "content", "what is read afterwards")


@VOLUME.check()
def asking_for_another_filesystem_keeps_the_data(rig: VolumeRig) -> None:
    """``fs_type`` is what a blank volume gets; a volume with another filesystem is refused, never formatted."""
    rig.need_files()
    wanted = rig.other_filesystem
    volume, holder = rig.create(), rig.holder()
    (rig.mount(volume.name, holder).path / "file").write_text("content")
    rig.driver.unmount(volume.name, holder)
    with expect_raises(RexrayError, what=f"mounting a volume as {wanted}, which it does not hold"):
        rig.mount(volume.name, holder, fs_type=wanted)
    expect(rig.driver.path(volume.name) is None, "the volume is mounted after the refusal")
    expect_equal((rig.mount(volume.name, holder).path / "file").read_text(), "content", "what is read afterwards")
