"""Growing, changing type, room and health."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from loop_parts import GIB, MIB, Host, make_filesystem, mounted, open_device, room
from rexray.errors import InvalidRequest, NotFound, OutOfRange
from rexray.types import VolumeId


def test_a_volume_grows_and_never_shrinks(host: Host) -> None:
    host.create("v", 2 * MIB)
    host.write("v", b"kept")
    assert host.expand("v", 5 * MIB - 1).size_bytes == 5 * MIB
    assert host.data().stat().st_size == 5 * MIB
    for size in (5 * MIB, MIB, 0, -1):
        assert host.expand("v", size).size_bytes == 5 * MIB
    assert host.read("v", 4) == b"kept"
    assert room(host.data()) <= MIB
    with pytest.raises(OutOfRange):
        host.expand("v", 1 << 63)
    assert host.get().size_bytes == host.data().stat().st_size == 5 * MIB
    with pytest.raises(NotFound):
        host.expand("none", GIB)


def test_a_thick_volume_grows_thick(host: Host) -> None:
    host.create("v", 2 * MIB, type="thick")
    host.expand("v", 6 * MIB)
    assert room(host.data()) >= 6 * MIB


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
def test_the_device_grows_with_its_volume_while_it_is_mounted(host: Host, tmp_path: Path) -> None:
    host.create("v", 16 * MIB)
    device = host.connect()
    make_filesystem(device)
    with mounted(device, tmp_path / "mnt") as mnt:
        (mnt / "file").write_text("kept")
        host.expand("v", 48 * MIB)
        with open_device(device) as descriptor:
            assert os.lseek(descriptor, 0, os.SEEK_END) == 48 * MIB
        assert (mnt / "file").read_text() == "kept"
    subprocess.run(["e2fsck", "-fp", str(device)], check=False, capture_output=True, timeout=60)
    subprocess.run(["resize2fs", str(device)], check=True, capture_output=True, timeout=60)
    with mounted(device, tmp_path / "mnt") as mnt:
        assert os.statvfs(mnt).f_blocks * os.statvfs(mnt).f_frsize > 40 * MIB


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
def test_a_device_that_lagged_behind_catches_up(host: Host) -> None:
    host.create("v", 2 * MIB)
    device = host.connect()
    os.truncate(host.data(), 4 * MIB)
    host.expand("v", MIB)
    with open_device(device) as descriptor:
        assert os.lseek(descriptor, 0, os.SEEK_END) == 4 * MIB


def tells_what_was_never_written(folder: Path) -> bool:
    """tmpfs does not."""
    with (folder / "probe").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, MIB)
        return os.lseek(file.fileno(), 0, os.SEEK_HOLE) == 0


def test_thin_and_thick_are_changed_into_each_other(host: Host) -> None:
    host.create("v", 8 * MIB)
    host.write("v", b"x" * MIB, 4 * MIB)
    assert host.modify(type="thick").type == "thick"
    assert room(host.data()) >= 8 * MIB
    assert host.modify(type="thick") == host.get()
    assert host.modify(type="thin").type == "thin"
    if tells_what_was_never_written(host.root):
        assert room(host.data()) <= 2 * MIB
    assert host.read("v", MIB, 4 * MIB) == b"x" * MIB
    assert host.data().stat().st_size == 8 * MIB


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
def test_a_volume_in_use_becomes_thick_at_once_and_thin_by_and_by(host: Host) -> None:
    host.create("v", 8 * MIB)
    device = host.connect()
    host.modify(type="thick")
    assert room(host.data()) >= 8 * MIB
    assert host.modify(type="thin").type == "thin"
    assert room(host.data()) >= 8 * MIB
    subprocess.run(["blkdiscard", str(device)], check=True, timeout=30)
    assert room(host.data()) == 0


@pytest.mark.parametrize("options", [{"type": "fat"}, {"iops": "5"}, {"type": "thick", "colour": "red"}])
def test_what_cannot_be_changed_changes_nothing(host: Host, options: dict[str, str]) -> None:
    host.create()
    before = host.get()
    with pytest.raises(InvalidRequest, match="is unknown: there"):
        host.storage.modify(VolumeId("v"), options)
    assert host.get() == before
    assert room(host.data()) == 0
    assert host.storage.modify(VolumeId("v"), {}) == before
    with pytest.raises(NotFound):
        host.modify("none", type="thin")


def test_room_is_what_the_filesystem_has(root: Path) -> None:
    host = Host(root, zone="z")
    facts = os.statvfs(root)
    for zone in ("", "z"):
        capacity = host.storage.capacity(zone)
        assert abs(capacity.available_bytes - facts.f_bavail * facts.f_frsize) < GIB
        assert capacity.largest_volume_bytes is None
    with pytest.raises(InvalidRequest, match="zone 'y'"):
        host.storage.capacity("y")
    assert Host(root, "unzoned").storage.zones() == ()


def test_health_is_that_of_the_file(host: Host) -> None:
    host.create("v", 4 * MIB)
    volume = VolumeId("v")
    assert not host.storage.health(volume).abnormal
    os.truncate(host.data(), 5 * MIB)
    assert not host.storage.health(volume).abnormal
    os.truncate(host.data(), MIB)
    assert host.storage.health(volume).message == f"{host.data()} has {MIB} of {4 * MIB} bytes"
    host.data().unlink()
    health = host.storage.health(volume)
    assert health.abnormal
    assert health.message == f"{host.data()} is missing"
    host.data().symlink_to("/dev/zero")
    assert host.storage.health(volume).abnormal
    with pytest.raises(NotFound):
        host.storage.health(VolumeId("none"))
