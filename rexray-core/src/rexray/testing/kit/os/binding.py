"""Binding directories and device nodes, and changing a mount's mode."""

from __future__ import annotations

from rexray.errors import InUse, RexrayError
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.devices import expect_data
from rexray.testing.kit.os.mounting import expect_refused
from rexray.testing.kit.os_rig import OSRig, expect_named
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import OS

_DATA = b"what was written before\n" * 64


@OS.check()
def bind_shows_a_directory_at_another_place(rig: OSRig) -> None:
    """What is in the source is at the target as well, which is made; what is written at one is at the other."""
    _, source = rig.mounted()
    target = rig.path("deep", "er", "bound")
    rig.files.write(source / "file", _DATA)
    rig.driver.bind(source, target)
    expect(rig.driver.mounted(target), f"mounted says that nothing is mounted at {target}")
    expect_data(rig.files.read(target / "file"), _DATA, "what the file holds where it is bound")
    rig.files.write(target / "other", _DATA)
    expect_data(rig.files.read(source / "other"), _DATA, "what a file holds that was written where it is bound")


@OS.check()
def bind_shows_a_device_node_at_another_place(rig: OSRig) -> None:
    """A device node can be bound: the target, which is made, is the device; unmounting it leaves the device."""
    device, target = rig.formatted(), rig.path("deep", "node")
    rig.driver.bind(device.path, target)
    expect(rig.driver.mounted(target), f"mounted says that nothing is mounted at {target}")
    expect(target.exists() and not target.is_dir(), f"{target} is no file, although a device node is bound there")
    rig.driver.unmount(target)
    expect(not rig.driver.mounted(target), f"mounted says that something is mounted at {target} still")
    expect_equal(rig.driver.probe(device), rig.fs_type, "probe of the device afterwards")


@OS.check()
def bind_said_ten_times_binds_once(rig: OSRig) -> None:
    """``bind`` is idempotent: bound there already is success."""
    device, source = rig.mounted()
    for origin in (source, device.path):
        target = rig.path()
        times(10, lambda origin=origin, target=target: rig.driver.bind(origin, target))  # type: ignore[misc]
        expect_equal(rig.count(target), 1, f"mounts at {target}, after {origin} was bound there ten times")


@OS.check()
def bind_read_only_refuses_writes_there(rig: OSRig) -> None:
    """With ``ro`` nothing can be written at the target; at the source it can."""
    _, source = rig.mounted()
    target = rig.path()
    times(2, lambda: rig.driver.bind(source, target, options=("ro",)))
    [found] = rig.driver.mounts(target=target)
    expect_equal(found.read_only, True, "whether the bound directory is read-only")
    expect_refused(rig, target, "a directory that is bound with ro")
    rig.files.write(source / "file", _DATA)
    expect_data(rig.files.read(target / "file"), _DATA, "what a file holds where it is bound")


@OS.check()
def bind_over_another_mount_is_refused(rig: OSRig) -> None:
    """A target where something else is mounted is ``InUse``; that stays, and shows."""
    (_, source), (_, target) = rig.mounted(), rig.mounted()
    rig.files.write(target / "file", _DATA)
    with expect_raises(InUse, what="binding where another device is mounted") as caught:
        rig.driver.bind(source, target)
    expect_named(caught, target, "binding where another device is mounted")
    expect_data(rig.files.read(target / "file"), _DATA, "what the file holds that was there before")
    expect_equal(rig.count(target), 1, f"mounts at {target}")


@OS.check()
def bind_of_what_does_not_exist_is_refused(rig: OSRig) -> None:
    """A source that is missing is an error, and nothing is mounted."""
    source, target = rig.path(), rig.path()
    with expect_raises(RexrayError, what="binding a source that does not exist") as caught:
        rig.driver.bind(source, target)
    expect_named(caught, source, "binding a source that does not exist")
    expect(not rig.driver.mounted(target), f"something is mounted at {target}")
    expect(not source.exists(), f"{source} was made by binding it")


@OS.check()
def remount_makes_a_mount_read_only_and_writable(rig: OSRig) -> None:
    """``remount`` changes the mode both ways, however often it is said: so already is success."""
    _, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    for _ in range(2):
        times(10, lambda: rig.driver.remount(target, read_only=True))
        expect_equal([each.read_only for each in rig.driver.mounts(target=target)], [True], "the mode it was given")
        expect_refused(rig, target, "a mount that was made read-only")
        times(10, lambda: rig.driver.remount(target, read_only=False))
        expect_equal([each.read_only for each in rig.driver.mounts(target=target)], [False], "the mode it was given")
        rig.files.write(target / "other", _DATA)
    expect_data(rig.files.read(target / "file"), _DATA, "what the file holds that was there before")


@OS.check()
def remount_makes_a_read_only_mount_writable(rig: OSRig) -> None:
    """What was mounted read-only in the first place can be made writable."""
    _, target = rig.mounted(options=("ro",))
    rig.driver.remount(target, read_only=False)
    rig.files.write(target / "file", _DATA)
    expect_data(rig.files.read(target / "file"), _DATA, "what the file holds that was written then")


@OS.check()
def remount_keeps_the_other_options(rig: OSRig) -> None:
    """Only the mode changes: what else the mount was given it has still."""
    _, target = rig.mounted(options=("nosuid", "noatime"))
    for mode in (True, False):
        rig.driver.remount(target, read_only=mode)
        [found] = rig.driver.mounts(target=target)
        lacking = {"nosuid", "noatime"} - set(found.options)
        expect(not lacking, f"the mount has {found.options} after a remount: {sorted(lacking)} is missing")


@OS.check()
def remount_read_only_of_a_busy_mount_is_refused(rig: OSRig) -> None:
    """While a file is open for writing the mount is ``InUse``, and stays writable."""
    _, target = rig.mounted()
    with (
        rig.files.using(target / "file"),
        expect_raises(InUse, what="making a mount read-only while a file is open for writing") as caught,
    ):
        rig.driver.remount(target, read_only=True)
    expect_named(caught, target, "making a mount read-only while a file is open for writing")
    rig.files.write(target / "other", _DATA)


@OS.check()
def remount_leaves_other_mounts(rig: OSRig) -> None:
    """The mode of one mount is its own: the same directory bound elsewhere keeps its mode."""
    _, source = rig.mounted()
    target = rig.path()
    rig.driver.bind(source, target)
    rig.driver.remount(target, read_only=True)
    expect_refused(rig, target, "a mount that was made read-only")
    rig.files.write(source / "file", _DATA)
    expect_data(rig.files.read(target / "file"), _DATA, "what the file holds that was written beside it")


@OS.check()
def remount_of_what_is_not_mounted_is_refused(rig: OSRig) -> None:
    """Where nothing is mounted there is nothing to remount: the mount that the folder is on keeps its mode."""
    _, outer = rig.mounted()
    for target in (rig.path(outer.name, "inner"), rig.path(outer.name, "missing")):
        if target.name == "inner":
            rig.driver.bind(outer, target)
            rig.driver.unmount(target)
        with expect_raises(RexrayError, what=f"making {target} read-only, where nothing is mounted"):
            rig.driver.remount(target, read_only=True)
    rig.files.write(outer / "file", _DATA)
