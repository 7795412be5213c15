"""Making filesystems, only where nothing is lost that nobody gave up."""

from __future__ import annotations

from pathlib import Path

from rexray.errors import AlreadyExists, Busy, InUse, RexrayError
from rexray.testing.kit.check import expect, expect_equal, expect_raises
from rexray.testing.kit.devices import expect_data
from rexray.testing.kit.killing import Call, sweep
from rexray.testing.kit.os.probing import FOREIGN, LUKS
from rexray.testing.kit.os_rig import OSRig, expect_named
from rexray.testing.kit.runs import together
from rexray.testing.kit.suites import OS
from rexray.types import Device

_DATA = b"what somebody would miss\n" * 64


@OS.check()
def format_makes_a_filesystem_that_can_be_mounted(rig: OSRig) -> None:
    """A blank device gets a filesystem of the type that was asked for, in which files can be written."""
    for kind in (rig.fs_type, rig.other_fs_type):
        device, target = rig.blank(), rig.path()
        rig.driver.format(device, kind)
        expect_equal(rig.driver.mount(device, target).fs_type, kind, "the type of what was mounted")
        rig.files.write(target / "file", _DATA)
        expect_data(rig.files.read(target / "file"), _DATA, "what the file holds that was written")


def _expect_kept(rig: OSRig, device: Device, *, overwrite: bool, fs_type: str, errors: type[RexrayError]) -> None:
    before = rig.ends(device)
    what = f"formatting {device.path} as {fs_type}{', to overwrite it' if overwrite else ''}"
    with expect_raises(errors, what=what) as caught:
        rig.driver.format(device, fs_type, overwrite=overwrite)
    expect(rig.ends(device) == before, f"the device is not as it was, after {what}")
    if errors is not RexrayError:
        expect_named(caught, device.path, what)


@OS.check()
def format_of_a_filesystem_is_refused(rig: OSRig) -> None:
    """A device with a filesystem, of the same type or another, is ``AlreadyExists``; its files stay."""
    device, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    rig.driver.unmount(target)
    for kind in (rig.fs_type, rig.other_fs_type):
        _expect_kept(rig, device, overwrite=False, fs_type=kind, errors=AlreadyExists)
    rig.driver.mount(device, target)
    expect_data(rig.files.read(target / "file"), _DATA, "what the file holds, after the format was refused")


@OS.check()
def format_of_an_encrypted_device_is_refused(rig: OSRig) -> None:
    """A device that holds no filesystem, but something that is known, is not blank either."""
    device = rig.blank()
    rig.disks.write(device, 0, LUKS)
    _expect_kept(rig, device, overwrite=False, fs_type=rig.fs_type, errors=AlreadyExists)


@OS.check()
def format_of_unknown_data_is_refused(rig: OSRig) -> None:
    """Data of no known kind at either end of the device stays; it is not blank."""
    for at in (0, rig.size_bytes - len(FOREIGN)):
        device = rig.blank()
        rig.disks.write(device, at, FOREIGN)
        _expect_kept(rig, device, overwrite=False, fs_type=rig.fs_type, errors=AlreadyExists)


@OS.check()
def format_with_overwrite_makes_a_new_filesystem(rig: OSRig) -> None:
    """Whoever asks to overwrite loses what was there, and has a filesystem without files."""
    device, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    rig.driver.unmount(target)
    rig.driver.format(device, rig.other_fs_type, overwrite=True)
    expect_equal(rig.driver.probe(device), rig.other_fs_type, "probe of the device that was overwritten")
    rig.driver.mount(device, target)
    expect(_is_missing(rig, target / "file"), "a file of the filesystem that was overwritten can still be read")


def _is_missing(rig: OSRig, path: Path) -> bool:
    try:
        rig.files.read(path)
    except FileNotFoundError:
        return True
    return False


@OS.check()
def format_with_overwrite_takes_any_content(rig: OSRig) -> None:
    """What was not recognised, or is no filesystem, is overwritten as well where that was asked for."""
    for data in (FOREIGN, LUKS):
        device = rig.blank()
        rig.disks.write(device, 0, data)
        rig.driver.format(device, rig.fs_type, overwrite=True)
        expect_equal(rig.driver.probe(device), rig.fs_type, "probe of the device that was overwritten")


