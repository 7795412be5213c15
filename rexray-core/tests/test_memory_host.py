"""The node and the OS driver of the platform memory keep every sentence of their contracts."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from test_memory_parts import HERE, MIB, THERE, Host, fresh_name

from rexray.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    InvalidRequest,
    NotFound,
    NotReady,
    RexrayError,
    TimedOut,
    Unavailable,
    Unsupported,
    WrongDevice,
)
from rexray.testing.memory import filesystem
from rexray.testing.memory.devices import MemoryDevices
from rexray.testing.memory.settings import MemorySettings
from rexray.types import Device, DeviceIdentity, Directory


@pytest.fixture(params=["process", "file"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    file = str(tmp_path / "platform.json") if request.param == "file" else ""
    return Host(MemorySettings(name=fresh_name(), file=file))


@pytest.fixture
def there(host: Host) -> Host:
    """Another host of the same platform."""
    return Host(replace(host.settings, instance=THERE))


@pytest.fixture
def device(host: Host) -> Device:
    """A blank device of this host."""
    return host.connect(host.create())


@pytest.fixture
def ext4(host: Host, device: Device) -> Device:
    """The same with a filesystem."""
    host.os.format(device, "ext4")
    return device


# The node


def test_the_node_is_the_instance_of_its_settings(host: Host, there: Host) -> None:
    assert [host.node.instance(), there.node.instance()] == list(host.storage.instances())[:2]
    with pytest.raises(NotFound, match="instance 'nobody' does not exist"):
        Host(replace(host.settings, instance="nobody")).node.instance()


def test_connecting_is_done_once_and_shows_in_the_devices(host: Host, there: Host) -> None:
    made = host.create()
    attachment = host.attach(made)
    assert host.node.devices() == ()
    first = host.node.connect(attachment, deadline=5)
    assert host.node.connect(attachment, deadline=5) == first
    [found] = host.node.devices()
    assert (found.volume_id, found.instance_id, found.device) == (made.id, HERE, attachment.device)
    assert str(first.path) == attachment.device
    assert found.network_name == attachment.token == host.storage.volume(made.id).network_name
    assert made.network_name == ""
    assert there.node.devices() == ()
    for _ in range(3):
        host.node.disconnect(attachment)
    assert host.node.devices() == ()
    assert host.storage.attachments(made.id) == (attachment,)


def test_only_what_is_attached_here_is_connected(host: Host, there: Host) -> None:
    made = host.create()
    attachment = host.attach(made)
    with pytest.raises(NotReady, match="to 'host-1', and this is 'host-2'"):
        there.node.connect(attachment, deadline=5)
    there.node.disconnect(attachment)
    host.storage.attach(made.id, THERE, force=True)
    with pytest.raises(InUse, match="is attached to 'host-2' by now"):
        host.node.connect(attachment, deadline=5)
    host.storage.detach(made.id)
    with pytest.raises(NotReady, match="is not attached to 'host-1' any more"):
        host.node.connect(attachment, deadline=5)
    host.attach(made)
    with pytest.raises(WrongDevice, match="the attachment is an earlier one"):
        host.node.connect(attachment, deadline=5)
    host.storage.detach(made.id)
    host.storage.remove(made.id)
    with pytest.raises(NotFound):
        host.node.connect(attachment, deadline=5)
    host.node.disconnect(attachment)


def test_a_mounted_device_is_not_disconnected(host: Host, tmp_path: Path) -> None:
    made = host.create()
    host.mount(made, tmp_path / "m")
    [attachment] = host.storage.attachments(made.id)
    with pytest.raises(InUse, match="is mounted on 'host-1' at"):
        host.node.disconnect(attachment)
    host.os.unmount(tmp_path / "m")
    host.node.disconnect(attachment)
    assert host.node.devices() == ()


# Devices


def test_a_device_is_located_by_its_path_or_its_identity(host: Host, device: Device) -> None:
    by_identity = Device(identity=device.identity)
    assert host.os.locate(device, deadline=1) == host.os.locate(by_identity, deadline=1) == device
    assert host.os.device_size(device) == MIB
    with pytest.raises(InvalidRequest, match="has to be located first"):
        host.os.device_size(by_identity)
    with pytest.raises(InvalidRequest, match="neither a path nor an identity"):
        host.os.locate(Device(), deadline=1)
    with pytest.raises(TimedOut, match=r"device '/dev/none' did not appear within 0.05 s"):
        host.os.locate(Device(path=Path("/dev/none")), deadline=0.05)
    with pytest.raises(NotFound, match="device '/dev/none' does not exist"):
        host.os.device_size(Device(path=Path("/dev/none")))


def test_a_device_is_waited_for(host: Host) -> None:
    made = host.create()
    identity = DeviceIdentity(serial=host.platform.state().volumes[made.id].serial)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(host.os.locate, Device(identity=identity), deadline=30)
        while "locate" not in host.platform.calls:
            threading.Event().wait(0.001)
        device = host.connect(made)
        assert found.result() == Device(path=device.path, identity=identity)


IDENTITIES = [
    DeviceIdentity(serial="X"),
    DeviceIdentity(wwn="naa.6"),
    DeviceIdentity(link="scsi-X"),
    DeviceIdentity(backing_file="/x"),
]


@pytest.mark.parametrize("identity", IDENTITIES)
def test_no_step_touches_a_device_with_another_identity(host: Host, tmp_path: Path, identity: DeviceIdentity) -> None:
    made = host.create()
    wrong = replace(host.connect(made), identity=identity)
    steps: list[Callable[[], object]] = [
        lambda: host.os.locate(wrong, deadline=1),
        lambda: host.os.probe(wrong),
        lambda: host.os.format(wrong, "ext4", overwrite=True),
        lambda: host.os.device_size(wrong),
        lambda: host.os.mount(wrong, tmp_path / "m"),
    ]
    for step in steps:
        with pytest.raises(WrongDevice, match="nothing was done to it"):
            step()
    assert host.platform.state().volumes[made.id].content == {}
    assert not (tmp_path / "m").exists()


def test_a_device_is_blank_only_if_every_byte_is_zero(host: Host, device: Device) -> None:
    made = host.storage.volumes().__next__()
    assert host.os.probe(device) == ""
    host.platform.write(made.id, MIB - 1, b"!")
    with pytest.raises(AlreadyExists, match="holds data of no known kind; nothing was done"):
        host.os.probe(device)
    with pytest.raises(AlreadyExists):
        host.os.format(device, "ext4")
    assert host.platform.read(made.id, MIB - 1, 1) == b"!"
    host.platform.write(made.id, 0, filesystem.LUKS)
    assert host.os.probe(device) == "crypto_LUKS"
    host.platform.set_health(made.id, "a disk is gone")
    with pytest.raises(Unavailable, match="cannot be read: a disk is gone"):
        host.os.probe(device)


def test_a_filesystem_is_made_where_none_is_unless_overwriting_is_asked_for(host: Host, device: Device) -> None:
    host.os.format(device, "xfs")
    assert host.os.probe(device) == "xfs"
    with pytest.raises(AlreadyExists, match="holds xfs; nothing was done"):
        host.os.format(device, "ext4")
    assert host.os.probe(device) == "xfs"
    host.os.format(device, "ext4", overwrite=True)
    assert host.os.probe(device) == "ext4"
    with pytest.raises(Unsupported, match="of type 'reiser4': it can be ext2, "):
        host.os.format(device, "reiser4", overwrite=True)


def test_what_is_mounted_or_read_only_is_never_formatted(host: Host, ext4: Device, tmp_path: Path) -> None:
    host.os.mount(ext4, tmp_path / "m")
    with pytest.raises(InUse, match="is mounted at"):
        host.os.format(ext4, "xfs", overwrite=True)
    read_only = host.connect(host.create("other"), read_only=True)
    with pytest.raises(Forbidden, match="attached read-only"):
        host.os.format(read_only, "xfs")
    assert host.os.probe(read_only) == ""


def test_a_device_that_a_process_has_for_itself_is_in_use(host: Host, ext4: Device, tmp_path: Path) -> None:
    devices = MemoryDevices(host.settings)
    [attachment] = next(host.storage.volumes()).attachments
    with devices.claim(ext4):
        for step in (
            lambda: host.os.format(ext4, "xfs", overwrite=True),
            lambda: host.os.mount(ext4, tmp_path / "m"),
            lambda: host.node.disconnect(attachment),
        ):
            with pytest.raises(InUse):
                step()
        with pytest.raises(OSError, match="busy"), devices.claim(ext4):
            pass
    assert host.os.probe(ext4) == "ext4"
    host.os.mount(ext4, tmp_path / "m")
    with pytest.raises(OSError, match="busy"), devices.claim(ext4):
        pass


def test_a_device_is_read_and_written_past_the_drivers(host: Host, device: Device) -> None:
    devices = MemoryDevices(host.settings)
    devices.write(device, MIB - 4, b"data")
    assert devices.read(device, MIB - 6, 99) == b"\0\0data"
    assert devices.size(device) == MIB
    with pytest.raises(OSError, match="No space left"):
        devices.write(device, MIB - 3, b"data")
    with pytest.raises(WrongDevice):
        devices.write(replace(device, identity=DeviceIdentity(serial="X")), 0, b"data")
    read_only = host.connect(host.create("other"), read_only=True)
    with pytest.raises(OSError, match="Read-only"):
        devices.write(read_only, 0, b"data")


# Mounts


def test_a_mount_says_what_was_mounted_and_is_made_once(host: Host, ext4: Device, tmp_path: Path) -> None:
    target = tmp_path / "deep/er/m"
    assert not host.os.mounted(target)
    found = host.os.mount(ext4, target, fs_type="ext4", options=("noatime,nosuid",))
    assert (found.path, found.source, found.fs_type, found.read_only) == (target, str(ext4.path), "ext4", False)
    assert found.options == ("rw", "noatime", "nosuid")
    assert target.is_dir()
    assert host.os.mount(ext4, target) == found
    assert host.os.mounts() == (found,) == host.os.mounts(target=target) == host.os.mounts(source=str(ext4.path))
    assert host.os.mounted(target)
    assert host.os.mounts(target=tmp_path) == () == host.os.mounts(source="/dev/none")
    with pytest.raises(InvalidRequest, match="not by both"):
        host.os.mounts(source="x", target=tmp_path)


def test_a_target_is_where_its_folder_really_is(host: Host, ext4: Device, tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real/deep")
    assert host.os.mount(ext4, tmp_path / "link/../m").path == tmp_path / "real/m"
    assert host.os.mounted(tmp_path / "real/m")
    with pytest.raises(InvalidRequest, match=r"it ends in '\.\.'"):
        host.os.unmount(tmp_path / "real/..")
    host.os.unmount(tmp_path / "link/../m")
    assert host.os.mounts() == ()


def test_a_mount_point_with_something_else_is_in_use(host: Host, ext4: Device, tmp_path: Path) -> None:
    other = host.connect(host.create("other"))
    host.os.format(other, "ext4")
    host.os.mount(ext4, tmp_path / "m")
    with pytest.raises(InUse, match=f"'{ext4.path}' is mounted there"):
        host.os.mount(other, tmp_path / "m")
    with pytest.raises(InUse, match="writable, not read-only as asked"):
        host.os.mount(ext4, tmp_path / "m", options=("ro",))


def test_a_mount_that_fails_leaves_no_directory(host: Host, device: Device, tmp_path: Path) -> None:
    target = tmp_path / "m"
    with pytest.raises(NotReady, match="it is blank"):
        host.os.mount(device, target)
    host.os.format(device, "xfs")
    with pytest.raises(AlreadyExists, match="as ext4: it holds xfs; nothing was done"):
        host.os.mount(device, target, fs_type="ext4")
    with pytest.raises(InvalidRequest, match="an operation of its own"):
        host.os.mount(device, target, options=("remount,rw",))
    with pytest.raises(NotFound):
        host.os.mount(Device(path=Path("/dev/none")), target)
    assert not target.exists()
    target.mkdir()
    with pytest.raises(NotFound):
        host.os.mount(Device(path=Path("/dev/none")), target)
    assert target.is_dir()
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(InvalidRequest, match="is a symbolic link"):
        host.os.mount(device, tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidRequest, match="is a file"):
        host.os.mount(device, tmp_path / "file")
    with pytest.raises(InvalidRequest, match="is a directory"):
        host.os.bind(device.path, target)
    with pytest.raises(RexrayError, match="cannot make mount point"):
        host.os.mount(device, tmp_path / "file/m")


def test_luks_is_not_mounted(host: Host, device: Device, tmp_path: Path) -> None:
    host.platform.write(next(host.storage.volumes()).id, 0, filesystem.LUKS)
    with pytest.raises(RexrayError, match="crypto_LUKS is no filesystem"):
        host.os.mount(device, tmp_path / "m")


def test_unmounting_is_done_once_and_not_while_it_is_busy(host: Host, ext4: Device, tmp_path: Path) -> None:
    target = tmp_path / "m"
    host.os.mount(ext4, target)
    host.os.bind(tmp_path, target / "inner")
    with pytest.raises(InUse, match="is mounted inside of it"):
        host.os.unmount(target)
    host.os.unmount(target / "inner")
    with host.os.using(target / "file"), pytest.raises(InUse, match="1 files are open in it"):
        host.os.unmount(target)
    for _ in range(3):
        host.os.unmount(target)
    assert host.os.mounts() == ()
    assert target.is_dir()


def test_files_are_in_the_volume_wherever_it_is_mounted(host: Host, there: Host, tmp_path: Path) -> None:
    made = host.create()
    host.mount(made, tmp_path / "m")
    host.os.write_file(tmp_path / "m/dir/file", b"data")
    taken = host.storage.create_snapshot(made.id, "snap")
    host.os.write_file(tmp_path / "m/dir/file", b"later")
    host.os.unmount(tmp_path / "m")
    host.storage.detach(made.id)
    there.mount(made, tmp_path / "m")
    there.mount(there.create("restored", source_snapshot=taken.id), tmp_path / "r")
    assert there.os.read_file(tmp_path / "m/dir/file") == b"later"
    assert there.os.read_file(tmp_path / "r/dir/file") == b"data"
    assert host.os.mounts() == ()
    with pytest.raises(OSError, match="No such file") as failed:
        host.os.read_file(tmp_path / "m/dir/file")
    assert failed.value.errno == errno.ENOENT


def test_a_read_only_mount_refuses_writes_and_a_remount_allows_them(host: Host, ext4: Device, tmp_path: Path) -> None:
    target = tmp_path / "m"
    assert host.os.mount(ext4, target, options=("rw,ro",)).read_only
    with pytest.raises(OSError, match="Read-only"):
        host.os.write_file(target / "file", b"x")
    for _ in range(2):
        host.os.remount(target, read_only=False)
    host.os.write_file(target / "file", b"x")
    with host.os.using(target), pytest.raises(InUse, match="files are open for writing"):
        host.os.remount(target, read_only=True)
    host.os.remount(target, read_only=True)
    with pytest.raises(OSError, match="Read-only"):
        host.os.write_file(target / "file", b"x")
    with pytest.raises(NotReady, match="nothing is mounted at"):
        host.os.remount(tmp_path, read_only=True)


def test_what_is_attached_read_only_is_mounted_so_or_not_at_all(host: Host, ext4: Device, tmp_path: Path) -> None:
    made = next(host.storage.volumes())
    host.storage.detach(made.id)
    device = host.connect(made, read_only=True)
    with pytest.raises(Forbidden, match="attached read-only"):
        host.os.mount(device, tmp_path / "m")
    host.os.mount(device, tmp_path / "m", options=("ro",))
    with pytest.raises(Forbidden, match="attached read-only"):
        host.os.remount(tmp_path / "m", read_only=False)


def test_a_directory_and_a_device_node_are_bound(host: Host, ext4: Device, tmp_path: Path) -> None:
    host.os.mount(ext4, tmp_path / "m")
    host.os.write_file(tmp_path / "m/dir/file", b"data")
    for _ in range(2):
        host.os.bind(tmp_path / "m/dir", tmp_path / "b", options=("ro",))
    assert host.os.read_file(tmp_path / "b/file") == b"data"
    with pytest.raises(OSError, match="Read-only"):
        host.os.write_file(tmp_path / "b/file", b"x")
    assert [point.path.name for point in host.os.mounts(source=str(ext4.path))] == ["b", "m"]
    host.os.bind(ext4.path, tmp_path / "node")
    host.os.bind(ext4.path, tmp_path / "node")
    assert (tmp_path / "node").is_file()
    with pytest.raises(InUse, match="is mounted there"):
        host.os.bind(tmp_path, tmp_path / "b")
    with pytest.raises(NotFound, match="no such file or directory"):
        host.os.bind(tmp_path / "none", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_directory_or_an_export_is_mounted_without_a_device(host: Host, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    found = host.os.mount(Directory(source=str(tmp_path / "source")), tmp_path / "m", options=("ro",))
    assert found.read_only
    assert host.os.mount(Directory(source=str(tmp_path / "source")), tmp_path / "m", options=("ro",)) == found
    export = host.os.mount(Directory(source="server:/export", fs_type="nfs"), tmp_path / "n")
    assert (export.source, export.fs_type) == ("server:/export", "nfs")
    assert host.os.mounts(source="server:/export") == (export,)
    with pytest.raises(Unsupported, match="no filesystem of a volume"):
        host.os.freeze(tmp_path / "n")


def test_a_filesystem_grows_to_its_device_once(host: Host, tmp_path: Path) -> None:
    made, target = host.create(), tmp_path / "m"
    device = host.mount(made, target)
    host.os.write_file(target / "file", b"four")
    assert (host.os.filesystem_stats(target).total_bytes, host.os.filesystem_stats(target).used_bytes) == (MIB, 4)
    host.storage.expand(made.id, 2 * MIB)
    assert host.os.device_size(device) == 2 * MIB
    for _ in range(2):
        host.os.grow(device, target)
    stats = host.os.filesystem_stats(target / "file")
    assert (stats.total_bytes, stats.available_bytes) == (2 * MIB, 2 * MIB - 4)
    assert host.os.read_file(target / "file") == b"four"
    assert host.os.trim(target) == 2 * MIB - 4
    host.storage.expand(made.id, 3 * MIB)
    host.os.remount(target, read_only=True)
    with pytest.raises(NotReady, match="it is mounted read-only"):
        host.os.grow(device, target)
    with pytest.raises(WrongDevice, match="cannot grow the filesystem"):
        host.os.grow(host.connect(host.create("other")), target)
    with pytest.raises(NotReady, match="nothing is mounted"):
        host.os.grow(device, tmp_path)


def test_statistics_need_a_path(host: Host, ext4: Device, tmp_path: Path) -> None:
    host.os.mount(ext4, tmp_path / "m")
    for missing in (tmp_path / "none", tmp_path / "m/none"):
        with pytest.raises(NotFound, match="does not exist"):
            host.os.filesystem_stats(missing)
    assert host.os.filesystem_stats(tmp_path).available_bytes > 0


def test_a_frozen_filesystem_refuses_writes_through_every_mount(host: Host, ext4: Device, tmp_path: Path) -> None:
    host.os.mount(ext4, tmp_path / "m")
    host.os.bind(tmp_path / "m", tmp_path / "b")
    for _ in range(2):
        host.os.freeze(tmp_path / "m")
    for name in ("m", "b"):
        with pytest.raises(OSError, match="temporarily unavailable"):
            host.os.write_file(tmp_path / name / "file", b"x")
    for _ in range(2):
        host.os.thaw(tmp_path / "b")
    host.os.write_file(tmp_path / "m/file", b"x")
    for step in (host.os.freeze, host.os.thaw, host.os.trim):
        with pytest.raises(NotReady, match="nothing is mounted"):
            step(tmp_path)


def test_a_filesystem_gets_full(host: Host, ext4: Device, tmp_path: Path) -> None:
    host.os.mount(ext4, tmp_path / "m")
    with pytest.raises(OSError, match="No space left"):
        host.os.write_file(tmp_path / "m/file", bytes(filesystem.AREA))


def test_what_was_taken_from_the_host_gives_errors_until_it_is_unmounted(host: Host, tmp_path: Path) -> None:
    made, target = host.create(), tmp_path / "m"
    device = host.mount(made, target)
    host.os.write_file(target / "file", b"x")
    host.storage.attach(made.id, THERE, force=True)
    for step in (lambda: host.os.read_file(target / "file"), lambda: host.os.write_file(target / "file", b"y")):
        with pytest.raises(OSError, match="Input/output error"):
            step()
    with pytest.raises(Unavailable, match="its device '/dev/memory0' is gone"):
        host.os.filesystem_stats(target)
    other = host.connect(host.create("other"))
    assert other.path != device.path, "a stale mount must not look like another volume's"
    host.os.unmount(target)
    assert host.os.mounts() == ()


def test_a_reboot_loses_mounts_and_connections_and_no_data(host: Host, tmp_path: Path) -> None:
    made = host.create()
    host.mount(made, tmp_path / "m")
    host.os.write_file(tmp_path / "m/file", b"x")
    host.platform.reboot(HERE)
    assert (host.os.mounts(), host.node.devices()) == ((), ())
    assert len(host.storage.attachments(made.id)) == 1
    host.mount(made, tmp_path / "m")
    assert host.os.read_file(tmp_path / "m/file") == b"x"
