"""The volume workflow over real loop devices: what each option, setting and verb does to volumes and their mounts."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from workflow_parts import NOTHING, SIZES, Host, Titled, can_grow_ext4, container, mount_at, mounted, numbered

from linux_parts import Loop, dos, gpt, luks, lvm
from loop_parts import MIB, clean, devices_of, mounts_of
from rexray.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    InvalidRequest,
    NotFound,
    NotReady,
    OutOfRange,
    RexrayError,
    SettingsError,
    Unavailable,
    Unsupported,
    WrongDevice,
)
from rexray.mixins import Snapshots
from rexray.types import (
    SHELL_HOLDER,
    Attachment,
    AttachmentState,
    Device,
    DeviceIdentity,
    InstanceId,
    Snapshot,
    Volume,
    VolumeId,
)
from rexray.volumes.options import OPTIONS
from rexray.volumes.platform import find_platform
from rexray_driver_loop import crypt
from rexray_driver_loop.node import LoopNode
from rexray_driver_loop.settings import LoopSettings
from rexray_driver_loop.storage import LoopStorage

pytestmark = pytest.mark.needs("root", "loop", "mkfs.ext4")

FILESYSTEMS = [pytest.param(kind, marks=pytest.mark.needs(f"mkfs.{kind}")) for kind in ("ext4", "xfs", "btrfs")]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A directory of which nothing is mounted or on a loop device at the end."""
    yield tmp_path
    clean(tmp_path)


@pytest.fixture
def host(home: Path) -> Host:
    return Host(home)


@pytest.fixture
def make_host(home: Path) -> Callable[..., Host]:
    """A host with settings of the test's."""
    return lambda **environ: Host(home, **environ)


# Create options


def fs_type_of(host: Host, name: str = "new") -> str:
    kind = mounted(host.mount(name)).fs_type
    host.unmount(name)
    return kind


def options_of(host: Host) -> set[str]:
    options = mounted(host.mount("new")).options
    host.unmount("new")
    return set(options)


TRIED: dict[str, tuple[str, Callable[[Host, Volume], bool]]] = {
    "size": ("96MiB", lambda _, new: new.size_bytes == 96 * MIB),
    "iops": ("0", lambda _, new: new.iops == 0),
    "volumetype": ("thick", lambda _, new: new.type == "thick"),
    "type": ("thick", lambda _, new: new.type == "thick"),
    "availabilityzone": ("east", lambda _, new: new.zone == "east"),
    "fstype": ("ext2", lambda host, _: fs_type_of(host) == "ext2"),
    "newfstype": ("ext3", lambda host, _: fs_type_of(host) == "ext3"),
    "mountoptions": ("noexec,nosuid", lambda host, _: {"noexec", "nosuid"} <= options_of(host)),
    "snapshotid": ("snap", lambda host, _: host.read("new") == "precious"),
    "snapshotname": ("snap", lambda host, _: host.read("new") == "precious"),
    "volumeid": ("data", lambda host, _: host.read("new") == "precious"),
    "volumename": ("data", lambda host, _: host.read("new") == "precious"),
    "encrypted": ("false", lambda _, new: not new.encrypted),
    "encryptionkey": ("", lambda _, new: not new.encrypted),
    "overwritefs": ("true", lambda host, _: fs_type_of(host) == "ext4"),
}
"""For every option a value, and how it shows on the volume ``new``."""


def test_the_table_of_options_tries_every_one() -> None:
    assert set(TRIED) == set(OPTIONS)


@pytest.mark.parametrize("option", TRIED)
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_each_create_option_in_any_case_does_what_it_says(
    make_host: Callable[..., Host], option: str, case: Callable[[str], str]
) -> None:
    host = make_host(LOOP_ZONE="east")
    host.create("data")
    host.write("data")
    host.snap("snap")
    value, shows = TRIED[option]
    volume = host.volumes.create("new", {case(option): value})
    assert shows(host, volume), volume
    assert host.in_use() == NOTHING


def can_encrypt() -> bool:
    try:
        crypt.check_support()
    except Unsupported:
        return False
    return True


def test_encryption_is_had_or_refused_and_never_left_out(host: Host) -> None:
    if not can_encrypt():
        with pytest.raises(Unsupported, match=r"cryptsetup|dmsetup|dm-crypt"):
            host.create("data", encrypted="true")
        assert host.names() == []
    else:
        assert host.create("data", encrypted="true").encrypted
        host.write()
        assert host.data().read_bytes().startswith(b"LUKS")
        assert host.read() == "precious"
    with pytest.raises(RexrayError):
        host.create("other", encrypted="true", encryptionkey="missing")
    with pytest.raises(InvalidRequest, match="no encryption was asked for"):
        host.create("other", encryptionkey="missing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"siez": "1"}, "'siez' is unknown; did you mean 'size'"),
        ({"fs_type": "xfs"}, "did you mean 'fstype'"),
        ({"qqq": "1"}, "'qqq' is unknown; there are size, iops"),
        ({"type": "thin", "VolumeType": "thick"}, "given twice"),
        ({"size": "64MiB", "SIZE": "65MiB"}, "given twice"),
        ({"size": "0"}, "at least one byte"),
        ({"size": "-1"}, "is not a size"),
        ({"size": "lots"}, "is not a size"),
        ({"size": ""}, "is not a size"),
        ({"size": "9" * 30}, "too large"),
        ({"iops": "-5"}, "not a whole number"),
        ({"iops": "many"}, "not a whole number"),
        ({"iops": "100"}, "cannot be had"),
        ({"type": "gold"}, "there are thin, thick"),
        ({"availabilityzone": "mars"}, "zone 'mars' is unknown"),
        ({"encrypted": "perhaps"}, "not true or false"),
        ({"overwritefs": "perhaps"}, "not true or false"),
        ({"snapshotid": "a", "snapshotname": "b"}, "say the same thing"),
        ({"volumeid": "a", "volumename": "b"}, "say the same thing"),
        ({"volumeid": "a", "snapshotid": "b"}, "not from both"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_name_and_nothing_is_made(
    host: Host, options: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(message)):
        host.volumes.create("data", options)
    assert host.names() == []
    assert not host.record_file().exists()


@pytest.mark.parametrize(
    ("option", "value"), [("snapshotid", "s"), ("snapshotname", "s"), ("volumeid", "v"), ("volumename", "v")]
)
def test_a_source_that_does_not_exist_is_not_found_and_leaves_nothing(host: Host, option: str, value: str) -> None:
    with pytest.raises(NotFound, match=repr(value)):
        host.volumes.create("data", {option: value})
    assert host.names() == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "a\nb", "x" * 129])
