"""Who uses a block device: mounts, binds of its node, whoever claims it or has it open."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rexray import mounts, uses

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("loop")]


@pytest.fixture
def device(tmp_path: Path, tool: Callable[[str], str]) -> Iterator[Path]:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    attach = [tool("losetup"), "--find", "--show", str(image)]
    path = subprocess.run(attach, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    yield Path(path)
    subprocess.run([tool("losetup"), "--detach", path], check=True, timeout=30)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "place"
    made.touch()
    yield made
    mounts.unmount(made)


def test_a_device_of_its_own_is_nobodys(device: Path) -> None:
    assert uses.user(device) == ""
    assert uses.opener(device) == ""
    assert uses.binding(device) == ""


def test_what_is_no_device_is_nobodys(tmp_path: Path) -> None:
    assert uses.user(tmp_path) == ""
    assert uses.user(tmp_path / "missing") == ""


@pytest.mark.needs("mkfs.ext4")
def test_a_mounted_device_is_its_mount_points(device: Path, tmp_path: Path, tool: Callable[[str], str]) -> None:
    target = tmp_path / "mounted"
    target.mkdir()
    subprocess.run([tool("mkfs.ext4"), "-q", str(device)], check=True, timeout=60)
    subprocess.run(["mount", str(device), str(target)], check=True, timeout=60)
    try:
        assert uses.user(device) == f"mounted at {target}"
        link = tmp_path / "link"
        link.symlink_to(device)
        assert uses.user(link) == f"mounted at {target}"
    finally:
        mounts.unmount(target)
    assert uses.user(device) == ""


def test_a_bound_device_is_where_it_is_bound(device: Path, place: Path) -> None:
    mounts.bind(device, place)
    assert uses.binding(device) == str(place)
    assert uses.user(device) == f"bound at {place}"


def test_a_claimed_device_is_somebodys(device: Path) -> None:
    claim = os.open(device, os.O_RDONLY | os.O_EXCL)
    assert uses.user(device) == "in use by another program or mount namespace of this host"
    os.close(claim)
    assert uses.user(device) == ""


def test_who_merely_has_it_open_is_told_apart(device: Path) -> None:
    with device.open("rb"):
        assert uses.user(device) == ""
        assert uses.opener(device).startswith(f"pid {os.getpid()} (")
        assert uses.opener(device, beside=(os.getpid(),)) == ""


def test_a_device_below_another_one_is_held(device: Path, tmp_path: Path) -> None:
    """Where device mapper is missing, a made tree of sysfs tells."""
    number = os.stat(device).st_rdev
    entry = tmp_path / "dev/block" / f"{os.major(number)}:{os.minor(number)}"
    (entry / "holders/dm-3").mkdir(parents=True)
    assert uses.user(device, sys=tmp_path) == "held by dm-3"
