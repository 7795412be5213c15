"""Mounting devices and directories."""

from __future__ import annotations

from pathlib import Path

from rexray.errors import AlreadyExists, InUse, RexrayError
from rexray.testing.kit.check import Failed, expect, expect_equal, expect_raises
from rexray.testing.kit.devices import expect_data
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.os_rig import OSRig, expect_named
from rexray.testing.kit.rig import times
from rexray.testing.kit.runs import together
from rexray.testing.kit.suites import OS
from rexray.types import Device, Directory

_DATA = b"what was written before\n" * 64
_OPTIONS = ("nosuid", "noatime")


@OS.check()
def mount_says_what_is_mounted_where(rig: OSRig) -> None:
    """``mount`` returns the mount: its path, its source, the type that was found on the device, and its mode."""
    device, target = rig.formatted(), rig.path()
    found = rig.driver.mount(device, target)
    expect_equal(found.path, target, "the path of the mount")
    expect_equal(found.source, str(device.path), "the source of the mount")
    expect_equal(found.fs_type, rig.fs_type, "the filesystem of the mount")
    expect_equal(found.read_only, False, "whether the mount is read-only")
    expect(rig.driver.mounted(target), f"mounted says that nothing is mounted at {target}")


@OS.check()
def mount_makes_the_target(rig: OSRig) -> None:
    """A target that is missing is made, with the folders that it is in."""
    target = rig.path("deep", "er", "m")
    rig.mounted(target)
    expect(rig.driver.mounted(target), f"mounted says that nothing is mounted at {target}")
    expect(target.is_dir(), f"{target} is no directory")


@OS.check()
def what_is_written_to_a_mount_is_on_the_device(rig: OSRig) -> None:
    """Files outlive the mount: they are there when the device is mounted again, elsewhere."""
    device, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    rig.driver.unmount(target)
    other = rig.path()
    rig.driver.mount(device, other)
    expect_data(rig.files.read(other / "file"), _DATA, "what the file holds, mounted elsewhere")


@OS.check()
def mount_said_ten_times_mounts_once(rig: OSRig) -> None:
    """``mount`` is idempotent: mounted there already is success, and the same mount."""
    device, target = rig.formatted(), rig.path()
    found = times(10, lambda: rig.driver.mount(device, target, fs_type=rig.fs_type))
    expect_equal(len(set(found)), 1, f"different mounts that ten calls returned, {found[0]} being the first")
    expect_equal(rig.count(target), 1, f"mounts at {target}, after ten calls")


@OS.check()
def mount_over_another_device_is_refused(rig: OSRig) -> None:
    """A target where something else is mounted is ``InUse``; what is there stays, and shows."""
    _, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    with expect_raises(InUse, what="mounting a device where another one is mounted") as caught:
        rig.driver.mount(rig.formatted(), target)
    expect_named(caught, target, "mounting a device where another one is mounted")
    expect_equal(rig.count(target), 1, f"mounts at {target} afterwards")
    expect_data(rig.files.read(target / "file"), _DATA, "what the file holds that was there before")


@OS.check()
def mount_in_another_mode_is_refused(rig: OSRig) -> None:
    """Mounted there already, but writable where read-only was asked for or the reverse, is an error, no success."""
    for first, second in (((), ("ro",)), (("ro",), ())):
        device, target = rig.mounted(options=first)
        with expect_raises(InUse, AlreadyExists, what=f"mounting with {second} what is mounted with {first}"):
            rig.driver.mount(device, target, options=second)
        [found] = rig.driver.mounts(target=target)
        expect_equal(found.read_only, "ro" in first, "whether the mount is read-only afterwards")


@OS.check()
def mount_honours_its_options(rig: OSRig) -> None:
    """Options are mount(8)'s, each by itself or several in one text, and the mount has them."""
    for options in (_OPTIONS, (",".join(_OPTIONS),)):
        device, target = rig.formatted(), rig.path()
        made = rig.driver.mount(device, target, options=options)
        [listed] = rig.driver.mounts(target=target)
        for found in (made, listed):
            lacking = set(_OPTIONS) - set(found.options)
            expect(not lacking, f"a mount with {options} has the options {found.options}: {sorted(lacking)} is missing")


