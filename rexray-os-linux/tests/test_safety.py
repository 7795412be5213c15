"""What is never formatted: one test for each kind of thing that somebody would miss, on real devices."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from linux_parts import MIB, Loop, Loops, dos, gpt, luks, lvm, mkfs, run, swap, zfs
from rexray.errors import (
    AlreadyExists,
    InUse,
    InvalidRequest,
    NotFound,
    NotReady,
    RexrayError,
    Unavailable,
    WrongDevice,
)
from rexray.types import Device, DeviceIdentity
from rexray_os_linux.driver import LinuxOS

pytestmark = pytest.mark.needs("loop", "mkfs.ext4")


def assert_refused(linux: LinuxOS, loop: Loop, error: type[RexrayError], words: str) -> None:
    before = loop.content()
    with pytest.raises(error, match=words):
        linux.format(loop.device, "ext4")
    assert loop.content() == before


@pytest.mark.parametrize(
    ("write", "word"),
    [
        pytest.param(luks, "crypto_LUKS", id="LUKS"),
        pytest.param(lvm, "LVM2_member", id="LVM"),
        pytest.param(dos, "partition table dos", id="DOS partitions"),
        pytest.param(gpt, "partition table gpt", id="GPT partitions"),
        pytest.param(swap, "swap", id="swap"),
        pytest.param(zfs, "zfs_member", id="ZFS"),
        pytest.param(mkfs("ext4"), "ext4", id="ext4"),
        pytest.param(mkfs("ext3"), "ext3", id="ext3"),
    ],
)
def test_what_libblkid_knows_is_named_and_stays(
    linux: LinuxOS, loops: Loops, write: Callable[[Loop], None], word: str
) -> None:
    loop = loops(64 * MIB)  # ZFS has no smaller ones
    write(loop)
    assert linux.probe(loop.device) == word
    assert_refused(linux, loop, AlreadyExists, f"holds {word}; .* --overwritefs")


@pytest.mark.needs("mkfs.btrfs")
def test_btrfs_stays(linux: LinuxOS, loops: Loops) -> None:
    loop = loops(128 * MIB)
    mkfs("btrfs")(loop)
    assert linux.probe(loop.device) == "btrfs"
    assert_refused(linux, loop, AlreadyExists, "holds btrfs")


@pytest.mark.parametrize("offset", [0, 4096, MIB - 1, 15 * MIB, 16 * MIB - 1])
def test_data_of_no_known_kind_at_either_end_stays(linux: LinuxOS, loop: Loop, offset: int) -> None:
    loop.write(offset, b"\x01")
    with pytest.raises(AlreadyExists, match="no known kind"):
        linux.probe(loop.device)
    assert_refused(linux, loop, AlreadyExists, "no known kind; .* --overwritefs")


def test_of_a_device_below_two_mib_all_has_to_be_zero(linux: LinuxOS, loops: Loops) -> None:
    loop = loops(MIB // 2)
    assert linux.probe(loop.device) == ""
    loop.write(MIB // 4, b"\x01")
    assert_refused(linux, loop, AlreadyExists, "no known kind")


@pytest.mark.needs("mkfs.xfs")
def test_two_signatures_are_ambiguous_and_both_stay(linux: LinuxOS, loops: Loops) -> None:
    first, second = loops(), loops(300 * MIB)
    mkfs("ext4")(first)
    mkfs("xfs")(second)
    with first.path.open("rb") as device:
        device.seek(1024)
        second.write(1024, device.read(1024))
    with pytest.raises(AlreadyExists, match="more than one kind"):
        linux.probe(second.device)
    assert_refused(linux, second, AlreadyExists, "more than one kind")


@pytest.mark.parametrize("left", [0, 8 * MIB])
def test_a_device_that_cannot_be_read_is_not_blank(linux: LinuxOS, loop: Loop, left: int) -> None:
    os.truncate(loop.image, left)
    with pytest.raises(Unavailable, match=r"cannot read device .* nothing was done"):
        linux.probe(loop.device)
    assert_refused(linux, loop, Unavailable, "cannot read")


def test_what_the_page_cache_remembers_does_not_count(linux: LinuxOS, loop: Loop) -> None:
    with loop.path.open("rb") as holder:
        assert linux.probe(loop.device) == ""
        with loop.image.open("r+b") as file:
            file.write(b"LUKS\xba\xbe\x00\x02")
        assert holder.read(4) == bytes(4)
        assert linux.probe(loop.device) == "crypto_LUKS"


def test_the_wrong_device_behind_the_expected_link_is_left_alone(linux: LinuxOS, loops: Loops, home: Path) -> None:
    right, wrong = loops(), loops()
    link = home / "expected"
    link.symlink_to(wrong.path)
    device = Device(path=link, identity=DeviceIdentity(backing_file=str(right.image)))
    before = wrong.content()
    for action in (
        lambda: linux.locate(device, deadline=1),
        lambda: linux.probe(device),
        lambda: linux.format(device, "ext4"),
        lambda: linux.format(device, "ext4", overwrite=True),
        lambda: linux.mount(device, home / "m", fs_type="ext4"),
        lambda: linux.grow(device, home / "m"),
    ):
        if action is not None:
            with pytest.raises((WrongDevice, NotReady), match=r"image1.*not .*image0|nothing is mounted"):
                action()
    assert wrong.content() == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_mounted_device_is_in_use_whatever_is_asked(linux: LinuxOS, loop: Loop, home: Path, overwrite: bool) -> None:
    mkfs("ext4")(loop)
    linux.mount(loop.device, home / "m")
    with pytest.raises(InUse, match=f"mounted at '{home}/m'"):
        linux.format(loop.device, "ext4", overwrite=overwrite)


@pytest.mark.needs("mkfs.btrfs")
def test_a_mounted_btrfs_is_in_use_too(linux: LinuxOS, loops: Loops, home: Path) -> None:
    loop = loops(128 * MIB)
    mkfs("btrfs")(loop)
    linux.mount(loop.device, home / "m")
    with pytest.raises(InUse, match=f"mounted at '{home}/m'"):
        linux.format(loop.device, "ext4", overwrite=True)


def test_a_device_that_swap_holds_is_in_use(linux: LinuxOS, loop: Loop) -> None:
    run("mkswap", loop.path)
    run("swapon", loop.path)
    try:
        with pytest.raises(InUse, match="in use"):
            linux.format(loop.device, "ext4", overwrite=True)
    finally:
        run("swapoff", loop.path)


def test_what_is_no_device_is_refused(linux: LinuxOS, home: Path) -> None:
    (home / "file").touch()
    with pytest.raises(InvalidRequest, match="not a block device"):
        linux.probe(Device(path=home / "file"))
    with pytest.raises(NotFound):
        linux.probe(Device(path=home / "none"))
    with pytest.raises(InvalidRequest, match="located first"):
        linux.probe(Device())


def test_a_device_without_a_size_is_not_ready(linux: LinuxOS, loops: Loops) -> None:
    with pytest.raises(NotReady, match="0 bytes"):
        linux.format(loops(0).device, "ext4")
