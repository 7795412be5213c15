"""The list of mounts."""

from __future__ import annotations

from rexray.testing.kit.check import expect, expect_equal
from rexray.testing.kit.os_rig import OSRig
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import OS
from rexray.testing.kit.viability import expect_quick, expect_reason

_QUICK = 1.0


@OS.check(reads_only=True)
def viable_says_why_not(rig: OSRig) -> None:
    """``viable`` says whether the driver can work on this host, and if not why, in one line."""
    expect_reason(rig.target)


@OS.check(reads_only=True)
def viable_is_a_quick_look(rig: OSRig) -> None:
    """``viable`` is asked of every installed driver whenever they are listed."""
    expect_quick(rig.target)


@OS.check()
def making_the_driver_has_no_effect(rig: OSRig) -> None:
    """A driver that is made does nothing by that: what is mounted stays so."""
    _, target = rig.mounted()
    times(3, rig.restarted)
    expect(rig.driver.mounted(target), f"nothing is mounted at {target} any more, once the driver was made again")


@OS.check(reads_only=True)
def every_mount_has_a_place_and_a_source(rig: OSRig) -> None:
    """``mounts`` lists the mounts of this host, each with an absolute path, whoever mounted it."""
    for point in rig.driver.mounts():
        expect(point.path.is_absolute(), f"mounts lists {point}, whose path is not absolute")
        expect(point.source, f"mounts lists {point}, which has no source")


@OS.check()
def mounts_has_what_was_mounted(rig: OSRig) -> None:
    """What was mounted is in the list of all, once, as ``mount`` returned it."""
    device, target = rig.formatted(), rig.path()
    made = rig.driver.mount(device, target)
    found = [point for point in rig.driver.mounts() if point.path == target]
    expect_equal(found, [made], f"the mounts at {target} in the list of all")


@OS.check()
def mounts_at_a_target_are_those_alone(rig: OSRig) -> None:
    """``mounts`` with a target lists what is mounted at exactly that path, and nothing if nothing is."""
    _, target = rig.mounted()
    rig.mounted()
    expect_equal([point.path for point in rig.driver.mounts(target=target)], [target], f"the mounts at {target}")
    for other in (rig.path(), rig.folder, target / "inside"):
        expect_equal(rig.driver.mounts(target=other), (), f"the mounts at {other}, where nothing is mounted")


@OS.check()
def mounts_of_a_source_are_those_alone(rig: OSRig) -> None:
    """``mounts`` with a source lists where that is mounted, and nothing if it is not."""
    device, target = rig.mounted()
    rig.mounted()
    found = [point.path for point in rig.driver.mounts(source=str(device.path))]
    expect_equal(found, [target], f"the mounts of {device.path}")
    other = rig.formatted()
    expect_equal(rig.driver.mounts(source=str(other.path)), (), f"the mounts of {other.path}, which is not mounted")


@OS.check()
def mounted_is_about_exactly_that_path(rig: OSRig) -> None:
    """``mounted`` says no of a path in a mount, of the folder that the mount is in, and of one that does not exist."""
    _, target = rig.mounted()
    expect(rig.driver.mounted(target), f"mounted says no of {target}, where a device is mounted")
    rig.files.write(target / "file", b"x")
    for other in (target / "file", target / "inside", rig.folder, rig.path(), rig.path(f"{target.name}x")):
        expect(not rig.driver.mounted(other), f"mounted says yes of {other}, where nothing is mounted")


@OS.check()
def what_is_unmounted_is_not_listed(rig: OSRig) -> None:
    """The list is as the host is now, and not as it was."""
    device, target = rig.mounted()
    expect_equal(len(rig.driver.mounts(target=target)), 1, f"mounts at {target}")
    rig.restarted().unmount(target)
    expect_equal(rig.driver.mounts(target=target), (), f"mounts at {target}, after it was unmounted")
    expect_equal(rig.driver.mounts(source=str(device.path)), (), f"mounts of {device.path}, after it was unmounted")
    expect(not rig.driver.mounted(target), f"mounted says yes of {target}, after it was unmounted")
