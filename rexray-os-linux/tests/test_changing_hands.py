"""Devices that change hands between the proof of what they are and what is done to them."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from linux_parts import MIB, SBIN, Loop, Loops, mkfs, program, run
from rexray.errors import WrongDevice
from rexray.types import Device, DeviceIdentity
from rexray_os_linux.devices import Devices
from rexray_os_linux.driver import LinuxOS

pytestmark = pytest.mark.needs("loop", "mkfs.ext4")

_LOOP_CHANGE_FD = 0x4C06


def instead(monkeypatch: pytest.MonkeyPatch, home: Path, name: str, before: str) -> None:
    """Have something happen right before a program of the system's runs."""
    real = shutil.which(name, path=SBIN)
    program(home / "bin", name, f'{before}\nexec {real} "$@"')
    monkeypatch.setenv("PATH", f"{home}/bin", prepend=os.pathsep)


def of(loop: Loop, linux: LinuxOS, home: Path, name: str) -> None:
    mkfs("ext4")(loop)
    linux.mount(loop.device, home / "m")
    (home / "m" / name).touch()
    linux.unmount(home / "m")


def test_the_device_that_was_proven_is_the_one_that_is_mounted(
    linux: LinuxOS, loops: Loops, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = loops(), loops()
    of(right, linux, home, "right")
    of(wrong, linux, home, "wrong")
    swap = f"losetup --detach {right.path}; losetup {right.path} {wrong.image} 2>/dev/null"
    instead(monkeypatch, home, "blkid", swap)
    linux.mount(right.device, home / "m")
    assert (home / "m" / "right").exists()
    assert not (home / "m" / "wrong").exists()


@pytest.mark.parametrize("name", ["blkid", "mkfs.ext4"])
def test_the_device_that_was_proven_is_the_one_that_is_formatted(
    linux: LinuxOS, loops: Loops, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    right, wrong = loops(), loops()
    before = wrong.content()
    swap = f"losetup --detach {right.path}; losetup {right.path} {wrong.image} 2>/dev/null"
    instead(monkeypatch, home, name, swap)
    linux.format(right.device, "ext4")
    assert wrong.content() == before
    assert right.image.read_bytes()[1080:1082] == b"\x53\xef"


def change_file(loop: Loop, image: Path) -> str:
    """A command that puts another file under a read-only loop device: LOOP_CHANGE_FD, loop(4)."""
    code = f"import fcntl,os; fcntl.ioctl(os.open('{loop.path}',0), {_LOOP_CHANGE_FD}, os.open('{image}',0))"
    return f'{shutil.which("python3")} -c "{code}"'


def test_a_file_that_was_put_under_the_device_is_not_left_mounted(
    linux: LinuxOS, loops: Loops, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = loops(), loops()
    of(right, linux, home, "right")
    of(wrong, linux, home, "wrong")
    right.detach()
    right.path = Path(run("losetup", "--find", "--show", "--read-only", right.image).strip())
    instead(monkeypatch, home, "blkid", change_file(right, wrong.image))
    with pytest.raises(WrongDevice, match="image1"):
        linux.probe(right.device)
    with pytest.raises(WrongDevice, match="image1"):
        linux.mount(right.device, home / "m", options=("ro",))
    assert not linux.mounted(home / "m")


def test_an_open_device_is_looked_at_again(loops: Loops) -> None:
    right, wrong = loops(), loops()
    device = right.device
    right.detach()
    right.path = Path(run("losetup", "--find", "--show", "--read-only", right.image).strip())
    with Devices().hold(Device(path=right.path, identity=device.identity)) as held:
        held.check()
        with wrong.image.open("rb") as other:
            fcntl.ioctl(held.fd, _LOOP_CHANGE_FD, other.fileno())
        with pytest.raises(WrongDevice, match=r"image1.*not .*image0"):
            held.check()


class Mapping:
    """A dm-crypt device as sysfs shows it, over real loop devices; its node is one of theirs."""

    def __init__(self, home: Path, node: Loop, uuid: str, *below: Loop) -> None:
        self.devices = Devices(home / "sys", home / "dev")
        self.node = home / "dev/dm-0"
        number = node.path.stat().st_rdev
        disk = home / "sys/devices/dm-0"
        for folder in (disk / "dm", disk / "slaves", home / "sys/dev/block", home / "dev"):
            folder.mkdir(parents=True)
        (disk / "dm/uuid").write_text(uuid)
        (disk / "size").write_text("1024")
        for loop in below:
            (disk / "slaves" / loop.path.name).symlink_to(f"/sys/block/{loop.path.name}")
            (home / "dev" / loop.path.name).symlink_to(loop.path)
        (home / f"sys/dev/block/{os.major(number)}:{os.minor(number)}").symlink_to(disk)
        os.mknod(self.node, 0o60600, number)

    def locate(self, image: Path) -> Path:
        device = Device(path=self.node, identity=DeviceIdentity(backing_file=str(image)))
        self.devices.hold(device).close()
        return self.devices.locate(device, deadline=0.2).path


def test_an_encrypted_volume_is_known_by_the_file_below(loops: Loops, home: Path) -> None:
    below, stranger, node = loops(), loops(), loops(MIB)
    mapping = Mapping(home, node, "CRYPT-LUKS2-0-x", below)
    assert mapping.locate(below.image) == mapping.node
    with pytest.raises(WrongDevice, match=r"image0.*not .*image1"):
        mapping.locate(stranger.image)


@pytest.mark.parametrize("uuid", ["LVM-0", "CRYPT-LUKS2-0-x"])
def test_another_mapping_or_one_of_several_devices_is_not(loops: Loops, home: Path, uuid: str) -> None:
    below, second, node = loops(), loops(), loops(MIB)
    several = [below, second] if uuid.startswith("CRYPT") else [below]
    with pytest.raises(WrongDevice, match="backing file is unknown"):
        Mapping(home, node, uuid, *several).locate(below.image)
