"""EC2 volumes on this host: loop devices stand for what EC2 attaches; made, mounted, grown, drained and repaired."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from workflow_parts import can_grow_ext4

from ec2_host_parts import DEV, REGION, ROOT_DEVICE, Guest, Shell, devices, shown_guest
from rexray.mounts import mount_table
from rexray_driver_ec2.disks import Disks
from service_parts import Daemon, eventually

pytestmark = [
    pytest.mark.needs("root", "loop", "mkfs.ext4", "mkfs.xfs"),
    pytest.mark.skipif(Disks(Path("/sys"), DEV).is_nitro(), reason="a Nitro host finds no volumes by a Xen name"),
]

GIB = 1 << 30


@pytest.fixture(scope="module")
def running_guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with shown_guest(tmp_path_factory.mktemp("ec2")) as guest:
        yield guest


@pytest.fixture
def guest(running_guest: Guest) -> Iterator[Guest]:
    """With no volume but its root; nothing went wrong with devices at the end."""
    running_guest.cloud.control(shown=[running_guest.id])
    yield running_guest
    assert running_guest.cloud.trouble() == []


@pytest.fixture
def shell(guest: Guest, home: Path) -> Iterator[Shell]:
    shell = Shell(home, guest.environ)
    yield shell
    clean(shell, guest)


@pytest.fixture
def daemon(guest: Guest, make_daemon: Callable[..., Daemon], home: Path) -> Iterator[Daemon]:
    daemon = make_daemon(**guest.environ, X_CSI_NATIVE="false", X_CSI_DRIVER="libstorage", HOME=str(home)).start()
    yield daemon
    daemon.kill()
    clean(Shell(home, guest.environ), guest)


def clean(shell: Shell, guest: Guest) -> None:
    """Leave no mount below the shell's folder, and no volume but roots, whatever a test has done."""
    for target in [mount.target for mount in mount_table() if str(shell.folder) in mount.target][::-1]:
        subprocess.run(["umount", "--lazy", target], check=False)
    ec2 = guest.cloud.client()
    for volume, found in guest.cloud.state()["volumes"].items():
        if "Name" in found["tags"]:
            for instance in found["attachments"]:
                ec2.detach_volume(VolumeId=volume, InstanceId=instance, Force=True)
            assert eventually(lambda volume=volume: guest.cloud.state()["volumes"][volume]["state"] == "available")
            ec2.delete_volume(VolumeId=volume)
    for snapshot in guest.cloud.state()["snapshots"]:
        ec2.delete_snapshot(SnapshotId=snapshot)
    assert eventually(lambda: devices(guest) == {})


def mounted(shell: Shell, *words: str) -> Path:
    """Mount a volume; where it is."""
    where = Path(shell.say("volume", "mount", *words).rstrip("\n"))
    assert os.path.ismount(where)
    return where


def fs_of(where: Path) -> str:
    return next(mount.fs_type for mount in mount_table() if mount.target == str(where))


def filesystem_size(where: Path) -> int:
    found = os.statvfs(where)
    return found.f_blocks * found.f_frsize


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
def test_a_volume_is_formatted_while_it_is_blank_and_never_again(shell: Shell, guest: Guest, fs_type: str) -> None:
    ((volume, *_),) = shell.rows("volume", "create", "data", "--size", "1")
    where = mounted(shell, "data", "--fstype", fs_type)
    assert fs_of(where) == fs_type
    (where / "file").write_text("kept")
    ((listed, name, status, size, path),) = shell.rows("volume", "ls", "data", "--path")
    assert (listed, name, status, size, path) == (volume, "data", "attached", "1GiB", str(where))
    (device,) = yaml.safe_load(shell.say("volume", "get", "data"))
    assert (device["volumeid"], device["instanceid"], device["region"]) == (volume, guest.id, REGION)
    assert guest.volumes()[device["devicename"]] == volume
    assert "unmount it first" in shell.refused("volume", "rm", "data")
    assert shell.say("volume", "unmount", "data") == "data\n"
    assert (devices(guest), os.path.ismount(where)) == ({}, False)
    assert volume not in guest.volumes().values()
    other = "ext4" if fs_type == "xfs" else "xfs"
    assert f"it holds {fs_type}, not {other}" in shell.refused("volume", "mount", "data", "--fstype", other)
    assert devices(guest) == {}
    assert mounted(shell, "data") == where
    assert (fs_of(where), (where / "file").read_text()) == (fs_type, "kept")
    shell.say("volume", "unmount", "data")
    assert shell.say("volume", "rm", "data") == "data\n"


def test_a_volume_is_attached_to_this_host_and_detached_without_being_mounted(shell: Shell, guest: Guest) -> None:
    volume = guest.make("data")
    ((found, instance, device, status),) = shell.rows("volume", "attach", "data")
    assert (found, instance, status) == (volume, guest.id, "attached")
    assert guest.volumes()[device] == volume
    assert stat.S_ISBLK(os.stat(device).st_mode)
    assert shell.rows("volume", "attach", volume)[0][2] == device
    with open(device, "rb"):
        assert "in use" in shell.refused("volume", "detach", "data", EC2_STATUSTIMEOUT="1s")
    shell.say("volume", "detach", "data")
    assert not os.path.exists(device)


