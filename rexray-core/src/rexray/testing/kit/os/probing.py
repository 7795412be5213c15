"""What a device holds, and the proof that it holds nothing."""

from __future__ import annotations

from rexray.errors import RexrayError
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.os_rig import MIB, OSRig, expect_named
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import OS

LUKS = b"LUKS\xba\xbe\x00\x02"
"""How a device begins that cryptsetup made: the LUKS2 On-Disk Format Specification, 2.1."""
FOREIGN = b"somebody's database, of a kind that nothing knows"


@OS.check()
def probe_of_a_blank_device_is_empty(rig: OSRig) -> None:
    """A device that was never written to is blank, said however often."""
    device = rig.blank()
    expect_equal(set(times(10, lambda: rig.driver.probe(device))), {""}, "what ten probes of a blank device said")


@OS.check()
def probe_names_a_filesystem(rig: OSRig) -> None:
    """A filesystem is called by the word that mount(8) has for it."""
    device = rig.formatted()
    expect_equal(rig.driver.probe(device), rig.fs_type, f"probe of a device with {rig.fs_type}")
    other = rig.blank()
    rig.driver.format(other, rig.other_fs_type)
    expect_equal(rig.driver.probe(other), rig.other_fs_type, f"probe of a device with {rig.other_fs_type}")


@OS.check()
def probe_names_an_encrypted_device(rig: OSRig) -> None:
    """What is no filesystem is named as well: a LUKS device is ``crypto_LUKS``."""
    device = rig.blank()
    rig.disks.write(device, 0, LUKS)
    expect_equal(rig.driver.probe(device), "crypto_LUKS", "probe of a device that begins as LUKS devices do")


@OS.check()
def probe_of_unknown_data_is_an_error(rig: OSRig) -> None:
    """Data of no known kind, wherever in the first or last MiB, is an error and never blank."""
    for at in (0, 4096, MIB - len(FOREIGN), rig.size_bytes - MIB, rig.size_bytes - len(FOREIGN)):
        device = rig.blank()
        rig.disks.write(device, at, FOREIGN)
        what = f"probing a device with unknown data at byte {at} of {rig.size_bytes}"
        with expect_raises(RexrayError, what=what) as caught:
            rig.driver.probe(device)
        expect_named(caught, device.path, what)


@OS.check()
def probe_sees_what_was_written_last(rig: OSRig) -> None:
    """What was probed blank may have been written to since, by this host or another: each probe reads the device."""
    device = rig.blank()
    expect_equal(rig.driver.probe(device), "", "probe of a blank device")
    rig.disks.write(device, 0, LUKS)
    expect_equal(rig.driver.probe(device), "crypto_LUKS", "probe of the device once it was encrypted")
    rig.disks.write(device, 0, bytes(len(LUKS)))
    expect_equal(rig.driver.probe(device), "", "probe of the device once it was blank again")


@OS.check()
def probe_of_a_device_that_cannot_be_read_is_an_error(rig: OSRig) -> None:
    """What cannot be read is not known to be blank."""
    device = rig.blank()
    rig.disks.damage(device)
    with expect_raises(RexrayError, what="probing a device that cannot be read") as caught:
        rig.driver.probe(device)
    expect_named(caught, device.path, "probing a device that cannot be read")


@OS.check()
def probe_changes_nothing(rig: OSRig) -> None:
    """To look leaves every byte as it is."""
    device = rig.formatted()
    before = rig.ends(device)
    times(3, lambda: rig.driver.probe(device))
    expect(rig.ends(device) == before, "the device is not as it was, after three probes")