def test_a_name_that_is_none_is_refused(host: Host, name: str) -> None:
    for verb in (
        lambda: host.create(name),
        lambda: host.mount(name),
        lambda: host.unmount(name),
        lambda: host.remove(name),
        lambda: host.volumes.get(name),
        lambda: host.volumes.path(name),
    ):
        with pytest.raises(InvalidRequest, match="volume name"):
            verb()


def test_a_name_of_128_bytes_in_any_script_lives_a_whole_life(host: Host) -> None:
    name = "ü" * 64
    host.create(name)
    host.write(name)
    assert host.read(name) == "precious"
    host.remove(name)
    assert host.in_use() == NOTHING


def test_sizes_of_the_settings_hold_where_no_option_says_otherwise(make_host: Callable[..., Host]) -> None:
    host = make_host(REXRAY_DOCKER_SIZE="96MiB", REXRAY_MINVOLSIZE="80MiB")
    assert host.create("a").size_bytes == 96 * MIB
    assert host.create("b", size="80MiB").size_bytes == 80 * MIB
    with pytest.raises(OutOfRange, match=r"at least 80MiB \(rexray.minVolSize\)"):
        host.create("c", size="79MiB")
    host.snap("s", "b")
    assert host.create("d", snapshotid="s").size_bytes == 80 * MIB, "a copy is as large as its source"
    assert make_host(REXRAY_DOCKER_SIZE="16MiB", REXRAY_MINVOLSIZE="80MiB").create("e").size_bytes == 80 * MIB


@pytest.mark.needs("mkfs.xfs")
def test_other_defaults_of_the_settings_hold_where_no_option_says_otherwise(make_host: Callable[..., Host]) -> None:
    host = make_host(
        REXRAY_DOCKER_VOLUMETYPE="thick",
        REXRAY_DOCKER_AVAILABILITYZONE="east",
        REXRAY_DOCKER_FSTYPE="xfs",
        REXRAY_DOCKER_SIZE="300MiB",
        LOOP_ZONE="east",
    )
    made = host.create("new", type="thin")
    assert (made.type, made.zone, fs_type_of(host)) == ("thin", "east", "xfs")
    assert host.create("other", size="1MiB").type == "thick"
    with pytest.raises(InvalidRequest, match="iops 7 cannot be had"):
        make_host(REXRAY_DOCKER_IOPS="7").create("third")


@pytest.mark.parametrize(
    ("variable", "key"), [("REXRAY_MINVOLSIZE", "rexray.minVolSize"), ("REXRAY_DOCKER_SIZE", "rexray.docker.size")]
)
def test_a_size_setting_that_is_none_is_told_by_its_key(
    make_host: Callable[..., Host], variable: str, key: str
) -> None:
    with pytest.raises(SettingsError, match=key):
        make_host(**{variable: "lots"})


def test_creating_twice_is_creating_once_and_otherwise_is_refused(host: Host) -> None:
    assert host.create(size="64MiB") == host.create(size="64MiB")
    host.write()
    with pytest.raises(AlreadyExists):
        host.create(size="65MiB")
    assert host.read() == "precious"


# Filesystems


@pytest.mark.parametrize("kind", FILESYSTEMS)
def test_a_volume_is_formatted_once_and_keeps_its_data(host: Host, kind: str) -> None:
    host.create(fstype=kind, size=SIZES[kind])
    path = host.mount()
    assert mounted(path).fs_type == kind
    (path / "file").write_text("precious")
    host.unmount()
    assert host.in_use() == NOTHING
    assert host.read() == "precious"
    assert host.again().read() == "precious"


def test_a_volume_is_not_formatted_before_its_first_mount(host: Host) -> None:
    host.create()
    assert not any(host.data().read_bytes())


def test_mount_options_of_the_create_hold_for_every_later_mount(host: Host) -> None:
    host.create(mountoptions="noexec,nosuid")
    for holder, later in (("c1", host), ("c2", host.again())):
        options = mounted(later.mount(holder=holder, options=("nodev",))).options
        assert {"noexec", "nosuid", "nodev"} <= set(options)
        later.unmount(holder=holder)
    assert {"noexec", "nosuid"} <= set(mounted(host.mount()).options), "and those of a mount for that one alone"
    assert "nodev" not in mounted(host.home / "var/lib/volumes/data").options


def test_a_mount_that_insists_on_another_filesystem_is_refused_and_changes_nothing(host: Host) -> None:
    host.create()
    host.write()
    before = host.content()
    with pytest.raises(AlreadyExists, match="holds ext4, not xfs as asked"):
        host.mount(fs_type="xfs")
    assert host.content() == before
    assert host.in_use() == NOTHING
    assert host.holders_of_platform() == []


# Copies


