"""The loop devices of this host: one for each connected volume, and it is that volume's."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from loop_parts import MIB, SECONDS, Host, devices_of, make_filesystem, mounted, open_device, tmpfs
from rexray.errors import AlreadyExists, Busy, InUse, NotFound, NotReady, Unavailable, WrongDevice
from rexray.types import VolumeId
from rexray_driver_loop import loops
from rexray_driver_loop.node import LoopNode
from rexray_driver_loop.storage import LoopStorage
from rexray_driver_loop.viability import viability

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("loop")]


def losetup(*arguments: str | Path) -> str:
    command = ["losetup", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def test_a_connected_volume_is_a_device_of_its_size_and_content(host: Host) -> None:
    host.create("v", 3 * MIB)
    attachment = host.attach()
    device = host.node.connect(attachment, deadline=SECONDS)
    assert device.identity.backing_file == attachment.token == str(host.data())
    with open_device(device.path, os.O_RDWR) as descriptor:
        assert os.lseek(descriptor, 0, os.SEEK_END) == 3 * MIB
        os.pwrite(descriptor, b"here", 2 * MIB)
        os.fsync(descriptor)
    assert host.read("v", 4, 2 * MIB) == b"here"
    assert losetup("-n", "-O", "AUTOCLEAR,RO,DIO,OFFSET", "-l", device.path).split() == ["0", "0", "0", "0"]


def test_connecting_twice_is_connecting_once(host: Host) -> None:
    host.create()
    assert host.connect() == host.connect()
    assert len(devices_of(host.root)) == 1
    assert len({host.connect(host.create(name).id) for name in "abc"}) == 3
    assert len(devices_of(host.root)) == 4


def test_disconnecting_is_done_when_it_returns(host: Host) -> None:
    host.create()
    for _ in range(20):
        host.connect()
        host.disconnect()
        assert devices_of(host.root) == []
    host.disconnect()
    host.disconnect("none")


def test_data_lives_through_it_all(host: Host, other: Host, tmp_path: Path) -> None:
    host.create("v", 16 * MIB)
    device = host.connect()
    make_filesystem(device)
    with mounted(device, tmp_path / "mnt") as mnt:
        (mnt / "file").write_text("kept")
    host.disconnect()
    host.detach()
    with mounted(other.connect(), tmp_path / "mnt") as mnt:
        assert (mnt / "file").read_text() == "kept"


def test_what_is_not_attached_here_is_not_connected(host: Host, other: Host) -> None:
    host.create()
    attachment = host.attach()
    host.detach()
    with pytest.raises(NotReady, match="not attached"):
        host.node.connect(attachment, deadline=SECONDS)
    other.attach()
    with pytest.raises(InUse, match="attached to 'there'"):
        host.node.connect(attachment, deadline=SECONDS)
    with pytest.raises(NotReady, match="to 'here', and this is 'there'"):
        other.node.connect(attachment, deadline=SECONDS)
    with pytest.raises(NotFound):
        host.node.connect(replace(attachment, volume_id=VolumeId("none")), deadline=SECONDS)
    assert devices_of(host.root) == []


def test_an_attachment_of_another_platform_is_not_connected(host: Host) -> None:
    host.create()
    with pytest.raises(WrongDevice, match="elsewhere"):
        host.node.connect(replace(host.attach(), token="/elsewhere/volumes/v/data"), deadline=SECONDS)


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_volume_that_lost_its_data_is_not_connected(host: Host, damage: str) -> None:
    host.create("v", 2 * MIB)
    if damage == "missing":
        host.data().unlink()
    else:
        os.truncate(host.data(), MIB)
    with pytest.raises(Unavailable, match=r"cannot be connected: .*data"):
        host.connect()
    assert devices_of(host.root) == []
    host.disconnect()
    host.detach()
    host.remove()


def test_what_another_instance_connected_is_left_to_it(host: Host, other: Host) -> None:
    host.create()
    stale = host.attach()
    path = other.node.connect(other.attach(force=True), deadline=SECONDS).path
    host.node.disconnect(stale)
    assert devices_of(host.root) == [(path, str(host.data()))]
    assert host.node.devices() == ()
    assert [(found.volume_id, found.device) for found in other.node.devices()] == [("v", str(path))]
    other.node.disconnect(stale)
    assert devices_of(host.root) == [(path, str(host.data()))]


def test_the_devices_of_this_host(host: Host, tmp_path: Path) -> None:
    assert host.node.devices() == ()
    paths = {name: host.connect(host.create(name).id) for name in ("b", "a", "Ünï")}
    host.attach(host.create("unconnected").id)
    (tmp_path / "stranger").write_bytes(bytes(MIB))
    losetup("--find", tmp_path / "stranger")
    found = host.node.devices()
    assert {device.volume_id: device.device for device in found} == {name: str(path) for name, path in paths.items()}
    assert [device.volume_id for device in found] == sorted(paths)
    assert {(device.provider, device.instance_id) for device in found} == {("loop", "here")}
    assert host.node.next_device() == ""


def test_a_device_that_somebody_made_of_the_file_is_used(host: Host) -> None:
    host.create()
    host.attach()
    made = losetup("--find", "--show", host.data())
    assert str(host.connect()) == made
    host.disconnect()
    assert devices_of(host.root) == []


@pytest.mark.parametrize("options", [["--offset", "4096"], ["--sizelimit", "4096"]])
def test_a_device_of_a_part_of_the_file_is_not(host: Host, options: list[str]) -> None:
    host.create()
    host.attach()
    losetup("--find", *options, host.data())
    with pytest.raises(InUse, match="shows a part of"):
        host.connect()


def test_a_device_whose_file_was_replaced_is_another_volumes(host: Host) -> None:
    """Paths are not enough: the file at a path may be another one than the device shows."""
    host.create()
    first = host.connect()
    host.write("v", b"old")
    host.data().rename(host.data().with_name("gone"))
    (host.data()).write_bytes(bytes(MIB))
    assert host.connect() != first
    (host.data().with_name("gone")).unlink()
    losetup("--detach", first)


def test_a_volume_that_is_attached_read_only_cannot_be_written(host: Host, other: Host) -> None:
    host.create("v", 2 * MIB)
    host.write("v", b"kept")
    attachment = host.attach(read_only=True)
    assert attachment.read_only
    assert host.attach(read_only=True) == attachment
    with pytest.raises(AlreadyExists, match="attached to 'here' read-only, and was asked for writable"):
        host.attach()
    device = host.node.connect(attachment, deadline=SECONDS).path
    assert host.node.connect(attachment, deadline=SECONDS).path == device
    with open_device(device) as descriptor:
        assert os.read(descriptor, 4) == b"kept"
    with pytest.raises(PermissionError), open_device(device, os.O_RDWR) as descriptor:
        os.pwrite(descriptor, b"lost", 0)
    assert host.read("v", 4) == b"kept"
    host.expand("v", 4 * MIB)
    with open_device(device) as descriptor:
        assert os.lseek(descriptor, 0, os.SEEK_END) == 4 * MIB
    assert not other.attach(force=True).read_only
    with pytest.raises(AlreadyExists, match="writable, and was asked for read-only"):
        other.attach(read_only=True)
    other.detach()
    assert not host.attach().read_only


@pytest.mark.parametrize("read_only", [False, True])
def test_a_device_of_the_other_access_is_made_anew(host: Host, read_only: bool) -> None:
    host.create()
    attachment = host.attach(read_only=read_only)
    losetup("--find", *([] if read_only else ["--read-only"]), host.data())
    device = host.node.connect(attachment, deadline=SECONDS).path
    assert losetup("-n", "-O", "RO", "-l", device) == str(int(read_only))
    assert len(devices_of(host.root)) == 1


def test_a_volume_of_another_platform_has_its_own_device(host: Host, tmp_path: Path) -> None:
    twin = Host(tmp_path / "twin")
    first, second = host.connect(host.create().id), twin.connect(twin.create().id)
    assert first != second
    assert (host.connect(), twin.connect()) == (first, second)
    twin.disconnect()
    assert devices_of(tmp_path) == [(first, str(host.data()))]


def test_connecting_again_takes_an_announced_end_back(host: Host) -> None:
    host.create()
    device = host.connect()
    with open_device(device):
        losetup("--detach", device)  # succeeds, and the kernel waits for the last close
        assert losetup("-n", "-O", "AUTOCLEAR", "-l", device) == "1"
        assert host.connect() == device
    assert devices_of(host.root) == [(device, str(host.data()))]


def test_a_device_that_shows_another_file_by_now_is_let_be(host: Host) -> None:
    """Between finding a device and releasing it, others may have released it and taken its number."""
    host.create()
    device = host.connect()
    found = loops.look(device)
    assert found is not None
    stale = replace(found, file=(0, 0), autoclear=True)
    loops.detach(stale)
    assert loops.look(device) == found
    with open_device(device):
        losetup("--detach", device)
        loops.keep(stale)
        assert losetup("-n", "-O", "AUTOCLEAR", "-l", device) == "1"
    loops.detach(stale)
    loops.keep(stale)


def test_connecting_again_takes_a_growth_in(host: Host) -> None:
    host.create()
    device = host.connect()
    os.truncate(host.data(), 2 * MIB)
    assert host.connect() == device
    with open_device(device) as descriptor:
        assert os.lseek(descriptor, 0, os.SEEK_END) == 2 * MIB


def test_discarded_blocks_are_given_back(host: Host, tmp_path: Path) -> None:
    host.create("v", 32 * MIB)
    device = host.connect()
    with open_device(device, os.O_RDWR) as descriptor:
        os.pwrite(descriptor, os.urandom(16 * MIB), 0)
        os.fsync(descriptor)
    before = host.data().stat().st_blocks
    subprocess.run(["blkdiscard", str(device)], check=True, timeout=30)
    assert before >= 16 * MIB // 512
    assert host.data().stat().st_blocks < before // 100


def test_somebody_elses_free_device_is_let_be(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Between asking for a free device and taking it, others ask too."""
    (tmp_path / "theirs").write_bytes(bytes(MIB))
    taken: list[str] = []
    ask = loops._free_device

    def ask_too_late() -> Path:
        device = ask()
        if len(taken) < 3 and subprocess.run(["losetup", device, tmp_path / "theirs"], timeout=30).returncode == 0:
            taken.append(str(device))
        return device

    monkeypatch.setattr(loops, "_free_device", ask_too_late)
    host.create()
    device = host.connect()
    assert len(taken) == 3
    assert str(device) not in taken
    monkeypatch.setattr(loops, "_free_device", lambda: Path(taken[0]))
    with pytest.raises(Busy, match="taken by others"):
        host.connect(host.create("w").id)


