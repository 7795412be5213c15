"""Mounted filesystems: how full they are, growing them, freezing, thawing and trimming them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rexray.errors import NotFound, RexrayError, Unsupported, WrongDevice
from rexray.testing.kit.check import Skipped, expect, expect_equal, expect_raises
from rexray.testing.kit.devices import expect_data
from rexray.testing.kit.os_rig import OSRig, expect_named
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import OS

_DATA = bytes(range(256)) * 256
_MOMENT = 0.3


@OS.check()
def the_stats_of_a_filesystem_add_up(rig: OSRig) -> None:
    """In bytes: what is used and what is available is no more than there is, which is no more than the device has."""
    device, target = rig.mounted()
    found = rig.driver.filesystem_stats(target)
    size = rig.disks.size(device)
    expect(size / 2 < found.total_bytes <= size, f"total_bytes is {found.total_bytes}, on a device of {size}")
    expect(found.used_bytes >= 0, f"used_bytes is {found.used_bytes}")
    expect(found.available_bytes > 0, f"available_bytes is {found.available_bytes}, of a filesystem without files")
    expect(
        found.used_bytes + found.available_bytes <= found.total_bytes,
        f"{found.used_bytes} bytes used and {found.available_bytes} available are more than {found.total_bytes}",
    )
    expect(
        found.used_inodes + found.available_inodes <= max(found.total_inodes, 0),
        f"{found.used_inodes} inodes used and {found.available_inodes} available, of {found.total_inodes}",
    )


@OS.check()
def the_stats_count_what_is_written(rig: OSRig) -> None:
    """A file takes room: there is as much more used, and as much less available."""
    _, target = rig.mounted()
    before = rig.driver.filesystem_stats(target)
    rig.files.write(target / "file", _DATA)
    after = rig.driver.filesystem_stats(target)
    expect_equal(after.total_bytes, before.total_bytes, "total_bytes, after a file was written")
    more, less = after.used_bytes - before.used_bytes, before.available_bytes - after.available_bytes
    expect(more >= len(_DATA), f"used_bytes has become {more} more, after {len(_DATA)} were written")
    expect(less >= len(_DATA), f"available_bytes has become {less} less, after {len(_DATA)} were written")


@OS.check()
def the_stats_of_a_missing_path_are_not_found(rig: OSRig) -> None:
    """``NotFound`` without the path; another filesystem's figures are no answer."""
    _, target = rig.mounted()
    for missing in (target / "missing", rig.path("missing")):
        with expect_raises(NotFound, what=f"filesystem_stats of {missing}, which does not exist") as caught:
            rig.driver.filesystem_stats(missing)
        expect_named(caught, missing, "filesystem_stats of a path that does not exist")


@OS.check()
def grow_makes_the_filesystem_as_large_as_its_device(rig: OSRig) -> None:
    """A filesystem whose device has grown grows while it is mounted, and keeps its files."""
    device, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    before = rig.driver.filesystem_stats(target).total_bytes
    rig.disks.grow(device, 2 * rig.size_bytes)
    rig.driver.grow(device, target)
    after = rig.driver.filesystem_stats(target).total_bytes
    expect(
        after > before + rig.size_bytes / 2, f"it has {after} bytes after it grew by {rig.size_bytes}, from {before}"
    )
    expect_data(rig.files.read(target / "file"), _DATA, "what the file holds that was there before")


@OS.check()
def grow_said_ten_times_is_success(rig: OSRig) -> None:
    """``grow`` is idempotent: as large already is success, and changes nothing."""
    device, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    before = rig.driver.filesystem_stats(target).total_bytes
    times(10, lambda: rig.driver.grow(device, target))
    expect_equal(rig.driver.filesystem_stats(target).total_bytes, before, "its size, after ten calls of grow")
    expect_data(rig.files.read(target / "file"), _DATA, "what the file holds that was there before")


@OS.check()
def grow_of_another_device_is_refused(rig: OSRig) -> None:
    """``WrongDevice`` if the device is not the one that is mounted; both stay as they are."""
    (device, _), (_, target) = rig.mounted(), rig.mounted()
    rig.disks.grow(device, 2 * rig.size_bytes)
    before = rig.driver.filesystem_stats(target).total_bytes
    with expect_raises(WrongDevice, what="growing a filesystem with another one's device"):
        rig.driver.grow(device, target)
    expect_equal(rig.driver.filesystem_stats(target).total_bytes, before, "the size of the mounted filesystem")