@pytest.mark.parametrize("kind", FILESYSTEMS)
def test_a_restored_snapshot_is_mounted_beside_its_volume_with_the_same_filesystem_identity(
    host: Host, kind: str
) -> None:
    host.create(fstype=kind, size=SIZES[kind])
    first = host.mount()
    (first / "file").write_text("as it was")
    host.snap()
    (first / "file").write_text("as it is")
    host.create("restored", snapshotname="snap")
    second = host.mount("restored")
    assert (first / "file").read_text() == "as it is"
    assert (second / "file").read_text() == "as it was"
    (second / "file").write_text("its own")
    assert (first / "file").read_text() == "as it is"
    host.unmount()
    host.unmount("restored")
    assert host.read("restored") == "its own"


def test_a_clone_of_a_mounted_volume_has_what_was_synced(host: Host) -> None:
    host.create()
    path = host.mount()
    (path / "file").write_text("precious")
    subprocess.run(["sync", "-f", str(path)], check=True)
    host.create("clone", volumename="data")
    assert host.read("clone") == "precious"


def test_sources_are_found_by_name_where_names_are_not_ids(host: Host) -> None:
    host.over(storage=numbered(host))
    host.create()
    host.write()
    host.volumes.capability(Snapshots).create_snapshot(host.volumes.volume_id("data"), "snap")
    for name, option, value in (
        ("a", "volumename", "data"),
        ("b", "volumeid", "vol-data"),
        ("c", "snapshotname", "snap"),
    ):
        host.volumes.create(name, {option: value})
        assert host.read(name) == "precious"
    with pytest.raises(NotFound):
        host.volumes.create("d", {"volumename": "vol-data"})


# overwritefs


def test_overwritefs_makes_a_new_filesystem_on_a_copy(host: Host) -> None:
    host.create()
    host.write()
    host.snap()
    host.create("fresh", snapshotid="snap", overwritefs="true")
    assert host.in_use() == NOTHING
    assert not (host.mount("fresh") / "file").exists()
    assert host.read() == "precious"


@pytest.mark.needs("mkfs.xfs")
def test_overwritefs_makes_the_filesystem_that_is_asked_for(host: Host) -> None:
    host.create(size="300MiB")
    host.write()
    host.create("fresh", volumeid="data", overwritefs="true", fstype="xfs")
    assert mounted(host.mount("fresh")).fs_type == "xfs"


def test_overwritefs_never_formats_a_volume_that_exists(host: Host) -> None:
    host.create()
    host.write()
    before = host.content()
    with pytest.raises(AlreadyExists, match="overwritefs formats only what the same call makes"):
        host.create(overwritefs="true")
    assert host.content() == before


def test_overwritefs_said_again_after_the_volume_is_in_use_is_refused(host: Host) -> None:
    host.create(overwritefs="true")
    host.write()
    with pytest.raises(AlreadyExists):
        host.create(overwritefs="true")
    assert host.read() == "precious"


def test_a_mount_with_overwrite_formats_what_nobody_holds_and_nothing_else(host: Host) -> None:
    host.create()
    host.write()
    path = host.mount()
    with pytest.raises(InUse, match="its filesystem is not overwritten"):
        host.mount(holder="c2", overwrite=True)
    assert (path / "file").read_text() == "precious"
    host.unmount()
    assert not (host.mount(overwrite=True) / "file").exists()


def test_a_create_that_died_leaves_no_wish_to_the_next_one_of_that_name(host: Host) -> None:
    """What was noted for a volume that was never made says nothing about a volume that is asked for otherwise."""
    host.create()
    host.write()
    host.snap()
    with pytest.raises(InvalidRequest):
        host.create("new", snapshotid="snap", overwritefs="true", fstype="ext2", type="gold")
    host.create("new", snapshotid="snap")
    assert host.read("new") == "precious"


def test_a_volume_that_was_deleted_elsewhere_leaves_no_wish_to_the_next_one_of_that_name(host: Host) -> None:
    host.create(mountoptions="noexec", fstype="ext2")
    Host(host.home / "there", "there", host.root).remove()
    host.create()
    found = mounted(host.mount())
    assert found.fs_type == "ext4"
    assert "noexec" not in found.options


# Other people's data


@pytest.mark.parametrize("signature", [luks, lvm, dos, gpt])
def test_a_device_that_holds_something_else_is_refused_with_its_bytes_unchanged(
    host: Host, signature: Callable[[Loop], None]
) -> None:
    host.create()
    foreign = Loop(host.data(), 64 * MIB)
    signature(foreign)
    foreign.detach()
    before = host.content()
    for _ in range(2):
        for kind in ("", "ext4"):
            with pytest.raises(AlreadyExists, match=r"nothing was changed|nothing was done"):
                host.mount(fs_type=kind)
    with pytest.raises(RexrayError):
        host.mount(read_only=True)
    with pytest.raises(AlreadyExists):
        host.create(overwritefs="true")
    assert host.content() == before
    assert host.in_use() == NOTHING
    assert host.holders_of_platform() == []


def test_data_of_no_known_kind_is_not_formatted(host: Host) -> None:
    host.create()
    with host.data().open("r+b") as file:
        file.seek(12345)
        file.write(b"a database without a filesystem")
    before = host.content()
    with pytest.raises(AlreadyExists, match="no known kind"):
        host.mount()
    assert host.content() == before
    assert host.in_use() == NOTHING


def test_a_blank_volume_is_not_mounted_read_only_and_stays_blank(host: Host) -> None:
    host.create()
    with pytest.raises(NotReady, match="blank"):
        host.mount(read_only=True)
    assert not any(host.data().read_bytes())
    assert host.in_use() == NOTHING
    assert host.holders_of_platform() == []
    host.write()


class Misled(LoopNode):
    """A node driver that finds another device than the volume's, as it happens where device names are guessed."""

    wrong: Path

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        right = super().connect(attachment, deadline=deadline)
        return Device(path=self.wrong, identity=right.identity)


