"""Copies: everything kept, blocks shared where the filesystem can, nothing left when it fails."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rexray.errors import OutOfCapacity, TimedOut
from vfs_parts import MIB, Vfs, from_snapshot, from_volume, loop_filesystem, tree, unmount_below


def both_copies(vfs: Vfs, source: str) -> Iterator[Path]:
    """The content of a volume as a clone, as a snapshot, and as a volume restored from that."""
    vfs.create("clone", source=from_volume(source))
    vfs.snap("snapshot", source)
    vfs.create("restored", source=from_snapshot("snapshot"))
    yield from (vfs.volume("clone"), vfs.snapshot("snapshot"), vfs.volume("restored"))


def test_names_modes_times_and_links_are_kept(vfs: Vfs) -> None:
    vfs.create("data")
    root = vfs.volume("data")
    (root / "sub").mkdir(mode=0o711)
    (root / "sub/file").write_text("content")
    (root / "sub/file").chmod(0o4751)
    (root / ".hidden").touch()
    (root / "näme\nwith all -rf").touch()
    os.link(root / "sub/file", root / "hard")
    os.symlink("sub/file", root / "soft")
    os.mkfifo(root / "pipe")
    os.utime(root / "sub/file", ns=(1_000_000_007, 2_000_000_009))
    os.utime(root / "sub", ns=(3_000_000_001, 4_000_000_003))
    root.chmod(0o1777)
    for copy in both_copies(vfs, "data"):
        assert tree_without_pipe(copy) == tree_without_pipe(root)
        assert stat.S_ISFIFO((copy / "pipe").stat().st_mode)
        assert (copy / "hard").stat().st_ino == (copy / "sub/file").stat().st_ino
        assert (copy / "sub/file").stat().st_mtime_ns == 2_000_000_009
        assert (copy / "sub").stat().st_mtime_ns == 4_000_000_003
        assert stat.S_IMODE(copy.stat().st_mode) == 0o1777


def tree_without_pipe(folder: Path) -> object:
    return {name: facts for name, facts in tree(folder).items() if name != "pipe"}


@pytest.mark.needs("root")
def test_owners_are_kept(vfs: Vfs) -> None:
    vfs.create("data")
    (vfs.volume("data") / "file").touch()
    os.chown(vfs.volume("data") / "file", 1234, 2345)
    os.chown(vfs.volume("data"), 3456, 4567)
    for copy in both_copies(vfs, "data"):
        facts = (copy / "file").stat()
        assert (facts.st_uid, facts.st_gid) == (1234, 2345)
        assert (copy.stat().st_uid, copy.stat().st_gid) == (3456, 4567)


def test_extended_attributes_are_kept(vfs: Vfs) -> None:
    vfs.create("data")
    file = vfs.volume("data") / "file"
    file.touch()
    try:
        os.setxattr(file, "user.colour", b"red")
    except OSError:
        pytest.skip("this filesystem has no user attributes")
    for copy in both_copies(vfs, "data"):
        assert os.getxattr(copy / "file", "user.colour") == b"red"


def test_symbolic_links_are_copied_and_not_what_they_lead_to(vfs: Vfs, home: Path) -> None:
    (home / "secret").write_text("secret")
    vfs.create("data")
    os.symlink(home / "secret", vfs.volume("data") / "link")
    os.symlink(home, vfs.volume("data") / "folder")
    os.symlink("nowhere", vfs.volume("data") / "dangling")
    for copy in both_copies(vfs, "data"):
        assert all((copy / name).is_symlink() for name in ("link", "folder", "dangling"))


def test_holes_stay_holes(vfs: Vfs) -> None:
    vfs.create("data")
    with (vfs.volume("data") / "sparse").open("wb") as file:
        file.truncate(256 * MIB)
        file.seek(100 * MIB)
        file.write(b"x")
    for copy in both_copies(vfs, "data"):
        facts = (copy / "sparse").stat()
        assert facts.st_size == 256 * MIB
        assert facts.st_blocks * 512 < MIB


def test_sockets_do_not_stop_a_copy(vfs: Vfs, monkeypatch: pytest.MonkeyPatch) -> None:
    vfs.create("data")
    monkeypatch.chdir(vfs.volume("data"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for copy in both_copies(vfs, "data"):
            assert stat.S_ISSOCK((copy / "socket").stat().st_mode)


def used(folder: Path) -> int:
    os.sync()
    facts = os.statvfs(folder)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def check_that_copies_share_blocks(home: Path, folder: Path) -> None:
    vfs = Vfs(home, data=folder)
    vfs.create("data")
    (vfs.volume("data") / "file").write_bytes(os.urandom(64 * MIB))
    before = used(folder)
    for copy in both_copies(vfs, "data"):
        assert (copy / "file").stat().st_size == 64 * MIB
    assert used(folder) - before < 8 * MIB
    (vfs.volume("clone") / "file").write_bytes(b"changed")
    assert (vfs.volume("data") / "file").stat().st_size == 64 * MIB


@pytest.mark.needs("mkfs.xfs", "loop")
def test_copies_on_xfs_share_their_blocks(home: Path) -> None:
    with loop_filesystem(home / "image", home / "disk", 512 * MIB, "mkfs.xfs", "-q", "-m", "reflink=1") as disk:
        check_that_copies_share_blocks(home, disk)


@pytest.mark.needs("mkfs.btrfs", "loop")
def test_copies_on_btrfs_share_their_blocks(home: Path) -> None:
    with loop_filesystem(home / "image", home / "disk", 512 * MIB, "mkfs.btrfs", "-q") as disk:
        check_that_copies_share_blocks(home, disk)


@pytest.mark.needs("mkfs.ext4", "loop")
def test_a_full_filesystem_is_told_and_nothing_left(home: Path) -> None:
    with loop_filesystem(home / "image", home / "disk", 32 * MIB, "mkfs.ext4", "-q", "-m", "0") as disk:
        vfs = Vfs(home, data=disk)
        vfs.create("data", size=MIB)
        (vfs.volume("data") / "file").write_bytes(os.urandom(18 * MIB))
        before = used(disk)
        with pytest.raises(OutOfCapacity, match="No space left"):
            vfs.create("clone", size=MIB, source=from_volume("data"))
        with pytest.raises(OutOfCapacity):
            vfs.snap("snapshot", "data")
        with pytest.raises(OutOfCapacity):
            vfs.group("group", "data")
        assert vfs.names() == ["data"]
        assert vfs.snaps().entries == []
        assert not vfs.leftovers()
        assert used(disk) - before < MIB


FOLDERS = 80


def test_a_deadline_ends_the_copy_and_nothing_is_left(vfs: Vfs) -> None:
    vfs.create("data")
    for folder in range(FOLDERS):
        (vfs.volume("data") / str(folder)).mkdir()
        for number in range(100):
            (vfs.volume("data") / f"{folder}/{number}").touch()
    begun = time.monotonic()
    vfs.create("whole", source=from_volume("data"))
    whole = time.monotonic() - begun
    vfs.delete("whole")
    begun = time.monotonic()
    with pytest.raises(TimedOut, match="copying"):
        vfs.create("clone", source=from_volume("data"), timeout=0.01)
    assert time.monotonic() - begun < whole / 2, "it waited for cp to end"
    with pytest.raises(TimedOut):
        vfs.snap("snapshot", "data", timeout=0.01)
    with pytest.raises(TimedOut):
        vfs.group("group", "data", timeout=0.01)
    assert vfs.names() == ["data"]
    assert vfs.snaps().entries == []
    assert not vfs.leftovers()
    assert not copying(vfs.data), "cp lives on"
    vfs.create("clone", source=from_volume("data"))
    assert len(list(vfs.volume("clone").rglob("*"))) == FOLDERS * 101


def copying(folder: Path) -> list[str]:
    """The command lines of processes that work in the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"cp" and any(str(folder).encode() in word for word in words):
            found.append(repr(words))
    return found


def test_files_that_go_while_they_are_copied_do_not_fail_the_copy(vfs: Vfs) -> None:
    vfs.create("data")
    root = vfs.volume("data")
    (root / "stays").write_text("x")
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            for number in range(200):
                (root / f"sub{number}").mkdir()
                (root / f"sub{number}/file").touch()
            for number in range(200):
                shutil.rmtree(root / f"sub{number}")

    worker = threading.Thread(target=churn)
    worker.start()
    try:
        for number in range(20):
            vfs.snap(f"s{number}", "data")
            assert (vfs.snapshot(f"s{number}") / "stays").exists()
    finally:
        over.set()
        worker.join()


@pytest.mark.needs("root")
def test_another_filesystem_mounted_inside_is_left_out(vfs: Vfs) -> None:
    vfs.create("data")
    inside = vfs.volume("data") / "inside"
    inside.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(inside)], check=True)
    (inside / "file").write_text("x")
    vfs.create("clone", source=from_volume("data"))
    assert list((vfs.volume("clone") / "inside").iterdir()) == []
    unmount_below(vfs.volume("data"))
