"""Finding devices, and proving that they are the right ones before anything is done to them."""

from __future__ import annotations

import time
from collections.abc import Callable

from rexray.errors import RexrayError, TimedOut, WrongDevice
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.os_rig import MIB, OSRig, expect_named, mistaken
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import OS
from rexray.types import Device

_DEADLINE = 20.0
_SHORT = 1.0


@OS.check()
def locate_finds_a_device_by_its_identity(rig: OSRig) -> None:
    """A device of which only the identity is known is found, and gets its path; others are not taken for it."""
    rig.blank()
    device = rig.blank()
    rig.blank()
    found = rig.driver.locate(Device(identity=device.identity), deadline=_DEADLINE)
    expect_equal(found.path, device.path, f"where locate found {device.identity}")
    expect_equal(found.identity, device.identity, "the identity of the device that locate found")


@OS.check()
def locate_takes_a_device_that_has_its_path(rig: OSRig) -> None:
    """A device with its path is the same once it is located, its identity proven, however often that is said."""
    device = rig.blank()
    found = times(10, lambda: rig.driver.locate(device, deadline=_DEADLINE))
    expect_equal(set(found), {device}, "what ten locates returned")


@OS.check()
def locate_refuses_a_device_of_another_identity(rig: OSRig) -> None:
    """``WrongDevice`` if what is at the path does not have the identity: a name may have passed to another device."""
    device, other = rig.blank(), rig.blank()
    with expect_raises(WrongDevice, what="locating a device whose path is another one's") as caught:
        rig.driver.locate(mistaken(device, other), deadline=_SHORT)
    expect_named(caught, device.path, "locating a device whose path is another one's")


@OS.check()
def locate_gives_up_after_its_deadline(rig: OSRig) -> None:
    """A device that does not appear is ``TimedOut`` after the deadline, and not before."""
    device = rig.blank()
    rig.disks.remove(device)
    begin = time.monotonic()
    with (
        rig.at_most(_SHORT, "locating a device that is not there"),
        expect_raises(TimedOut, what="locating a device that is not there"),
    ):
        rig.driver.locate(Device(identity=device.identity), deadline=_SHORT)
    took = time.monotonic() - begin
    expect(took >= _SHORT / 2, f"locate gave up after {took:.1f} s, with a deadline of {_SHORT:g} s")


@OS.check()
def locate_waits_for_a_device_that_appears_late(rig: OSRig) -> None:
    """A device that appears before the deadline is found."""
    device = rig.blank()
    rig.disks.remove(device)
    waiting = rig.begin(lambda: rig.driver.locate(Device(identity=device.identity), deadline=_DEADLINE))
    time.sleep(_SHORT / 2)
    again = rig.disks.restore(device)
    expect_equal(waiting.result(_DEADLINE + _SHORT).path, again.path, "where locate found the device that came late")


@OS.check()
def locate_of_nothing_is_refused(rig: OSRig) -> None:
    """A device with neither a path nor an identity is none, and certainly not the first that is there."""
    rig.blank()
    with expect_raises(RexrayError, what="locating a device with neither path nor identity"):
        rig.driver.locate(Device(), deadline=_SHORT)


def _steps(rig: OSRig, device: Device) -> dict[str, Callable[[], object]]:
    """Every step that reads or writes a device, by its name."""
    return {
        "device_size": lambda: rig.driver.device_size(device),
        "probe": lambda: rig.driver.probe(device),
        "format": lambda: rig.driver.format(device, rig.fs_type),
        "format with overwrite": lambda: rig.driver.format(device, rig.fs_type, overwrite=True),
        "mount": lambda: rig.driver.mount(device, rig.path(), fs_type=rig.fs_type),
    }


@OS.check()
def no_step_is_done_to_the_wrong_device(rig: OSRig) -> None:
    """Each step proves the identity anew: on another device it is ``WrongDevice``, and that stays as it is."""
    device, other = rig.formatted(), rig.blank()
    before = rig.ends(device)
    for name, step in _steps(rig, mistaken(device, other)).items():
        with expect_raises(WrongDevice, what=f"{name} of a device whose path is another one's"):
            step()
        expect(rig.ends(device) == before, f"the wrong device is not as it was, after {name}")


@OS.check()
def every_step_on_a_device_that_is_gone_fails_in_time(rig: OSRig) -> None:
    """A device that was taken away is an error that names it, at once, and no blank one."""
    device = rig.blank()
    rig.disks.remove(device)
    for name, step in _steps(rig, device).items():
        what = f"{name} of a device that is gone"
        with rig.at_most(0.0, what), expect_raises(RexrayError, what=what) as caught:
            step()
        expect_named(caught, device.path, what)


@OS.check()
def device_size_is_the_devices(rig: OSRig) -> None:
    """``device_size`` is in bytes, and as it is by now."""
    device = rig.blank()
    expect_equal(rig.driver.device_size(device), rig.disks.size(device), f"the size of {device.path}")
    rig.disks.grow(device, rig.size_bytes + 8 * MIB)
    expect_equal(
        rig.driver.device_size(device), rig.disks.size(device), f"the size of {device.path}, once it has grown"
    )