def test_a_device_that_is_not_the_volumes_is_neither_formatted_nor_mounted(host: Host, tmp_path: Path) -> None:
    wrong = Loop(tmp_path / "wrong", 64 * MIB)
    node = Misled(host.sources.load(LoopSettings))
    node.wrong = wrong.path
    host.on(dataclasses.replace(find_platform(host.sources), node=node))
    host.create()
    before = wrong.content()
    try:
        for overwrite in (False, True):
            with pytest.raises(WrongDevice):
                host.mount(overwrite=overwrite)
        with pytest.raises(WrongDevice):
            host.create("other", overwritefs="true")
        assert wrong.content() == before
        assert mounts_of(tmp_path) == []
        assert devices_of(host.root) == []
        assert host.holders_of_platform() == []
    finally:
        wrong.detach()


def test_a_volume_may_be_called_like_anything_that_is_locked(host: Host) -> None:
    free = subprocess.run(["losetup", "--find"], check=True, capture_output=True, text=True).stdout.strip()
    for name in (f"device-{Path(free).name}", "volume", "locks", "scratch"):
        host.create(name)
        started = time.monotonic()
        host.write(name)
        assert time.monotonic() - started < 10
        host.remove(name)


def test_a_device_without_an_identity_to_check_is_still_found_by_its_number(host: Host) -> None:
    """The mount is that of the device which the node driver named."""
    host.create()
    path = host.mount()
    [(device, _)] = devices_of(host.root)
    number = os.stat(device).st_rdev
    assert mounted(path).device == f"{os.major(number)}:{os.minor(number)}"
    assert Device(path=device, identity=DeviceIdentity()).path == Path(mounted(path).source)


# Holders


def test_the_first_holder_mounts_and_the_last_one_unmounts(host: Host) -> None:
    host.create()
    path = host.mount(holder="c1")
    assert host.mount(holder="c2") == path
    assert host.mount(holder="c2") == path, "the same holder asking twice counts once"
    assert len(mounts_of(host.home)) == 1
    host.unmount(holder="nobody")
    host.unmount(holder="c1")
    host.unmount(holder="c1")
    assert mount_at(path)
    host.again().unmount(holder="c2")
    assert host.in_use() == NOTHING
    assert not path.exists(), "what is written there now must not vanish below the next mount"
    host.unmount(holder="c2")


def test_the_shell_holds_like_any_other(host: Host) -> None:
    host.create()
    path = host.mount(holder=SHELL_HOLDER)
    host.mount(holder="c1")
    host.unmount(holder="c1")
    assert mount_at(path)
    with pytest.raises(InUse, match="rexray volume mount"):
        host.remove()
    host.unmount(holder=SHELL_HOLDER)
    assert host.in_use() == NOTHING


def test_with_ignore_used_count_the_first_to_let_go_unmounts(make_host: Callable[..., Host]) -> None:
    host = make_host(REXRAY_VOLUME_UNMOUNT_IGNOREUSEDCOUNT="true")
    host.create()
    host.mount(holder="c1")
    host.mount(holder="c2")
    host.unmount(holder="c2")
    assert host.in_use() == NOTHING


def test_unmount_all_unmounts_every_volume_whoever_holds_it(host: Host) -> None:
    for name in ("a", "b", "c"):
        host.create(name)
    for name, holder in (("a", "c1"), ("a", "c2"), ("b", SHELL_HOLDER)):
        host.mount(name, holder)
    assert sorted(host.volumes.unmount_all()) == ["a", "b"]
    assert host.in_use() == NOTHING
    assert list(host.volumes.unmount_all()) == []


def test_a_busy_volume_stays_mounted_and_says_who_uses_it(host: Host) -> None:
    host.create()
    path = host.mount()
    (path / "file").write_text("precious")
    with subprocess.Popen(["sleep", "60"], cwd=path) as user:
        with pytest.raises(InUse, match=rf"process {user.pid} \(sleep\)"):
            host.unmount()
        assert (path / "file").read_text() == "precious"
        user.kill()
    host.unmount()
    assert host.in_use() == NOTHING