@OS.check()
def grow_of_what_is_not_mounted_is_refused(rig: OSRig) -> None:
    """Where nothing is mounted there is nothing to grow: an error that names the target."""
    device, target = rig.formatted(), rig.path()
    with expect_raises(RexrayError, what="growing a filesystem that is not mounted") as caught:
        rig.driver.grow(device, target)
    expect_named(caught, target, "growing a filesystem that is not mounted")


def _is_held_up(rig: OSRig, path: Path) -> Callable[[], bool]:
    """Begin to write a file; what is returned says whether that did not succeed in a moment."""
    writing = rig.begin(lambda: rig.files.write(path, _DATA))

    def is_held_up() -> bool:
        time.sleep(_MOMENT)
        return not writing.done() or writing.exception() is not None

    return is_held_up


@OS.check()
def freeze_holds_up_writes_until_thaw(rig: OSRig) -> None:
    """While a filesystem is frozen nothing is written to it; once it is thawed everything can be."""
    _, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    rig.driver.freeze(target)
    held = _is_held_up(rig, target / "other")()
    rig.driver.thaw(target)
    expect(held, "a file could be written in a filesystem that was frozen")
    writing = rig.begin(lambda: rig.files.write(target / "third", _DATA))
    writing.result(rig.patience / 4)
    expect_data(rig.files.read(target / "third"), _DATA, "what a file holds that was written once it was thawed")


@OS.check()
def freeze_and_thaw_said_ten_times_are_success(rig: OSRig) -> None:
    """Frozen already is success, and so is not frozen; however often it was frozen, it is thawed at once."""
    _, target = rig.mounted()
    times(10, lambda: rig.driver.thaw(target))
    times(10, lambda: rig.driver.freeze(target))
    rig.driver.thaw(target)
    held = _is_held_up(rig, target / "file")()
    times(10, lambda: rig.driver.thaw(target))
    expect(not held, "a file could not be written after ten freezes and one thaw")


@OS.check()
def freeze_puts_the_data_on_the_device(rig: OSRig) -> None:
    """What was written before is on the device, so that a snapshot that is taken now has it."""
    device, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    rig.driver.freeze(target)
    frozen = rig.ends(device)
    time.sleep(_MOMENT)
    later = rig.ends(device)
    rig.driver.thaw(target)
    expect(later == frozen, "the device was written to while its filesystem was frozen")


@OS.check()
def freeze_leaves_other_filesystems(rig: OSRig) -> None:
    """Only the filesystem at the target is frozen."""
    (_, target), (_, other) = rig.mounted(), rig.mounted()
    rig.driver.freeze(target)
    held = _is_held_up(rig, other / "file")()
    rig.driver.thaw(target)
    expect(not held, "a file could not be written in a filesystem beside the one that was frozen")


@OS.check()
def freeze_of_what_is_not_mounted_is_refused(rig: OSRig) -> None:
    """A folder where nothing is mounted is an error: the filesystem that it is on is never frozen in its place."""
    _, outer = rig.mounted()
    target = rig.path(outer.name, "missing")
    try:
        with expect_raises(RexrayError, what=f"freezing {target}, where nothing is mounted"):
            rig.driver.freeze(target)
        held = _is_held_up(rig, outer / "file")()
    finally:
        rig.driver.thaw(outer)
    expect(not held, "the filesystem around a folder was frozen")


@OS.check()
def thaw_works_after_a_restart(rig: OSRig) -> None:
    """A process that has just begun can thaw what another one froze."""
    _, target = rig.mounted()
    rig.driver.freeze(target)
    rig.restarted().thaw(target)
    rig.begin(lambda: rig.files.write(target / "file", _DATA)).result(rig.patience / 4)
    rig.driver.thaw(target)


@OS.check()
def trim_says_how_much_is_unused(rig: OSRig) -> None:
    """``trim`` tells the device what is not used, says how many bytes that were, and loses no file."""
    device, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    try:
        found = times(2, lambda: rig.driver.trim(target))
    except Unsupported as error:
        raise Skipped(str(error)) from None
    expect(0 < found[0] <= rig.disks.size(device), f"the first trim said {found[0]}, of a device with one small file")
    expect(0 <= found[1] <= rig.disks.size(device), f"the second trim said {found[1]}")
    expect_data(rig.files.read(target / "file"), _DATA, "what the file holds that is used")


@OS.check()
def trim_of_what_is_not_mounted_is_refused(rig: OSRig) -> None:
    """Where nothing is mounted nothing is trimmed: an error that names the target."""
    _, outer = rig.mounted()
    target = rig.path(outer.name, "missing")
    with expect_raises(RexrayError, what=f"trimming {target}, where nothing is mounted") as caught:
        rig.driver.trim(target)
    expect_named(caught, target, "trimming where nothing is mounted")
