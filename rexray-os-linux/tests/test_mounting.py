"""Mounting, binding, remounting and listing mounts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from linux_parts import MIB, Loop, Loops, at_most, mkfs, program, run
from rexray.errors import InUse, InvalidRequest, NotFound, NotReady, RexrayError, TimedOut, Unsupported
from rexray.types import Directory
from rexray_os_linux.deadlines import Deadlines
from rexray_os_linux.driver import LinuxOS

pytestmark = pytest.mark.needs("loop", "mkfs.ext4")


@pytest.fixture
def ext4(loop: Loop) -> Loop:
    mkfs("ext4")(loop)
    return loop


def test_a_mount_says_what_was_mounted_where_and_how(linux: LinuxOS, ext4: Loop, home: Path) -> None:
    target = home / "deep/er/m"
    assert not linux.mounted(target)
    options = ("nosuid,nodev", "noatime", "errors=remount-ro", "_netdev", "x-systemd.automount")
    found = linux.mount(ext4.device, target, options=options)
    assert (found.path, found.source, found.fs_type) == (target, str(ext4.path), "ext4")
    assert (found.read_only, found.propagation) == (False, "private")
    assert {"rw", "nosuid", "nodev", "noatime", "errors=remount-ro"} <= set(found.options)
    assert target.stat().st_mode & 0o777 == 0o755
    assert linux.mounted(target)
    assert linux.mounts(target=target) == (found,)


def test_mounting_again_is_success_and_mounts_once(linux: LinuxOS, ext4: Loop, home: Path) -> None:
    first = linux.mount(ext4.device, home / "m", fs_type="ext4")
    assert linux.mount(ext4.device, home / "m", fs_type="ext4") == first
    assert len(linux.mounts(target=home / "m")) == 1


def test_a_mount_point_with_something_else_is_in_use(linux: LinuxOS, loops: Loops, home: Path) -> None:
    first, second = loops(), loops()
    for loop in (first, second):
        mkfs("ext4")(loop)
    linux.mount(first.device, home / "m")
    with pytest.raises(InUse, match=f"'{first.path}', ext4, writable, is mounted there"):
        linux.mount(second.device, home / "m")
    with pytest.raises(InUse, match=r"mounted at .* writable, not read-only as asked"):
        linux.mount(first.device, home / "m", options=("ro",))


def test_a_failed_mount_leaves_no_directory_to_write_to(linux: LinuxOS, ext4: Loop, home: Path) -> None:
    with pytest.raises(RexrayError, match="wrong type, mount option"):
        linux.mount(ext4.device, home / "m", options=("no-such-option",))
    with pytest.raises(Unsupported, match="kernel does not have reiser4"):
        linux.mount(ext4.device, home / "m", fs_type="reiser4")
    assert not (home / "m").exists()
    (home / "m").mkdir()
    with pytest.raises(RexrayError):
        linux.mount(ext4.device, home / "m", fs_type="xfs")
    assert (home / "m").is_dir()


def test_a_read_only_mount_refuses_writes(linux: LinuxOS, ext4: Loop, home: Path) -> None:
    assert linux.mount(ext4.device, home / "m", options=("rw", "ro")).read_only
    with pytest.raises(OSError, match="Read-only"):
        (home / "m/file").touch()


@pytest.mark.needs("mkfs.xfs")
def test_an_xfs_and_its_clone_are_mounted_side_by_side(linux: LinuxOS, loops: Loops, home: Path) -> None:
    origin = loops(300 * MIB)
    mkfs("xfs")(origin)
    run("cp", "--sparse=always", origin.image, home / "clone")
    clone = loops(image=home / "clone")
    linux.mount(origin.device, home / "m1")
    found = linux.mount(clone.device, home / "m2", options=("nouuid",))
    assert found.options.count("nouuid") == 1
    linux.unmount(home / "m2")
    linux.mount(clone.device, home / "m2")
    (home / "m2/only here").touch()
    assert os.listdir(home / "m1") == []


def test_mounts_are_found_by_any_name_of_their_source(linux: LinuxOS, ext4: Loop, home: Path) -> None:
    linux.mount(ext4.device, home / "m")
    linux.bind(home / "m", home / "b")
    (home / "link").symlink_to(ext4.path)
    for name in (ext4.path, home / "link"):
        assert [point.path.name for point in linux.mounts(source=str(name))] == ["m", "b"]
    assert linux.mounts(source=str(home / "none")) == ()
    assert home / "b" in [point.path for point in linux.mounts()]
    with pytest.raises(InvalidRequest, match="not by both"):
        linux.mounts(source="x", target=home)


@pytest.mark.needs("mkfs.btrfs")
def test_a_btrfs_is_known_by_its_device_though_its_number_is_its_own(linux: LinuxOS, loops: Loops, home: Path) -> None:
    loop = loops(128 * MIB)
    mkfs("btrfs")(loop)
    first = linux.mount(loop.device, home / "m")
    assert linux.mount(loop.device, home / "m") == first
    assert linux.mounts(source=str(loop.path)) == (first,)


def test_a_directory_of_this_host_is_bound(linux: LinuxOS, home: Path) -> None:
    source = home / "source"
    (source / "inner").mkdir(parents=True)
    found = linux.mount(Directory(source=str(source)), home / "m", options=("ro",))
    assert found.read_only
    assert linux.mount(Directory(source=str(source)), home / "m", options=("ro",)) == found
    assert [point.path for point in linux.mounts(source=str(source))] == [home / "m"]
    assert os.listdir(home / "m") == ["inner"]


def test_binding_a_directory_and_a_device_node(linux: LinuxOS, loop: Loop, home: Path) -> None:
    (home / "source").mkdir()
    (home / "source/file").touch()
    for _ in range(2):
        linux.bind(home / "source", home / "a/b")
        linux.bind(loop.path, home / "node", options=("ro",))
    assert os.listdir(home / "a/b") == ["file"]
    assert (home / "node").is_block_device()
    assert len(linux.mounts(target=home / "node")) == 1
    linux.unmount(home / "node")
    assert (home / "node").is_file()


def test_a_bind_that_is_refused_leaves_nothing(linux: LinuxOS, loop: Loop, home: Path) -> None:
    (home / "source").mkdir()
    with pytest.raises(NotFound):
        linux.bind(home / "none", home / "m")
    with pytest.raises(InvalidRequest, match="usrquota"):
        linux.bind(home / "source", home / "m", options=("usrquota",))
    assert not (home / "m").exists()
    linux.bind(home / "source", home / "m")
    (home / "other").mkdir()
    with pytest.raises(InUse, match="is mounted there"):
        linux.bind(home / "other", home / "m")
    with pytest.raises(InvalidRequest, match="a file is needed"):
        linux.bind(loop.path, home / "other")
    (home / "link").symlink_to(home / "other")
    with pytest.raises(InvalidRequest, match="symbolic link"):
        linux.bind(home / "source", home / "link")


@pytest.mark.parametrize("target", ["relative", "/", "/tmp/..", "/tmp/a\0b"])
def test_a_mount_point_is_an_absolute_path_below_the_root(linux: LinuxOS, target: str) -> None:
    with pytest.raises(InvalidRequest, match="not an absolute path"):
        linux.mounted(Path(target))


def test_remounting_changes_one_mount_and_keeps_its_other_flags(linux: LinuxOS, ext4: Loop, home: Path) -> None:
    linux.mount(ext4.device, home / "m", options=("nosuid", "noatime"))
    linux.bind(home / "m", home / "b")
    for _ in range(2):
        linux.remount(home / "b", read_only=True)
    (home / "m/file").touch()
    with pytest.raises(OSError, match="Read-only"):
        (home / "b/file").write_text("x")
    linux.remount(home / "b", read_only=False)
    (home / "b/file").write_text("x")
    linux.remount(home / "m", read_only=True)
    (found,) = linux.mounts(target=home / "m")
    assert {"ro", "nosuid", "noatime"} <= set(found.options)


def test_a_filesystem_that_is_read_only_as_a_whole_becomes_writable(linux: LinuxOS, ext4: Loop, home: Path) -> None:
    linux.mount(ext4.device, home / "m", options=("ro", "sync"))
    linux.remount(home / "m", read_only=False)
    (home / "m/file").touch()
    assert "sync" in linux.mounts(target=home / "m")[0].options


def test_a_file_open_for_writing_keeps_a_mount_writable(linux: LinuxOS, ext4: Loop, home: Path) -> None:
    linux.mount(ext4.device, home / "m")
    with (home / "m/file").open("w"), pytest.raises(InUse, match="open for writing"):
        linux.remount(home / "m", read_only=True)
    with pytest.raises(NotReady, match="nothing is mounted"):
        linux.remount(home, read_only=True)


EXPORT = Directory(source="server:/export", fs_type="nfs")


@pytest.fixture
def helper(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PATH", f"{home}/bin", prepend=os.pathsep)
    return str(home / "bin")


def test_an_export_is_mounted_by_its_program(linux: LinuxOS, home: Path, helper: str) -> None:
    mount = shutil.which("mount")
    program(Path(helper), "mount.nfs", f'echo "$@" >>{home}/said; {mount} -t tmpfs "$1" "$2"')
    options = ("vers=4.1,ro", "nofail")
    found = linux.mount(EXPORT, home / "m", options=("vers=4.1", "nofail"))
    assert found.source == "server:/export"
    assert (home / "said").read_text() == f"server:/export {home}/m -o vers=4.1\n"
    assert linux.mount(EXPORT, home / "m") == found
    assert [point.path for point in linux.mounts(source="server:/export")] == [home / "m"]
    with pytest.raises(InUse, match=r"mounted at .* writable"):
        linux.mount(EXPORT, home / "m", options=options)
    linux.unmount(home / "m")
    linux.mount(Directory(source="server:/export"), home / "m")


def test_a_helper_that_fails_lies_or_hangs_is_an_error_and_leaves_nothing(home: Path, helper: str) -> None:
    linux = LinuxOS(Deadlines(helper=0.3))
    program(Path(helper), "mount.nfs", "echo first >&2; echo mount.nfs: access denied >&2; exit 32")
    with pytest.raises(RexrayError, match=r"as nfs: mount.nfs: access denied"):
        linux.mount(EXPORT, home / "m")
    program(Path(helper), "mount.nfs", "exit 0")
    with pytest.raises(RexrayError, match="nothing is mounted"):
        linux.mount(EXPORT, home / "m")
    program(Path(helper), "mount.nfs", "sleep 63 & wait")
    with at_most(2), pytest.raises(TimedOut, match=r"within 0.3 s"):
        linux.mount(EXPORT, home / "m")
    assert subprocess.run(["pgrep", "-f", "^sleep 63$"], check=False, capture_output=True).returncode == 1
    assert not (home / "m").exists()


def test_a_fuse_helper_is_told_the_subtype(linux: LinuxOS, home: Path, helper: str) -> None:
    mount = shutil.which("mount")
    program(Path(helper), "mount.fuse", f'echo "$@" >>{home}/said; {mount} -t tmpfs "$1" "$2"')
    linux.mount(Directory(source="bucket", fs_type="fuse.s3fs"), home / "m", options=("allow_other",))
    assert (home / "said").read_text() == f"bucket {home}/m -o allow_other -t fuse.s3fs\n"


def test_a_missing_helper_and_a_secret_are_refused(linux: LinuxOS, home: Path) -> None:
    if shutil.which("mount.glusterfs") is None:
        with pytest.raises(Unsupported, match="install the package glusterfs-client"):
            linux.mount(Directory(source="server:/vol", fs_type="glusterfs"), home / "m")
    with pytest.raises(InvalidRequest, match=r"'password=...'") as refusal:
        linux.mount(Directory(source="//s/x", fs_type="cifs"), home / "m", options=("user=a,password=hush",))
    assert "hush" not in str(refusal.value)
