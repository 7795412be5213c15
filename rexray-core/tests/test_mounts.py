"""Bind mounts through the kernel, and what its mount table says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rexray import mounts
from rexray.errors import Forbidden, InUse, InvalidRequest, NotFound


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A directory with a file in it, and a target; whatever is mounted there is unmounted at the end."""
    source, target = tmp_path / "source", tmp_path / "a target\nwith \\ escapes"
    source.mkdir()
    target.mkdir()
    (source / "file").write_text("content")
    yield source, target
    while mounts.is_mount_point(target):
        mounts.unmount(target)


pytestmark = pytest.mark.needs("root")


def test_a_bind_mount_shows_its_source_and_is_known_as_one(pair: tuple[Path, Path]) -> None:
    source, target = pair
    assert not mounts.is_bound(source, target)
    assert not mounts.is_mount_point(target)
    mounts.bind(source, target)
    assert (target / "file").read_text() == "content"
    assert mounts.is_bound(source, target)
    assert mounts.is_mount_point(target)
    assert not mounts.is_read_only(target)
    found = [mount for mount in mounts.mount_table() if mount.target == str(target)]
    assert [mount.root.endswith("/source") for mount in found] == [True]
    mounts.unmount(target)
    assert not mounts.is_mount_point(target)


def test_binding_twice_leaves_one_mount(pair: tuple[Path, Path]) -> None:
    source, target = pair
    mounts.bind(source, target)
    mounts.bind(source, target)
    assert len([mount for mount in mounts.mount_table() if mount.target == str(target)]) == 1


def test_a_read_only_bind_refuses_writes_while_the_source_takes_them(pair: tuple[Path, Path]) -> None:
    source, target = pair
    mounts.bind(source, target, options=("ro", "nosuid,nodev"))
    with pytest.raises(OSError, match="Read-only"):
        (target / "new").write_text("")
    (source / "new").write_text("")
    mount = next(mount for mount in mounts.mount_table() if mount.target == str(target))
    assert {"ro", "nosuid", "nodev"} <= set(mount.options)
    mounts.bind(source, target, options=("rw",))
    (target / "more").write_text("")


def test_an_option_that_a_bind_cannot_have_is_refused_before_anything_is_mounted(pair: tuple[Path, Path]) -> None:
    source, target = pair
    with pytest.raises(InvalidRequest, match="'usrquota'"):
        mounts.bind(source, target, options=("usrquota",))
    assert not mounts.is_mount_point(target)


def test_unmounting_nothing_is_success(tmp_path: Path) -> None:
    mounts.unmount(tmp_path)
    mounts.unmount(tmp_path / "not there")


def test_a_busy_mount_stays(pair: tuple[Path, Path]) -> None:
    source, target = pair
    mounts.bind(source, target)
    with (target / "file").open(), pytest.raises(InUse, match="busy"):
        mounts.unmount(target)
    assert mounts.is_mount_point(target)


def test_a_missing_source_or_target_is_not_found(pair: tuple[Path, Path]) -> None:
    source, target = pair
    with pytest.raises(NotFound):
        mounts.bind(source / "none", target)
    with pytest.raises(NotFound):
        mounts.bind(source, target / "none")


def test_another_directory_behind_the_target_is_not_taken_for_the_source(pair: tuple[Path, Path]) -> None:
    source, target = pair
    other = source.parent / "other"
    other.mkdir()
    mounts.bind(other, target)
    assert not mounts.is_bound(source, target)


def test_a_mount_namespace_that_holds_the_directory_is_found_with_its_process(pair: tuple[Path, Path]) -> None:
    source, target = pair
    mounts.bind(source, target)
    assert mounts.holders_elsewhere(target) is None
    hold = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo in; read line"]
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = mounts.holders_elsewhere(target)
        assert found is not None
        assert found.startswith(f"pid {process.pid} ")
        process.communicate(b"\n")
    assert mounts.holders_elsewhere(target) is None


def test_without_the_right_to_mount_the_error_says_so(tmp_path: Path) -> None:
    script = (
        "import os, sys; from rexray import mounts; from rexray.errors import Forbidden\n"
        "os.setuid(65534)\n"
        "try: mounts.bind('/usr', '/tmp')\n"
        "except Forbidden as error: print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "needs root" in answer.stdout
    assert Forbidden.__doc__


def test_every_line_of_the_kernels_table_is_understood() -> None:
    with open("/proc/self/mountinfo", "rb") as table:
        lines = len(table.readlines())
    found = list(mounts.mount_table())
    assert len(found) == lines
    assert any(mount.target == "/" for mount in found)
    assert os.path.isdir("/proc/self")


def mounted_at(target: Path) -> mounts.Mount:
    return [mount for mount in mounts.mount_table() if mount.target == str(target)][-1]


def test_propagation_is_told_as_the_kernel_has_it(pair: tuple[Path, Path]) -> None:
    source, target = pair
    mounts.bind(source, target)
    assert mounted_at(target).propagation == "private"
    for word, wanted in (("--make-shared", "shared"), ("--make-unbindable", "unbindable")):
        subprocess.run(["mount", word, target], check=True)
        assert mounted_at(target).propagation == wanted


def test_a_slave_may_be_shared_as_well(pair: tuple[Path, Path]) -> None:
    master, target = pair
    subprocess.run(["mount", "--bind", master, master], check=True)
    try:
        subprocess.run(["mount", "--make-shared", master], check=True)
        mounts.bind(master, target)
        subprocess.run(["mount", "--make-slave", target], check=True)
        assert mounted_at(target).propagation == "slave"
        subprocess.run(["mount", "--make-shared", target], check=True)
        assert mounted_at(target).propagation == "shared,slave"
    finally:
        mounts.unmount(target)
        mounts.unmount(master)


def test_a_mounts_own_options_and_its_filesystems_are_told_apart(pair: tuple[Path, Path]) -> None:
    _, target = pair
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid,size=64k,mode=700", "a b\\c", str(target)], check=True)
    mount = mounted_at(target)
    assert (mount.source, mount.fs_type) == ("a b\\c", "tmpfs")
    assert "nosuid" in mount.options
    assert {"size=64k", "mode=700"} <= set(mount.super_options)
    assert not mount.read_only
    subprocess.run(["mount", "-o", "remount,ro", target], check=True)
    assert "ro" in mounted_at(target).super_options
    assert mounted_at(target).read_only
    subprocess.run(["mount", "-o", "remount,rw", target], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)
    assert "ro" not in mounted_at(target).super_options
    assert mounted_at(target).read_only


def test_every_field_of_a_line_is_understood_whatever_is_in_it() -> None:
    line = (
        r"36 35 8:1 /a\040b /mnt\134x rw,noatime shared:7 master:1 propagate_from:2 new:3 - fuse.x\040y "
        r'srv:/e\011 rw,context="u:r:c0,c1",lowerdir=/l\0541,size=1'
    )
    mount = mounts._parse(line)
    assert (mount.id, mount.parent, mount.device, mount.root, mount.target) == (36, 35, "8:1", "/a b", "/mnt\\x")
    assert (mount.options, mount.propagation) == (("rw", "noatime"), "shared,slave")
    assert (mount.fs_type, mount.source) == ("fuse.x y", "srv:/e\t")
    assert mount.super_options == ("rw", 'context="u:r:c0,c1"', "lowerdir=/l,1", "size=1")