@OS.check()
def format_as_an_unknown_type_is_refused(rig: OSRig) -> None:
    """A type that cannot be made is an error before anything is done, to overwrite or not."""
    device = rig.formatted()
    for kind in ("no-such-filesystem", "", "ext4; true", "../ext4", "-v"):
        for overwrite in (False, True):
            _expect_kept(rig, device, overwrite=overwrite, fs_type=kind, errors=RexrayError)
    blank = rig.blank()
    _expect_kept(rig, blank, overwrite=False, fs_type="no-such-filesystem", errors=RexrayError)
    expect_equal(rig.driver.probe(blank), "", "probe of a blank device, after that was refused")


@OS.check()
def format_of_a_mounted_device_is_refused(rig: OSRig) -> None:
    """A device that is mounted is ``InUse``, whatever was asked, and its files stay."""
    device, target = rig.mounted()
    rig.files.write(target / "file", _DATA)
    for overwrite in (False, True):
        with expect_raises(InUse, AlreadyExists, what=f"formatting a mounted device, overwrite being {overwrite}"):
            rig.driver.format(device, rig.other_fs_type, overwrite=overwrite)
        expect(rig.driver.mounted(target), f"nothing is mounted at {target} any more")
        expect_data(rig.files.read(target / "file"), _DATA, "what the file holds, after the format was refused")
    rig.driver.unmount(target)
    expect_equal(rig.driver.probe(device), rig.fs_type, "probe of the device, after the format was refused")


@OS.check()
def format_of_a_claimed_device_is_refused(rig: OSRig) -> None:
    """A device that something else has to itself, as a volume group or swap has, is ``InUse``, whatever was asked."""
    device = rig.formatted()
    before = rig.ends(device)
    with rig.disks.claim(device), expect_raises(InUse, what="formatting a claimed device, to overwrite it"):
        rig.driver.format(device, rig.other_fs_type, overwrite=True)
    expect(rig.ends(device) == before, "the claimed device is not as it was")


@OS.check()
def format_of_a_device_that_cannot_be_read_is_refused(rig: OSRig) -> None:
    """What cannot be read is not known to be blank, and is not formatted."""
    device = rig.blank()
    rig.disks.damage(device)
    with expect_raises(RexrayError, what="formatting a device that cannot be read") as caught:
        rig.driver.format(device, rig.fs_type)
    expect_named(caught, device.path, "formatting a device that cannot be read")


@OS.check()
def of_two_formats_at_once_one_is_refused(rig: OSRig) -> None:
    """Callers that format the same device at the same moment do not both: one makes it, the other finds it made."""
    device = rig.blank()
    found = together(*[lambda: rig.driver.format(device, rig.fs_type)] * 3)
    done = [each for each in found if each is None]
    expect_equal(len(done), 1, f"formats at once that succeeded, of three: {found}")
    others = [each for each in found if each is not None]
    expect(all(isinstance(each, AlreadyExists | InUse | Busy) for each in others), f"the others raised {others}")
    expect_equal(rig.driver.probe(device), rig.fs_type, "probe of the device afterwards")


@OS.check()
def a_format_that_was_killed_can_be_said_again(rig: OSRig) -> None:
    """A process that is killed anywhere in ``format`` leaves a device that can be formatted, to overwrite it."""
    for killed in sweep(rig.target, rig.sources, lambda: Call(method="format", arguments=(rig.blank(), rig.fs_type))):
        device, target = killed.call.arguments[0], rig.path()
        assert isinstance(device, Device)
        rig.while_busy(lambda device=device: rig.driver.format(device, rig.fs_type, overwrite=True))  # type: ignore[misc]
        rig.driver.mount(device, target)
        rig.files.write(target / "file", _DATA)
        expect_data(rig.files.read(target / "file"), _DATA, f"what a file holds, killed {killed.where} and repeated")
