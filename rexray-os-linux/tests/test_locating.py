"""Finding the right device, and waiting for it: on real loop devices, and in a made sysfs for hardware."""

from __future__ import annotations

import os
import struct
import time
import uuid
from pathlib import Path

import pytest

from linux_parts import Loop, Loops, at_most, later
from rexray.errors import InvalidRequest, TimedOut, WrongDevice
from rexray.types import Device, DeviceIdentity
from rexray_os_linux.devices import Devices, Uevents
from rexray_os_linux.driver import LinuxOS

pytestmark = pytest.mark.needs("loop")


def backed_by(path: Path) -> Device:
    return Device(identity=DeviceIdentity(backing_file=str(path)))


def test_a_device_that_is_there_is_found_by_its_path_and_by_its_file(linux: LinuxOS, loops: Loops) -> None:
    loops()
    loop = loops()
    assert linux.locate(Device(path=loop.path), deadline=1).path == loop.path
    found = linux.locate(backed_by(loop.image), deadline=1)
    assert found == loop.device


def test_a_link_leads_to_its_node(linux: LinuxOS, loop: Loop, home: Path) -> None:
    (home / "a").symlink_to(home / "b")
    (home / "b").symlink_to(loop.path)
    assert linux.locate(Device(path=home / "a"), deadline=1).path == loop.path


def test_a_link_and_a_device_that_appear_later_are_waited_for(linux: LinuxOS, loops: Loops, home: Path) -> None:
    loop = loops()
    with later(0.2, lambda: (home / "link").symlink_to(loop.path)), at_most(1.5):
        assert linux.locate(Device(path=home / "link"), deadline=5).path == loop.path
    image = home / "later"
    with later(0.2, lambda: loops(image=image)), at_most(1.5):
        assert linux.locate(backed_by(image), deadline=5).path.name.startswith("loop")


def test_the_kernel_tells_of_a_new_device(loops: Loops) -> None:
    with Uevents() as events, later(0.1, loops), at_most(2):
        assert events.wait(5)


def test_what_does_not_appear_times_out(linux: LinuxOS, home: Path, loops: Loops) -> None:
    for device in (
        Device(path=home / "none"),
        backed_by(home / "none"),
        Device(identity=DeviceIdentity(serial="none")),
    ):
        with at_most(1.5), pytest.raises(TimedOut, match=r"none.* within 0.2 s"):
            linux.locate(device, deadline=0.2)
    with pytest.raises(TimedOut):
        linux.locate(loops(0).device, deadline=0.2)


def test_neither_a_path_nor_an_identity_is_nothing_to_go_by(linux: LinuxOS) -> None:
    with pytest.raises(InvalidRequest, match="neither"):
        linux.locate(Device(), deadline=1)


def test_a_backing_file_is_known_by_what_it_is_and_not_by_its_name(linux: LinuxOS, loop: Loop, home: Path) -> None:
    (home / "link").symlink_to(home)
    assert linux.locate(backed_by(home / "link" / loop.image.name), deadline=1).path == loop.path
    loop.image.rename(f"{loop.image}-moved")
    assert linux.locate(backed_by(Path(f"{loop.image}-moved")), deadline=1).path == loop.path
    loop.image.touch()
    with pytest.raises(TimedOut):
        linux.locate(backed_by(loop.image), deadline=0.1)
    with pytest.raises(WrongDevice, match="backing file"):
        linux.locate(loop.device, deadline=1)


def test_what_is_no_block_device_is_not_waited_for(linux: LinuxOS, home: Path) -> None:
    (home / "file").touch()
    with at_most(1), pytest.raises(WrongDevice, match="not a block device"):
        linux.locate(Device(path=home / "file"), deadline=5)


def test_udevs_link_is_followed_and_what_is_behind_it_is_checked(linux: LinuxOS, loops: Loops) -> None:
    right, wrong = loops(), loops()
    by_id = Path("/dev/disk/by-id")
    made = [path for path in (by_id, by_id.parent) if not path.exists()]
    link = by_id / f"rexray-test-{uuid.uuid4()}"
    by_id.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(wrong.path)
        identity = DeviceIdentity(link=link.name)
        assert linux.locate(Device(identity=identity), deadline=1).path == wrong.path
        with pytest.raises(WrongDevice, match=r"not a name of it|is not a name"):
            linux.locate(Device(path=right.path, identity=identity), deadline=1)
        expected = DeviceIdentity(link=link.name, backing_file=str(right.image))
        with pytest.raises(WrongDevice, match=r"backing file is '.*image1', not '.*image0'"):
            linux.locate(Device(identity=expected), deadline=1)
    finally:
        link.unlink(missing_ok=True)
        for path in made:
            path.rmdir()


class Sysfs:
    """A sysfs and a /dev with hardware that this machine does not have."""

    def __init__(self, home: Path) -> None:
        self.sys, self.dev = home / "sys", home / "dev"
        (self.sys / "block").mkdir(parents=True)
        (self.sys / "dev/block").mkdir(parents=True)
        self.dev.mkdir()
        self.devices = Devices(self.sys, self.dev)
        self._minor = 0

    def disk(self, name: str, **attributes: str | bytes) -> Path:
        """A disk; ``device__serial="x"`` is the attribute ``device/serial``."""
        self._minor += 1
        number = f"240:{self._minor}"
        disk = self.sys / "devices" / name
        (disk / "holders").mkdir(parents=True)
        (disk / "slaves").mkdir()
        given = {"dev": number, "size": "2048", "uevent": f"DEVNAME={name}\n", **attributes}
        for attribute, content in given.items():
            path = disk / attribute.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode() + b"\n")
        (self.sys / "block" / name).symlink_to(disk)
        (self.sys / "dev/block" / number).symlink_to(disk)
        os.mknod(self.dev / name, 0o60600, os.makedev(240, self._minor))
        return disk

    def locate(self, path: str = "", **identity: str) -> str:
        device = Device(path=self.dev / path if path else Path(), identity=DeviceIdentity(**identity))
        return self.devices.locate(device, deadline=0.05).path.name