def test_what_was_written_below_a_mount_does_not_keep_it_from_being_let_go(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.create()
    path = host.mount()
    lose_mount(host, path)
    (path / "stray").write_text("written when nothing was mounted")
    host.unmount()
    assert host.holders_of_platform() == []
    assert f"{path} stays after its volume was unmounted" in caplog.text
    host.write()
    assert host.read() == "precious"
    assert (path / "stray").read_text() == "written when nothing was mounted"


# Read-only


def test_a_read_only_mount_lets_nobody_write(host: Host) -> None:
    host.create()
    host.write()
    path = host.mount(read_only=True)
    assert (path / "file").read_text() == "precious"
    with pytest.raises(OSError, match="Read-only"):
        (path / "more").touch()
    with pytest.raises(InUse, match="read-only"):
        host.mount(holder="c2")
    host.mount(holder="c3", read_only=True)
    host.unmount()
    host.unmount(holder="c3")
    path = host.mount()
    with pytest.raises(InUse, match="for writing"):
        host.mount(holder="c2", read_only=True)
    (path / "more").touch()


# Several hosts


@pytest.fixture
def there(host: Host) -> Host:
    """Another host of the same platform."""
    return Host(host.home / "elsewhere", "there", host.root)


def test_a_volume_of_another_host_is_refused_by_that_hosts_name(host: Host, there: Host) -> None:
    host.create()
    there.mount()
    with pytest.raises(InUse, match="there"):
        host.mount()
    assert len(mounts_of(host.home)) == 1, "the other host's"
    assert host.volumes.get("data").state is AttachmentState.UNAVAILABLE
    assert there.volumes.get("data").state is AttachmentState.ATTACHED
    there.unmount()
    host.write()
    assert there.read() == "precious"


@pytest.mark.parametrize("how", ["request", "setting"])
def test_preempt_takes_a_volume_from_another_host(make_host: Callable[..., Host], there: Host, how: str) -> None:
    host = make_host(REXRAY_VOLUME_MOUNT_PREEMPT="true" if how == "setting" else "")
    host.create()
    there.volumes.attach("data", there.instance)
    path = host.mount(preempt=how == "request")
    assert host.holders_of_platform() == ["here"]
    (path / "file").write_text("precious")
    with pytest.raises(InUse, match="here"):
        there.mount()
    host.unmount()
    assert host.in_use() == NOTHING


def test_preempt_does_not_tear_a_mounted_volume_from_this_very_machine(host: Host, there: Host) -> None:
    """Two hosts on one kernel: the mount can be seen, so that no second one is made over it."""
    host.create()
    path = there.mount()
    with pytest.raises(InUse, match="mounted at"):
        host.mount(preempt=True)
    assert host.holders_of_platform() == ["there"]
    (path / "file").write_text("still there")
    there.unmount()


# Settings of create and remove


def test_a_volume_is_made_by_its_first_mount_where_the_settings_say_so(make_host: Callable[..., Host]) -> None:
    with pytest.raises(NotFound):
        make_host().mount()
    host = make_host(REXRAY_VOLUME_CREATE_IMPLICIT="true")
    (host.mount() / "file").write_text("precious")
    assert host.names() == ["data"]
    host.unmount()
    assert host.read() == "precious"


def test_with_create_disabled_only_what_exists_is_created(make_host: Callable[..., Host]) -> None:
    host = make_host(REXRAY_VOLUME_CREATE_DISABLE="true")
    with pytest.raises(Forbidden, match=r"create\.disable"):
        host.create()
    assert host.names() == []
    assert not host.record_file().exists()
    make_host().create()
    assert host.create().name == "data"


def test_with_remove_disabled_nothing_is_removed(make_host: Callable[..., Host]) -> None:
    host = make_host(REXRAY_VOLUME_REMOVE_DISABLE="true")
    host.create()
    host.write()
    host.remove()
    assert host.read() == "precious"


def test_removing_unmounts_what_nobody_uses_and_forgets_everything(host: Host) -> None:
    host.create(mountoptions="noexec")
    host.mount()
    host.remove()
    assert host.in_use() == NOTHING
    assert host.names() == []
    assert not host.record_file().exists()
    with pytest.raises(NotFound):
        host.remove()
    host.create()
    assert "noexec" not in mounted(host.mount()).options


def test_removing_is_refused_while_another_mount_namespace_has_the_volume(host: Host) -> None:
    host.create()
    path = host.mount()
    (path / "file").write_text("precious")
    with container(path) as process:
        with pytest.raises(InUse, match=rf"pid {process.pid}\b"):
            host.remove()
        assert (path / "file").read_text() == "precious"
        assert host.volumes.path("data") == path
    host.remove()
    assert host.in_use() == NOTHING


def test_a_volume_that_another_mount_namespace_kept_is_let_go_of_later(host: Host) -> None:
    """Its device cannot be released while it is mounted anywhere; who attached it is not forgotten for that."""
    host.create()
    with container(host.mount()):
        host.unmount()
        assert mounts_of(host.home) == []
        assert host.holders_of_platform() == ["here"]
    host.mount()
    host.unmount()
    assert host.in_use() == NOTHING
    assert host.holders_of_platform() == []


@pytest.mark.parametrize("verb", ["remove", "unmount", "unmount_all", "recover", "detach"])
def test_each_of_these_lets_go_of_what_another_mount_namespace_kept(host: Host, verb: str) -> None:
    host.create()
    with container(host.mount()):
        host.unmount()
    later = host.again()
    verbs: dict[str, Callable[[], object]] = {
        "remove": later.remove,
        "unmount": later.unmount,
        "unmount_all": lambda: list(later.volumes.unmount_all()),
        "recover": lambda: list(later.volumes.recover()),
        "detach": lambda: later.volumes.detach("data", later.instance),
    }
    verbs[verb]()
    assert host.in_use() == NOTHING


# What callers get of a volume


@pytest.mark.parametrize(("given", "mode"), [("0750", 0o750), ("", 0o700)])
def test_callers_get_the_root_path_inside_the_volume(make_host: Callable[..., Host], given: str, mode: int) -> None:
    host = make_host(REXRAY_VOLUME_MOUNT_ROOTPATH="/deep/data", REXRAY_VOLUME_MOUNT_FILEMODE=given)
    host.create()
    path = host.mount()
    assert path == host.home / "var/lib/volumes/data/deep/data"
    assert path.stat().st_mode & 0o7777 == mode
    assert host.volumes.path("data") == path
    assert host.volumes.get("data").attachments[0].mount_point == str(path)
    (path / "file").write_text("precious")
    path.chmod(0o711)
    host.unmount()
    assert (host.mount(read_only=True) / "file").read_text() == "precious"
    assert path.stat().st_mode & 0o7777 == 0o711, "what is there is left as it is"


def test_volumes_are_mounted_where_the_settings_say(make_host: Callable[..., Host], home: Path) -> None:
    host = make_host(REXRAY_VOLUME_MOUNT_PATH=str(home / "mnt"))
    host.create()
    assert host.mount() == home / "mnt/data"
    host.unmount()
    assert host.in_use() == NOTHING


def test_names_and_ids_mean_the_same_volume(host: Host) -> None:
    host.over(storage=numbered(host))
    assert host.create().id == "vol-data"
    path = host.mount("vol-data", "c1")
    assert host.mount("data", "c2") == path
    assert len(mounts_of(host.home)) == 1
    for word in ("data", "vol-data"):
        assert host.volumes.get(word).attachments[0].mount_point == str(path)
        assert host.volumes.path(word) == path
    [listed] = host.volumes.list()
    assert (listed.name, listed.id, listed.attachments[0].mount_point) == ("data", "vol-data", str(path))
    host.unmount("vol-data", "c2")
    host.unmount("data", "c1")
    assert host.in_use() == NOTHING
    assert host.volumes.path("vol-data") is None
    host.remove("vol-data")
    assert host.names() == []
    for verb in (host.volumes.get, host.volumes.path, host.remove, host.mount):
        with pytest.raises(NotFound, match="data"):
            verb("data")


def test_a_name_that_two_volumes_have_is_refused_with_their_ids(host: Host) -> None:
    host.over(storage=numbered(host))
    there = Host(host.home / "there", "there", host.root)
    there.create("vol-data")
    there.create("dup-data")
    for verb in (host.volumes.get, host.mount, host.volumes.volume_id):
        with pytest.raises(InvalidRequest, match="dup-data, vol-data"):
            verb("data")
    assert host.volumes.get("dup-data").id == "dup-data"


@pytest.mark.parametrize("name", ["x" * 255, "数" * 255], ids=["ascii", "unicode"])
def test_a_name_that_is_too_long_for_a_file_is_mounted_and_found_again(host: Host, name: str) -> None:
    titled = Titled(host.sources.load(LoopSettings))
    host.over(storage=titled)
    volume_id = host.create(name, fstype="ext2").id
    path = host.mount(name)
    assert mounted(path).fs_type == "ext2"
    for word in (name, volume_id):
        assert host.volumes.path(word) == path
        assert host.volumes.get(word).attachments[0].mount_point == str(path)
    [record] = host.record_file().parent.iterdir()
    record.unlink()
    again = host.again().over(storage=titled)
    assert [line.partition(": ")[2] for line in again.volumes.recover()] == ["mount without a record, adopted"]
    assert again.volumes.path(name) == path
    assert again.volumes.get(name).attachments[0].mount_point == str(path)
    again.unmount(name, "whoever")
    assert again.mount(name, "c2") == path
    assert list(again.volumes.unmount_all())
    assert again.in_use() == NOTHING
    again.remove(name)
    assert again.names() == []


def test_the_list_is_sorted_and_shows_where_each_is_mounted(host: Host) -> None:
    for name in ("b", "c", "a"):
        host.create(name)
    path = host.mount("b")
    listed = {volume.name: [item.mount_point for item in volume.attachments] for volume in host.volumes.list()}
    assert list(listed) == ["a", "b", "c"]
    assert listed == {"a": [], "b": [str(path)], "c": []}
    assert [device.volume_id for device in host.volumes.devices()] == ["b"]


# Attaching without mounting


def test_a_volume_is_attached_and_detached_without_a_mount(host: Host) -> None:
    host.create()
    assert host.volumes.network_name("data", host.instance) == ""
    for _ in range(2):
        attachment = host.volumes.attach("data", host.instance)
    assert Path(attachment.device).is_block_device()
    assert host.volumes.network_name("data", host.instance) == str(host.data())
    assert mounts_of(host.home) == []
    with pytest.raises(InUse):
        host.remove()
    for _ in range(2):
        host.volumes.detach("data", host.instance)
    assert host.in_use() == NOTHING
    with pytest.raises(NotFound, match="nowhere"):
        host.volumes.attach("data", InstanceId("nowhere"))


def test_a_mounted_volume_is_not_detached(host: Host) -> None:
    host.create()
    path = host.mount()
    for force in (False, True):
        with pytest.raises(InUse, match="mounted for 1 holder"):
            host.volumes.detach("data", host.instance, force=force)
    assert mount_at(path)


def test_what_was_attached_before_the_mount_stays_attached_after_it(host: Host) -> None:
    host.create()
    host.volumes.attach("data", host.instance)
    host.write()
    assert host.holders_of_platform() == ["here"]
    assert len(devices_of(host.root)) == 1
    host.again().volumes.detach("data", host.instance)
    assert host.in_use() == NOTHING


def test_a_volume_is_attached_to_another_host_and_taken_from_it(host: Host, there: Host) -> None:
    there.volumes.instance_id()
    host.create()
    assert host.volumes.attach("data", there.instance).instance_id == "there"
    with pytest.raises(InUse, match="there"):
        host.volumes.attach("data", host.instance)
    host.volumes.attach("data", host.instance, force=True)
    assert host.holders_of_platform() == ["here"]
    host.volumes.detach("data", there.instance)
    assert host.holders_of_platform() == ["here"], "not attached there is success"


# Growing


@pytest.mark.parametrize("kind", FILESYSTEMS)
def test_a_mounted_volume_grows_with_its_filesystem(host: Host, kind: str) -> None:
    if kind == "ext4" and not can_grow_ext4():
        pytest.skip("the kernel lets a mounted ext4 grow only with CAP_SYS_RESOURCE")
    host.create(fstype=kind, size=SIZES[kind])
    path = host.mount()
    (path / "file").write_text("precious")
    before = os.statvfs(path)
    for _ in range(2):
        assert host.expand(600 * MIB).size_bytes == 600 * MIB
    after = os.statvfs(path)
    assert (after.f_blocks - before.f_blocks) * after.f_frsize > 250 * MIB
    with (path / "large").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 400 * MIB)
    assert (path / "file").read_text() == "precious"