@pytest.fixture
def own_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for the nodes of devices, as where neither devtmpfs nor udev makes any."""
    (tmp_path / "dev").mkdir()
    monkeypatch.setattr(loops, "_DEV", tmp_path / "dev")
    return tmp_path / "dev"


def test_a_node_that_is_missing_is_made(host: Host, own_nodes: Path) -> None:
    host.create()
    device = host.connect()
    assert device.parent == own_nodes
    assert device.is_block_device()
    assert device.stat().st_mode & 0o777 == 0o600
    host.disconnect()


def test_a_node_that_is_another_device_is_not_touched(host: Host, own_nodes: Path) -> None:
    for number in range(100):
        os.mknod(own_nodes / f"loop{number}", 0o600 | stat.S_IFBLK, os.makedev(7, 9999))
    host.create()
    with pytest.raises(WrongDevice, match="is not the device 7:"):
        host.connect()
    assert devices_of(host.root) == []


def test_more_volumes_than_devices_were_made_at_boot(host: Host) -> None:
    for number in range(20):
        host.connect(host.create(f"v{number}").id)
    assert len({device for device, _ in devices_of(host.root)}) == 20
    for number in range(20):
        host.disconnect(f"v{number}")
    assert devices_of(host.root) == []


def test_a_platform_on_tmpfs(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", 64 * MIB) as small:
        host = Host(small / "root")
        host.create("v", 16 * MIB)
        make_filesystem(host.connect())
        host.snap()
        assert host.restore("w", "s").size_bytes == 16 * MIB
        assert host.read("w", 2, 1024 + 56) == b"\x53\xef"
        host.disconnect()


def test_loop_devices_make_it_viable(tmp_path: Path) -> None:
    assert LoopNode.viable().ok
    assert LoopStorage.viable().ok
    refused = viability(control=tmp_path / "loop-control")
    assert not refused.ok
    assert "loop-control is missing" in refused.reason
