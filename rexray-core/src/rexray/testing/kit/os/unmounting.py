"""Unmounting: once, again, and never what is in use."""

from __future__ import annotations

from rexray.errors import InUse
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.devices import expect_data
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.os_rig import OSRig, expect_named
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import OS

_DATA = b"what was written before\n" * 64


@OS.check()
def unmount_takes_the_mount_away(rig: OSRig) -> None:
    """Nothing is mounted at the target any more, which is still there."""
    _, target = rig.mounted()
    rig.driver.unmount(target)
    expect(not rig.driver.mounted(target), f"something is still mounted at {target}")
    expect_equal(rig.count(target), 0, f"mounts at {target} in the list of all")
    expect(target.is_dir(), f"{target} is no directory any more")


@OS.check()
def unmount_said_ten_times_is_success(rig: OSRig) -> None:
    """``unmount`` is idempotent: nothing mounted there is success."""
    _, target = rig.mounted()
    times(10, lambda: rig.driver.unmount(target))


@OS.check()
def unmount_of_what_was_never_mounted_is_success(rig: OSRig) -> None:
    """An empty directory, and a path that does not exist, are unmounted already; both stay as they are."""
    folder, missing = rig.path(), rig.path()
    folder.mkdir()
    (folder / "file").write_bytes(_DATA)
    rig.driver.unmount(folder)
    rig.driver.unmount(missing)
    expect_data((folder / "file").read_bytes(), _DATA, "what a file holds in the directory that was unmounted")
    expect(not missing.exists(), f"{missing} was made by unmounting it")


@OS.check()
def unmount_of_a_busy_mount_is_refused(rig: OSRig) -> None:
    """A mount with an open file is ``InUse``: it stays, and so does what is written through the file."""
    _, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    with (
        rig.files.using(target / "file"),
        expect_raises(InUse, what="unmounting while a file is open") as caught,
    ):
        rig.driver.unmount(target)
    expect_named(caught, target, "unmounting while a file is open")
    expect(rig.driver.mounted(target), f"nothing is mounted at {target} any more")
    expect_data(rig.files.read(target / "file"), _DATA, "what the open file holds")
    rig.driver.unmount(target)


@OS.check()
def unmount_with_a_mount_inside_is_refused(rig: OSRig) -> None:
    """A mount inside of which another one is mounted is ``InUse``; both stay."""
    _, outer = rig.mounted()
    inner = rig.path(outer.name, "inner")
    rig.mounted(inner)
    with expect_raises(InUse, what="unmounting a mount with another one inside"):
        rig.driver.unmount(outer)
    for target in (outer, inner):
        expect(rig.driver.mounted(target), f"nothing is mounted at {target} any more")


@OS.check()
def unmount_leaves_other_mounts(rig: OSRig) -> None:
    """Nothing else is unmounted: no mount of another device, and no other mount of this one."""
    _, target = rig.mounted()
    _, other = rig.mounted()
    bound = rig.path()
    rig.driver.bind(target, bound)
    rig.files.write(target / "file", _DATA)
    rig.driver.unmount(target)
    expect(rig.driver.mounted(other), f"another device is not mounted at {other} any more")
    expect(rig.driver.mounted(bound), f"what is bound at {bound} is not there any more")
    expect_data(rig.files.read(bound / "file"), _DATA, "what a file holds where it is bound")


@OS.check()
def an_unmounted_device_is_free(rig: OSRig) -> None:
    """When ``unmount`` returns, the device is nobody's: it can be claimed, and given back to the platform."""
    device, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    rig.driver.unmount(target)
    with rig.disks.claim(device):
        pass
    rig.disks.remove(device)
    again = rig.disks.restore(device)
    rig.driver.mount(again, target)
    expect_data(rig.files.read(target / "file"), _DATA, "what the file holds, once the device is back")


@OS.check()
def an_unmount_that_was_killed_and_said_again_unmounts(rig: OSRig) -> None:
    """A process that is killed anywhere in ``unmount`` leaves what a repeat finishes."""
    for killed in sweep(rig.target, rig.sources, lambda: Call(method="unmount", arguments=(rig.mounted()[1],))):
        [target] = killed.call.arguments
        rig.driver.unmount(target)  # type: ignore[arg-type] # it is a Path
        mounted = rig.driver.mounted(target)  # type: ignore[arg-type] # it is a Path
        expect(not mounted, f"something is mounted at {target}, killed {killed.where} and repeated")