@pytest.mark.parametrize("kind", FILESYSTEMS)
def test_a_volume_that_grew_while_it_was_not_mounted_has_the_room_at_its_next_mount(host: Host, kind: str) -> None:
    if kind == "ext4" and not can_grow_ext4():
        pytest.skip("the kernel lets a mounted ext4 grow only with CAP_SYS_RESOURCE")
    host.create(fstype=kind, size=SIZES[kind])
    host.write()
    host.expand(600 * MIB)
    room = os.statvfs(host.mount())
    assert room.f_blocks * room.f_frsize > 500 * MIB


def test_a_volume_never_shrinks(host: Host) -> None:
    host.create()
    assert host.expand(MIB).size_bytes == 64 * MIB
    assert host.data().stat().st_size == 64 * MIB


# Snapshots


@pytest.mark.parametrize("kind", FILESYSTEMS)
def test_a_snapshot_of_a_mounted_volume_has_what_was_written_so_far_and_writing_goes_on(host: Host, kind: str) -> None:
    host.create(fstype=kind, size=SIZES[kind])
    path = host.mount()
    (path / "file").write_text("not synced by anybody")
    host.snap()
    (path / "after").write_text("writable")
    host.unmount()
    host.create("restored", snapshotid="snap")
    restored = host.mount("restored", read_only=True)
    assert (restored / "file").read_text() == "not synced by anybody"
    assert not (restored / "after").exists()