@OS.check()
def mount_read_only_refuses_writes(rig: OSRig) -> None:
    """What is mounted with ``ro`` can be read, and not written to."""
    device, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    rig.driver.unmount(target)
    expect_equal(rig.driver.mount(device, target, options=("ro",)).read_only, True, "whether the mount is read-only")
    expect_refused(rig, target, "a mount with ro")
    expect_data(rig.files.read(target / "file"), _DATA, "what the file holds")


def expect_refused(rig: OSRig, target: Path, what: str) -> None:
    """Fail unless nothing can be written at the target."""
    try:
        rig.files.write(target / "other", _DATA)
    except OSError:
        return
    raise Failed(f"a file could be written in {what}")


@OS.check()
def mount_of_a_blank_device_is_refused(rig: OSRig) -> None:
    """A device without a filesystem is an error; nothing is mounted, and it stays blank."""
    device, target = rig.blank(), rig.path()
    with expect_raises(RexrayError, what="mounting a blank device") as caught:
        rig.driver.mount(device, target)
    expect_named(caught, device.path, "mounting a blank device")
    expect(not rig.driver.mounted(target), f"something is mounted at {target}")
    expect_equal(rig.driver.probe(device), "", "probe of the blank device afterwards")


@OS.check()
def mount_as_another_type_is_refused(rig: OSRig) -> None:
    """A device that does not hold the type that was asked for is an error; nothing is mounted, and nothing changed."""
    device, target = rig.formatted(), rig.path()
    before = rig.ends(device)
    with expect_raises(RexrayError, what=f"mounting {rig.fs_type} as something that it is not"):
        rig.driver.mount(device, target, fs_type="squashfs")
    expect(not rig.driver.mounted(target), f"something is mounted at {target}")
    expect(rig.ends(device) == before, "the device is not as it was")


@OS.check()
def mounts_of_two_devices_are_side_by_side(rig: OSRig) -> None:
    """Each target shows its own device."""
    targets = [rig.mounted()[1] for _ in range(2)]
    for number, target in enumerate(targets):
        rig.files.write(target / "file", _DATA * (number + 1))
    for number, target in enumerate(targets):
        expect_data(rig.files.read(target / "file"), _DATA * (number + 1), f"what the file at {target} holds")


@OS.check()
def mounts_of_one_device_at_once_mount_once(rig: OSRig) -> None:
    """Callers that mount the same device at the same place at the same moment all succeed, with one mount."""
    device, target = rig.formatted(), rig.path()
    found = together(*[lambda: rig.driver.mount(device, target)] * 4)
    errors = [each for each in found if isinstance(each, Exception)]
    expect(not errors, f"of four mounts at once {len(errors)} failed: {errors[:1]}")
    expect_equal(rig.count(target), 1, f"mounts at {target} afterwards")


@OS.check()
def mount_of_a_directory_shows_it(rig: OSRig) -> None:
    """A connected directory is mounted as it is, once, and never formatted."""
    _, source = rig.mounted()
    rig.files.write(source / "file", _DATA)
    target = rig.path()
    for _ in range(10):
        found = rig.driver.mount(Directory(source=str(source)), target)
        expect_equal(found.path, target, "the path of the mount")
    expect_equal(rig.count(target), 1, f"mounts at {target}, after ten calls")
    expect_data(rig.files.read(target / "file"), _DATA, f"what the directory's file holds at {target}")


@OS.check()
def a_mount_outlives_the_driver(rig: OSRig) -> None:
    """Mounts are the host's: a process that has just begun sees them, mounts nothing twice, and can unmount."""
    device, target = rig.mounted()
    other = rig.restarted()
    expect(other.mounted(target), f"another driver object says that nothing is mounted at {target}")
    other.mount(device, target)
    expect_equal(rig.count(target), 1, f"mounts at {target}, after another driver object mounted it as well")
    other.unmount(target)
    expect(not rig.driver.mounted(target), f"the driver says that something is mounted at {target} still")


@OS.check()
def a_mount_that_was_killed_and_said_again_mounts_once(rig: OSRig) -> None:
    """A process that is killed anywhere in ``mount`` leaves what a repeat finishes: one mount."""
    for killed in sweep(rig.target, rig.sources, lambda: Call(method="mount", arguments=(rig.formatted(), rig.path()))):
        device, target = killed.call.arguments
        assert isinstance(device, Device)
        found = rig.driver.mount(device, target)  # type: ignore[arg-type] # it is a Path
        expect_equal(rig.count(found.path), 1, f"mounts at {target}, killed {killed.where} and repeated")
