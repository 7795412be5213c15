"""Encrypted volumes, where the kernel has dm-crypt. ``tests/test_guest.py`` runs this file where it has not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from loop_parts import MIB, SECONDS, Host, devices_of, make_filesystem, mounted, open_device, run_script
from rexray import mounts
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, RexrayError, WrongDevice
from rexray_driver_loop import crypt
from rexray_driver_loop.model import LUKS_HEADER_BYTES

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("loop"), pytest.mark.needs("dm-crypt")]

PLAIN = b"nobody shall read this" * 100


def size_of(device: Path) -> int:
    with open_device(device) as descriptor:
        return os.lseek(descriptor, 0, os.SEEK_END)


def read(device: Path, size: int, at: int = 0) -> bytes:
    with open_device(device) as descriptor:
        return os.pread(descriptor, size, at)


def write(device: Path, content: bytes, at: int = 0) -> None:
    with open_device(device, os.O_RDWR) as descriptor:
        os.pwrite(descriptor, content, at)
        os.fsync(descriptor)


def mappings() -> list[str]:
    return [path.name for path in Path("/dev/mapper").iterdir() if path.name.startswith("rexray-")]


def test_what_is_written_is_not_in_the_file(host: Host) -> None:
    volume = host.create("v", 8 * MIB, encrypted=True)
    assert (volume.size_bytes, volume.encrypted) == (8 * MIB, True)
    assert host.create("v", 8 * MIB, encrypted=True) == volume
    with pytest.raises(AlreadyExists, match="no encryption"):
        host.create("v", 8 * MIB)
    assert host.data().stat().st_size == 8 * MIB + LUKS_HEADER_BYTES
    assert host.read("v", 4) == b"LUKS"
    device = host.connect()
    assert host.node.connect(host.attach(), deadline=SECONDS).identity.backing_file == str(host.data())
    assert device.parent == Path("/dev/mapper")
    assert size_of(device) == 8 * MIB
    write(device, PLAIN, 3 * MIB)
    host.disconnect()
    assert PLAIN[:22] not in host.data().read_bytes()
    assert mappings() == []
    assert devices_of(host.root) == []
    assert read(host.connect(), len(PLAIN), 3 * MIB) == PLAIN


def test_connecting_is_idempotent_and_survives_its_process(host: Host) -> None:
    host.create("v", MIB, encrypted=True)
    device = host.connect()
    assert host.connect() == device
    assert [Path(found.device) for found in host.node.devices()] == [device]
    assert [Path(attachment.device) for attachment in host.get().attachments] == [device]
    script = (
        "import sys; from pathlib import Path; from loop_parts import Host; print(Host(Path(sys.argv[1])).connect())"
    )
    assert run_script(script, host.root).output.strip() == str(device)
    host.disconnect()
    host.disconnect()
    ended = run_script(script, host.root, fault="loop-connect-configured")
    assert ended.status < 0
    assert len(devices_of(host.root)) == 1
    assert host.connect() == device
    host.detach()
    assert mappings() == []


def test_a_mounted_one_is_not_taken(host: Host, other: Host, tmp_path: Path) -> None:
    host.create("v", 16 * MIB, encrypted=True)
    device = host.connect()
    make_filesystem(device)
    with mounted(device, tmp_path / "mnt") as mnt:
        (mnt / "file").write_text("kept")
        for attempt in (host.disconnect, host.detach, lambda: other.attach(force=True)):
            with pytest.raises(InUse):
                attempt()
        assert (mnt / "file").read_text() == "kept"
    other.attach(force=True)
    assert mappings() == []
    with mounted(other.connect(), tmp_path / "mnt") as mnt:
        assert (mnt / "file").read_text() == "kept"


def test_it_grows_while_it_is_open(host: Host) -> None:
    host.create("v", 4 * MIB, encrypted=True)
    device = host.connect()
    write(device, PLAIN)
    assert host.expand("v", 9 * MIB).size_bytes == 9 * MIB
    assert size_of(device) == 9 * MIB
    assert read(device, len(PLAIN)) == PLAIN
    host.disconnect()
    host.expand("v", 12 * MIB)
    assert size_of(host.connect()) == 12 * MIB


def test_copies_have_the_key_of_their_source(host: Host) -> None:
    host.create("v", 4 * MIB, encrypted=True)
    write(host.connect(), PLAIN)
    host.snap()
    host.disconnect()
    host.detach()
    assert host.restore("r", "s", 6 * MIB).encrypted
    assert host.clone("c", "v", encrypted=True).encrypted
    with pytest.raises(InvalidRequest, match="encrypted as its source is"):
        host.clone("d", "v", encrypted=True, encryption_key="other")
    with pytest.raises(InvalidRequest, match="encrypted as its source is"):
        host.clone("d", host.create("plain").id, encrypted=True)
    for name, size in (("r", 6 * MIB), ("c", 4 * MIB)):
        device = host.connect(name)
        assert size_of(device) == size
        assert read(device, len(PLAIN)) == PLAIN
    write(host.connect(), bytes(len(PLAIN)))
    host.disconnect()
    host.detach()
    host.rollback()
    assert read(host.connect(), len(PLAIN)) == PLAIN


def test_a_named_key_opens_what_it_closed_and_nothing_else_does(host: Host) -> None:
    with pytest.raises(NotFound, match="encryption key"):
        host.create("v", MIB, encrypted=True, encryption_key="mine")
    assert host.names() == []
    host.storage._pool.keys.path("")
    key = host.root / "keys/mine"
    key.write_bytes(os.urandom(64))
    host.create("v", MIB, encrypted=True, encryption_key="mine")
    host.connect()
    host.disconnect()
    key.write_bytes(os.urandom(64))
    with pytest.raises(RexrayError, match="cryptsetup open: No key available"):
        host.connect()
    assert mappings() == []
    key.unlink()
    with pytest.raises(NotFound):
        host.connect()
    host.detach()
    assert devices_of(host.root) == []


def test_a_read_only_one_cannot_be_written(host: Host) -> None:
    host.create("v", MIB, encrypted=True)
    device = host.node.connect(host.attach(read_only=True), deadline=SECONDS).path
    with pytest.raises(PermissionError), open_device(device, os.O_RDWR) as descriptor:
        os.pwrite(descriptor, b"lost", 0)
    assert read(device, 4) != b"lost"


def test_discarded_blocks_are_given_back(host: Host) -> None:
    host.create("v", 16 * MIB, encrypted=True)
    device = host.connect()
    write(device, os.urandom(8 * MIB))
    before = host.data().stat().st_blocks
    subprocess.run(["blkdiscard", str(device)], check=True, timeout=30)
    assert host.data().stat().st_blocks < before - 7 * MIB // 512


def test_something_else_of_the_devices_name_is_not_the_volume(host: Host) -> None:
    host.create("v", MIB, encrypted=True)
    name = crypt._mapping(host.data()).name
    table = "0 2048 zero" if subprocess.run(["modprobe", "-q", "dm_zero"]).returncode == 0 else "0 2048 error"
    subprocess.run(["dmsetup", "create", name, "--table", table], check=True, timeout=30)
    try:
        with pytest.raises(WrongDevice, match="is over nothing and not over /dev/loop"):
            host.connect()
    finally:
        subprocess.run(["dmsetup", "remove", name], check=True, timeout=30)


def test_a_thick_one_has_its_room(host: Host) -> None:
    host.create("v", 4 * MIB, encrypted=True, type="thick")
    assert host.data().stat().st_blocks * 512 >= 4 * MIB + LUKS_HEADER_BYTES
    assert size_of(host.connect()) == 4 * MIB


def test_a_bound_one_is_in_use(host: Host, tmp_path: Path) -> None:
    host.create("v", MIB, encrypted=True)
    place = tmp_path / "published"
    place.touch()
    mounts.bind(host.connect(), place)
    try:
        with pytest.raises(InUse, match=f"bound at {place}"):
            host.detach()
        assert len(mappings()) == 1
    finally:
        mounts.unmount(place)
    host.detach()
    assert mappings() == []