def test_writing_goes_on_after_a_snapshot_that_failed(host: Host) -> None:
    host.create()
    host.create("other")
    host.snap("snap", "other")
    path = host.mount()
    with pytest.raises(AlreadyExists):
        host.snap("snap", "data")
    write_in_time(path / "after")


def test_writing_goes_on_beside_many_snapshots(host: Host) -> None:
    host.create()
    path = host.mount()
    ended = threading.Event()
    written = []

    def write() -> None:
        for step in itertools.count():
            if ended.is_set():
                break
            (path / f"file{step % 20}").write_text(f"{step}")
            written.append(step)

    writer = threading.Thread(target=write)
    writer.start()
    for number in range(10):
        host.snap(f"snap{number}")
    ended.set()
    writer.join(10)
    assert not writer.is_alive()
    assert written
    host.unmount()
    assert [snapshot.name for snapshot in host.volumes.capability(Snapshots).snapshots()] == [
        f"snap{number}" for number in range(10)
    ]


def write_in_time(file: Path) -> None:
    """Write to a filesystem that may be frozen, without being held up by that."""
    ended = subprocess.run(["sh", "-c", 'echo well > "$0"', file], check=False, timeout=10)
    assert ended.returncode == 0


class Slow(LoopStorage):
    """A storage driver whose snapshots take a while, in which it looks whether the filesystem stands still."""

    begun = threading.Event()
    wrote: Path
    writer: subprocess.Popen[bytes]
    stood_still = False

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        if name == "slow":
            self.begun.set()
            time.sleep(0.5)
            self.writer = subprocess.Popen(["sh", "-c", 'echo > "$0"', self.wrote])
            time.sleep(0.3)
            self.stood_still = self.writer.poll() is None
        return super().create_snapshot(volume_id, name, description)


@pytest.mark.parametrize("verb", ["snapshot", "unmount", "remove", "expand"])
def test_a_filesystem_stands_still_until_the_snapshot_is_taken_whatever_else_is_asked(host: Host, verb: str) -> None:
    storage = Slow(host.sources.load(LoopSettings))
    storage.begun = threading.Event()
    host.over(storage=storage)
    host.create()
    storage.wrote = host.mount() / "written"
    snapshot = threading.Thread(target=host.snap, args=("slow",))
    snapshot.start()
    assert storage.begun.wait(10)
    verbs: dict[str, Callable[[], object]] = {
        "snapshot": lambda: host.snap("fast"),
        "expand": lambda: host.expand(MIB),
        "unmount": host.unmount,
        "remove": host.remove,
    }
    try:
        verbs[verb]()
    finally:
        snapshot.join(10)
        subprocess.run(["fsfreeze", "--unfreeze", storage.wrote.parent], check=False, capture_output=True)
        storage.writer.wait(10)
    assert not snapshot.is_alive()
    assert storage.stood_still
    if verb in ("unmount", "remove"):
        assert host.in_use() == NOTHING
    else:
        write_in_time(storage.wrote)


# Errors that pass


def put_back_later(host: Host, seconds: float) -> threading.Timer:
    """The volume's file is away, as a server is that cannot be reached, and comes back."""
    away = host.home / "away"
    os.rename(host.data(), away)
    timer = threading.Timer(seconds, os.rename, (away, host.data()))
    timer.start()
    return timer


def test_a_mount_is_tried_again_as_often_as_the_settings_say(make_host: Callable[..., Host]) -> None:
    host = make_host(REXRAY_VOLUME_MOUNT_RETRYCOUNT="30", REXRAY_VOLUME_MOUNT_RETRYWAIT="50ms")
    host.create()
    host.write()
    timer = put_back_later(host, 0.4)
    assert (host.mount() / "file").read_text() == "precious"
    timer.join()


def test_a_mount_is_not_tried_again_by_default_nor_for_what_does_not_pass(make_host: Callable[..., Host]) -> None:
    host = make_host()
    host.create()
    host.write()
    timer = put_back_later(host, 0.4)
    with pytest.raises(Unavailable, match="is missing"):
        host.mount()
    timer.join()
    assert host.in_use() == NOTHING
    assert host.holders_of_platform() == []
    patient = make_host(REXRAY_VOLUME_MOUNT_RETRYCOUNT="5", REXRAY_VOLUME_MOUNT_RETRYWAIT="10s")
    started = time.monotonic()
    with pytest.raises(AlreadyExists):
        patient.mount(fs_type="xfs")
    assert time.monotonic() - started < 5