def test_volumes_grow_with_their_filesystems_and_are_all_unmounted_at_once(shell: Shell, guest: Guest) -> None:
    for name, fs_type in (("one", "xfs"), ("two", "ext4" if can_grow_ext4() else "xfs")):
        shell.say("volume", "create", name, "--size", "1", "--fstype", fs_type)
        where = mounted(shell, name)
        (where / "file").write_text("kept")
        assert shell.rows("volume", "expand", name, "--size", "3")[0][3] == "3GiB"
        assert (fs_of(where), (where / "file").read_text()) == (fs_type, "kept")
        assert filesystem_size(where) > 2.8 * GIB
    assert len(devices(guest)) == 2
    assert shell.say("volume", "unmount", "--all").split() == ["one", "two"]
    assert devices(guest) == {}
    assert {row[1] for row in shell.rows("volume", "ls", "--available")} == {"one", "two"}


def test_a_snapshot_is_mounted_beside_the_volume_whose_uuid_it_has(shell: Shell, guest: Guest) -> None:
    shell.say("volume", "create", "first", "--size", "1", "--fstype", "xfs")
    where = mounted(shell, "first")
    (where / "file").write_text("before")
    ((snapshot, *_),) = shell.rows("snapshot", "create", "--volumename", "first", "--snapshotname", "s")
    (where / "file").write_text("after")
    shell.say("volume", "create", "second", "--snapshotname", "s")
    beside = mounted(shell, "second")
    assert ((beside / "file").read_text(), (where / "file").read_text()) == ("before", "after")
    assert fs_of(beside) == "xfs"
    assert "attached" in shell.refused("snapshot", "rollback", "s", "--volumename", "first")
    shell.say("volume", "unmount", "first")
    shell.say("snapshot", "rollback", "s", "--volumename", "first")
    assert (mounted(shell, "first") / "file").read_text() == "before"
    assert shell.say("volume", "unmount", "--all").split() == ["first", "second"]
    assert snapshot in guest.cloud.state()["snapshots"]


def test_a_device_of_another_size_behind_the_name_is_refused_and_not_touched(
    shell: Shell, guest: Guest, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(2 * GIB)
    loop = subprocess.run(
        ["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True, timeout=30
    ).stdout.strip()
    node = DEV / "xvdf"
    guest.cloud.control(shown=[])
    volume = guest.make("data")
    try:
        os.mknod(node, stat.S_IFBLK | 0o660, os.stat(loop).st_rdev)
        guest.attach(volume, "/dev/xvdf")
        for words in (("mount", "data"), ("mount", "data", "--overwritefs"), ("attach", "data")):
            said = shell.refused("volume", *words)
            assert f"the device of '{volume}' is not its own: /dev/xvdf has {2 * GIB} bytes" in said
            assert "nothing was done to it" in said
        assert image.stat().st_blocks == 0
    finally:
        node.unlink(missing_ok=True)
        subprocess.run(["losetup", "--detach", loop], check=True, timeout=30)


def test_a_volume_of_another_instance_is_refused_with_its_holder(shell: Shell, guest: Guest) -> None:
    volume, other = guest.make("data"), guest.cloud.run_instance()
    guest.attach(volume, "/dev/xvdf", other)
    for words in (("mount", "data"), ("attach", "data")):
        assert f"attached to {other}" in shell.refused("volume", *words)
    assert guest.volumes(other)["/dev/xvdf"] == volume
    assert os.path.ismount(mounted(shell, "data", "--force"))
    assert volume not in guest.volumes(other).values()
    assert shell.say("volume", "unmount", "--all") == "data\n"


def test_a_daemon_that_was_killed_finds_its_mounts_and_mounts_again_what_is_not(daemon: Daemon, guest: Guest) -> None:
    for name in ("data", "lost"):
        daemon.docker("VolumeDriver.Create", Name=name, Opts={"size": "1"})
        daemon.docker("VolumeDriver.Mount", Name=name, ID="container")
    where, lost = (Path(str(daemon.docker("VolumeDriver.Path", Name=name)["Mountpoint"])) for name in ("data", "lost"))
    (where / "file").write_text("kept")
    (lost / "file").write_text("kept")
    assert len(devices(guest)) == 2
    daemon.kill()
    subprocess.run(["umount", str(lost)], check=True, timeout=30)
    daemon.start()
    assert eventually(lambda: str(lost) in daemon.mounts())
    assert [(path / "file").read_text() for path in (where, lost)] == ["kept", "kept"]
    for name, path in (("data", where), ("lost", lost)):
        assert Path(str(daemon.docker("VolumeDriver.Path", Name=name)["Mountpoint"])) == path
        daemon.docker("VolumeDriver.Unmount", Name=name, ID="container")
    assert daemon.mounts() == []
    assert devices(guest) == {}
    for name in ("data", "lost"):
        daemon.docker("VolumeDriver.Remove", Name=name)
    listed = daemon.docker("VolumeDriver.List")["Volumes"]
    assert isinstance(listed, list)
    assert guest.volumes()[ROOT_DEVICE] in {volume["Name"] for volume in listed}
    assert {"data", "lost", ""}.isdisjoint(volume["Name"] for volume in listed)