@pytest.fixture
def sysfs(home: Path) -> Sysfs:
    return Sysfs(home)


def test_nvme_is_found_by_serial_wwn_and_link(sysfs: Sysfs) -> None:
    sysfs.disk("nvme0n1", device__serial="vol01    ", device__model="Amazon Elastic Block Store", wwid="eui.0001")
    sysfs.disk("nvme1n1", device__serial="vol02    ", device__model="Amazon Elastic Block Store", wwid="eui.0002")
    assert sysfs.locate(serial="vol02") == "nvme1n1"
    assert sysfs.locate(wwn="EUI.0001") == "nvme0n1"
    assert sysfs.locate(link="nvme-Amazon_Elastic_Block_Store_vol02") == "nvme1n1"
    assert sysfs.locate("nvme0n1", serial="vol01", wwn="eui.0001") == "nvme0n1"
    with pytest.raises(WrongDevice, match="serial is 'vol02', not 'vol01'"):
        sysfs.locate("nvme1n1", serial="vol01")
    with pytest.raises(WrongDevice, match=r"WWN is 'eui.0001', not 'eui.0002'"):
        sysfs.locate("nvme0n1", serial="vol01", wwn="eui.0002")


def test_virtio_is_found_by_serial_and_one_without_is_not_trusted(sysfs: Sysfs) -> None:
    sysfs.disk("vda")
    sysfs.disk("vdb", serial="0123456789abcdef0123")
    assert sysfs.locate(serial="0123456789abcdef0123") == "vdb"
    assert sysfs.locate(link="virtio-0123456789abcdef0123") == "vdb"
    with pytest.raises(WrongDevice, match="serial is unknown, not '1'"):
        sysfs.locate("vda", serial="1")


def test_scsi_is_found_by_its_pages(sysfs: Sysfs) -> None:
    naa, t10 = bytes.fromhex("6001405abcdef000"), b"LIO-ORG name"
    designators = struct.pack(">BBxB", 1, 3, len(naa)) + naa + struct.pack(">BBxB", 2, 1, len(t10)) + t10
    other = struct.pack(">BBxB", 1, 0x13, 4) + b"port"
    page83 = struct.pack(">BBH", 0, 0x83, len(designators + other)) + designators + other
    sysfs.disk("sda", device__vpd_pg80=b"\0\x80\0\x08  SERIAL", device__vpd_pg83=page83, device__wwid="naa.5000")
    assert sysfs.locate(serial="SERIAL") == "sda"
    for name in ("naa.6001405abcdef000", "t10.LIO-ORG name", "naa.5000"):
        assert sysfs.locate(wwn=name) == "sda"
    assert sysfs.locate(link="wwn-0x6001405abcdef000") == "sda"
    with pytest.raises(WrongDevice):
        sysfs.locate("sda", wwn=f"naa.{b'port'.hex()}")


def test_a_multipath_device_is_preferred_to_its_paths_and_other_holders_are_not(sysfs: Sysfs) -> None:
    paths = [sysfs.disk(name, device__wwid="naa.6001") for name in ("sda", "sdb")]
    multipath = sysfs.disk("dm-0", dm__uuid="mpath-36001")
    logical = sysfs.disk("dm-1", dm__uuid="LVM-abc")
    for path in paths:
        (path / "holders/dm-0").symlink_to(multipath)
        (multipath / "slaves" / path.name).symlink_to(path)
    disk = sysfs.disk("sdc", device__wwid="naa.6002")
    (disk / "holders/dm-1").symlink_to(logical)
    assert sysfs.locate(wwn="naa.6001") == "dm-0"
    assert sysfs.locate("sdb", wwn="naa.6001") == "dm-0"
    assert sysfs.locate("dm-0", wwn="naa.6001") == "dm-0"
    assert sysfs.locate(wwn="naa.6002") == "sdc"
    with pytest.raises(WrongDevice):
        sysfs.locate("dm-1", wwn="naa.6002")


def test_two_disks_with_one_serial_are_ambiguous_unless_they_are_one(sysfs: Sysfs) -> None:
    sysfs.disk("sda", device__vpd_pg80=b"\0\x80\0\x01A", device__wwid="naa.1")
    sysfs.disk("sdb", device__vpd_pg80=b"\0\x80\0\x01A", device__wwid="naa.1")
    with pytest.raises(WrongDevice, match=r"ambiguous: .*sda, .*sdb"):
        sysfs.locate(serial="A")
    assert sysfs.locate(serial="A", wwn="naa.1") == "sda"


def test_a_node_of_another_device_and_one_without_a_size_are_not_there_yet(sysfs: Sysfs) -> None:
    disk = sysfs.disk("nvme0n1", wwid="eui.1")
    (disk / "size").write_text("0\n")
    with pytest.raises(TimedOut):
        sysfs.locate(wwn="eui.1")
    (disk / "size").write_text("8\n")
    (sysfs.dev / "nvme0n1").unlink()
    with pytest.raises(TimedOut):
        sysfs.locate(wwn="eui.1")
    os.mknod(sysfs.dev / "nvme0n1", 0o60600, os.makedev(240, 99))
    start = time.monotonic()
    with pytest.raises(TimedOut):
        sysfs.locate(wwn="eui.1")
    assert time.monotonic() - start < 1