def test_a_mount_gives_up_after_the_tries_of_the_settings(make_host: Callable[..., Host]) -> None:
    host = make_host(REXRAY_VOLUME_MOUNT_RETRYCOUNT="3", REXRAY_VOLUME_MOUNT_RETRYWAIT="100ms")
    host.create()
    host.data().unlink()
    started = time.monotonic()
    with pytest.raises(Unavailable):
        host.mount()
    assert 0.3 <= time.monotonic() - started < 5
    assert host.in_use() == NOTHING


class Throttled(LoopStorage):
    """A storage driver whose platform has no time for a detach now and then."""

    refusals = 0

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("the platform is busy")
        super().detach(volume_id, instance_id, force=force)


def test_what_could_not_be_undone_of_a_failed_mount_is_undone_later(host: Host) -> None:
    storage = Throttled(host.sources.load(LoopSettings))
    host.over(storage=storage)
    host.create()
    storage.refusals = 1
    with pytest.raises(NotReady, match="blank"):
        host.mount(read_only=True)
    assert host.holders_of_platform() == ["here"], "the platform refused to detach it"
    host.write()
    assert host.holders_of_platform() == []
    assert host.in_use() == NOTHING


def test_an_unmount_that_the_platform_did_not_finish_is_finished_later(host: Host) -> None:
    storage = Throttled(host.sources.load(LoopSettings))
    host.over(storage=storage)
    host.create()
    host.mount()
    storage.refusals = 1
    with pytest.raises(Unavailable):
        host.unmount()
    assert mounts_of(host.home) == []
    host.unmount()
    assert host.holders_of_platform() == []
    assert host.in_use() == NOTHING


# After a crash or a reboot


def lose_mount(host: Host, path: Path) -> None:
    """Unmount behind its back and let the device go."""
    subprocess.run(["umount", str(path)], check=True)
    for device, _ in devices_of(host.root):
        subprocess.run(["losetup", "--detach", str(device)], check=True)


def test_a_mount_that_was_lost_is_made_again_for_its_holders(host: Host) -> None:
    host.create(mountoptions="noexec")
    path = host.mount(holder="c1", options=("nodev",))
    host.mount(holder="c2")
    (path / "file").write_text("precious")
    lose_mount(host, path)
    assert host.volumes.path("data") is None
    again = host.again()
    assert list(again.volumes.recover()) == ["data: mounted again for 2 holders"]
    assert (path / "file").read_text() == "precious"
    assert {"noexec", "nodev"} <= set(mounted(path).options)
    assert list(again.volumes.recover()) == ["data: mounted for 2 holders"]
    again.unmount(holder="c1")
    assert mount_at(path)
    again.unmount(holder="c2")
    assert host.in_use() == NOTHING


def test_a_read_only_mount_that_was_lost_is_read_only_again(host: Host) -> None:
    host.create()
    host.write()
    path = host.mount(read_only=True)
    lose_mount(host, path)
    list(host.again().volumes.recover())
    assert mounted(path).read_only


def test_after_a_reboot_nothing_is_mounted_for_the_holders_of_before(host: Host) -> None:
    host.create()
    path = host.mount()
    (path / "file").write_text("precious")
    lose_mount(host, path)
    record = json.loads(host.record_file().read_text())
    host.record_file().write_text(json.dumps({**record, "boot": "an earlier one"}))
    assert host.holders_of_platform() == ["here"], "the platform knows nothing of a reboot"
    again = host.again()
    assert list(again.volumes.recover()) == ["data: interrupted operation or reboot, unmounted"]
    assert again.holders_of_platform() == []
    assert host.in_use() == NOTHING
    assert again.read() == "precious"
    assert again.in_use() == NOTHING


def test_a_mount_without_a_record_is_adopted_and_ends_with_the_first_unmount(host: Host) -> None:
    host.create()
    path = host.mount()
    host.record_file().unlink()
    again = host.again()
    assert list(again.volumes.recover()) == ["data: mount without a record, adopted"]
    assert again.volumes.path("data") == path
    again.unmount(holder="whoever")
    assert mounts_of(host.home) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": 1}', "\0" * 100])
def test_a_record_that_was_cut_off_does_not_stop_anything(host: Host, content: str) -> None:
    host.create(mountoptions="noexec")
    host.write()
    host.record_file().write_text(content)
    again = host.again()
    assert list(again.volumes.recover()) == []
    assert again.read() == "precious"


# Volumes that disappear from the platform


def test_a_volume_that_disappears_while_it_is_mounted_is_unmounted_and_forgotten(host: Host) -> None:
    host.create()
    path = host.mount()
    shutil.rmtree(host.data().parent)
    with pytest.raises(NotFound):
        host.volumes.get("data")
    assert host.names() == []
    assert host.volumes.path("data") == path
    host.unmount()
    assert mounts_of(host.home) == []
    assert list(host.again().volumes.recover()) == []
    for verb in (host.mount, host.remove, host.volumes.path):
        with pytest.raises(NotFound):
            verb("data")


def test_a_volume_of_the_name_of_one_that_disappeared_is_not_made_over_its_mount(host: Host) -> None:
    host.create()
    path = host.mount()
    (path / "file").write_text("precious")
    shutil.rmtree(host.data().parent)
    with pytest.raises(InUse, match="still mounted"):
        host.create()
    assert (path / "file").read_text() == "precious"
    host.unmount()
    host.create()
    assert not (host.mount() / "file").exists()


def test_recovery_says_what_it_could_not_recover_and_goes_on(host: Host) -> None:
    for name in ("a", "b"):
        host.create(name)
        path = host.mount(name)
        subprocess.run(["umount", str(path)], check=True)
    for device, _ in devices_of(host.root):
        subprocess.run(["losetup", "--detach", str(device)], check=True)
    shutil.rmtree(host.data("a").parent)
    lines = list(host.again().volumes.recover())
    assert lines[0].startswith("a: not recovered: ")
    assert lines[1] == "b: mounted again for 1 holder"
