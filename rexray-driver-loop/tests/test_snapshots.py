"""Snapshots, what is made of them, and the way back; clones."""

from __future__ import annotations

import math
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loop_parts import GIB, MIB, Host, clean, devices_of, make_filesystem, mounted, open_device, room
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, OutOfRange
from rexray.types import Snapshot
from rexray_driver_loop import copying


def test_a_snapshot_is_what_the_volume_was(host: Host) -> None:
    host.create("v", 4 * MIB)
    host.write("v", b"one", MIB)
    snapshot = host.snap("s", description="before it all")
    assert (snapshot.id, snapshot.name, snapshot.volume_id) == ("s", "s", "v")
    assert (snapshot.size_bytes, snapshot.description, snapshot.ready) == (4 * MIB, "before it all", True)
    assert snapshot.created is not None
    host.write("v", b"two", MIB)
    volume = host.restore("w", "s")
    assert (volume.size_bytes, volume.fields) == (4 * MIB, {"source_snapshot": "s"})
    assert host.read("w", 3, MIB) == b"one"
    assert host.read("v", 3, MIB) == b"two"


def test_a_snapshot_is_taken_once(host: Host) -> None:
    host.create("v")
    host.create("w")
    snapshot = host.snap()
    host.write("v", b"later")
    assert host.snap() == snapshot
    host.restore("r", "s")
    assert host.read("r", 5) == bytes(5)
    with pytest.raises(AlreadyExists, match="is of volume 'v', and was asked for of 'w'"):
        host.snap("s", "w")
    with pytest.raises(NotFound, match="volume 'none'"):
        host.snap("t", "none")
    with pytest.raises(NotFound, match="volume 'none'"):
        host.snap("s", "none")


def test_a_snapshot_of_an_earlier_volume_of_that_name_is_no_snapshot_of_this_one(host: Host) -> None:
    host.create()
    host.snap()
    host.remove()
    host.create()
    with pytest.raises(AlreadyExists, match="earlier volume 'v'"):
        host.snap()
    with pytest.raises(InvalidRequest, match="earlier volume of that name"):
        host.rollback()


def test_listing_snapshots(host: Host) -> None:
    for name in "vw":
        host.create(name)
    for number in range(5):
        host.snap(f"s{number}", "w" if number % 2 else "v")
    assert host.snaps() == ["s0", "s1", "s2", "s3", "s4"]
    assert host.snaps("w") == ["s1", "s3"]
    assert host.snaps(None, "s2") == ["s2"]
    assert host.snaps("w", "s2") == host.snaps("none") == host.snaps(None, "none") == []
    first: Snapshot = next(host.storage.snapshots())
    assert first.id == "s0"


def test_removing_a_snapshot_is_idempotent_and_harms_nothing(host: Host) -> None:
    host.create()
    host.write("v", b"kept")
    host.snap()
    host.restore("w", "s")
    host.remove_snap()
    host.remove_snap()
    assert host.snaps() == []
    assert host.read("v", 4) == host.read("w", 4) == b"kept"
    assert host.restore("w", "s").id == "w", "asked again for what is there, whose source is gone"


def test_a_clone_is_on_its_own(host: Host) -> None:
    host.create("v", 2 * MIB)
    host.write("v", b"one", MIB)
    clone = host.clone("c", "v")
    assert (clone.size_bytes, clone.fields) == (2 * MIB, {"source_volume": "v"})
    host.write("v", b"two", MIB)
    host.remove("v")
    assert host.read("c", 3, MIB) == b"one"
    assert host.clone("c", "v") == host.get("c")


@pytest.mark.parametrize("source", ["volume", "snapshot"])
def test_a_copy_may_be_larger_and_not_smaller(host: Host, source: str) -> None:
    host.create("v", 4 * MIB)
    host.write("v", b"end", 4 * MIB - 3)
    host.snap()
    make = host.clone if source == "volume" else host.restore
    of = "v" if source == "volume" else "s"
    volume = make("large", of, 9 * MIB, type="thick")
    assert volume.size_bytes == host.data("large").stat().st_size == 9 * MIB
    assert host.read("large", 4, 4 * MIB - 3) == b"end\0"
    assert room(host.data("large")) >= 9 * MIB
    with pytest.raises(OutOfRange, match="less than its source's 4194304"):
        make("small", of, MIB)
    assert host.leftovers() == []
    assert not (host.root / "volumes/small").exists()


def test_holes_stay_holes(host: Host) -> None:
    host.create("v", 100 * GIB)
    for at in (0, 7 * GIB, 99 * GIB):
        host.write("v", os.urandom(MIB), at)
    start = time.monotonic()
    host.snap()
    host.restore("r", "s")
    assert time.monotonic() - start < 5
    assert room(host.data("r")) <= 4 * MIB
    assert host.data("r").stat().st_size == 100 * GIB
    for at in (0, 7 * GIB, 99 * GIB):
        assert host.read("r", MIB, at) == host.read("v", MIB, at)


def test_every_pattern_of_data_and_holes_is_copied(tmp_path: Path) -> None:
    for number in range(32):
        content = b"".join((b"x" if number >> bit & 1 else b"\0") * 65536 for bit in range(5))
        with (tmp_path / "from").open("w+b") as source, (tmp_path / "to").open("w+b") as target:
            source.truncate(len(content))
            for bit in range(5):
                if number >> bit & 1:
                    source.seek(bit * 65536)
                    source.write(b"x" * 65536)
            source.flush()
            copying._copy_extents(source.fileno(), target.fileno(), len(content), math.inf)
            target.seek(0)
            assert target.read() == content
        assert room(tmp_path / "to") == number.bit_count() * 65536
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open("rb") as source, (tmp_path / "to").open("w+b") as target:
        copying.copy_data(source.fileno(), target.fileno())
        assert os.fstat(target.fileno()).st_size == 0


def test_rolling_back(host: Host) -> None:
    host.create("v", 2 * MIB)
    host.write("v", b"one")
    host.snap()
    host.write("v", b"two", MIB)
    host.expand("v", 4 * MIB)
    host.write("v", b"three", 3 * MIB)
    volume = host.rollback()
    assert volume.size_bytes == host.data().stat().st_size == 4 * MIB, "volumes never shrink"
    assert host.read("v", 3) == b"one"
    assert host.read("v", 3, MIB) == bytes(3)
    assert host.read("v", 5, 3 * MIB) == bytes(5)
    assert host.rollback() == volume
    assert host.leftovers() == []
    host.modify(type="thick")
    host.rollback()
    assert room(host.data()) >= 4 * MIB


def test_only_its_own_snapshot_can_be_put_back(host: Host) -> None:
    host.create("v")
    host.create("w")
    host.snap("s", "w")
    with pytest.raises(InvalidRequest, match="is of 'w', not of volume 'v'"):
        host.rollback("v", "s")
    with pytest.raises(NotFound, match="snapshot 'none'"):
        host.rollback("v", "none")
    with pytest.raises(NotFound, match="volume 'none'"):
        host.rollback("none", "s")


def test_an_attached_volume_is_not_rolled_back(host: Host, other: Host) -> None:
    host.create()
    host.snap()
    host.write("v", b"two")
    host.attach()
    for by in (host, other):
        with pytest.raises(InUse, match="attached to 'here'"):
            by.rollback()
    assert host.read("v", 3) == b"two"


def test_what_happens_during_the_copy_is_seen(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = copying.copy_data

    def copy_and(do: Callable[[], object]) -> None:
        def both(source: int, target: int, **more: Any) -> None:
            copy(source, target, **more)
            do()

        monkeypatch.setattr(copying, "copy_data", both)

    host.create()
    host.snap()
    host.write("v", b"two")
    copy_and(host.attach)
    with pytest.raises(InUse, match="attached to 'here'"):
        host.rollback()
    host.detach()
    copy_and(lambda: host.expand("v", 4 * MIB))
    assert host.rollback().size_bytes == host.data().stat().st_size == 4 * MIB

    def replace() -> None:
        host.remove()
        host.create("v", 8 * MIB)

    copy_and(replace)
    with pytest.raises(InvalidRequest, match="earlier volume"):
        host.rollback()
    assert host.data().stat().st_size == 8 * MIB
    copy_and(lambda: host.remove("v"))
    assert host.clone("c", "v").size_bytes == 8 * MIB


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
def test_a_device_that_somebody_holds_keeps_its_volume_from_being_replaced(host: Host) -> None:
    host.create()
    host.snap()
    device = Path(
        subprocess.run(
            ["losetup", "--find", "--show", str(host.data())], check=True, capture_output=True, text=True, timeout=30
        ).stdout.strip()
    )
    with open_device(device, os.O_RDONLY | os.O_EXCL):
        for attempt in (host.rollback, host.remove):
            with pytest.raises(InUse, match=f"{device} is in use by another program"):
                attempt()
    host.rollback()
    assert devices_of(host.root) == []


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
@pytest.mark.parametrize("copy", ["snapshot", "clone"])
def test_what_was_written_to_the_device_is_in_the_copy(host: Host, copy: str) -> None:
    host.create("v", 8 * MIB)
    with open_device(host.connect(), os.O_RDWR) as descriptor:
        os.pwrite(descriptor, b"x" * 4 * MIB, MIB)  # in the device's cache, not in the file
        if copy == "clone":
            host.clone("c", "v")
        else:
            host.snap()
            host.restore("c", "s")
    assert host.read("c", 4 * MIB, MIB) == b"x" * 4 * MIB


@pytest.fixture(params=["mkfs.xfs", pytest.param("mkfs.btrfs", marks=pytest.mark.needs("mkfs.btrfs"))])
def sharing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A filesystem with reflinks."""
    with (tmp_path / "image").open("wb") as file:
        file.truncate(400 * MIB)
    subprocess.run([request.param, "-q", str(tmp_path / "image")], check=True, capture_output=True, timeout=60)
    folder = tmp_path / "sharing"
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", str(tmp_path / "image"), str(folder)], check=True, timeout=30)
    yield folder
    clean(folder)
    subprocess.run(["umount", str(folder)], check=True, timeout=30)


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
@pytest.mark.needs("mkfs.xfs")
def test_copies_share_their_blocks_where_they_can(sharing: Path) -> None:
    host = Host(sharing / "root")
    host.create("v", 256 * MIB)
    content = os.urandom(MIB)
    for at in range(0, 200 * MIB, MIB):
        host.write("v", content, at)
    host.snap("s")  # 200 MiB, of which the filesystem has room for one copy
    host.restore("w", "s")
    host.clone("c", "v")
    host.rollback("v", "s")
    assert host.read("c", MIB, 199 * MIB) == host.read("w", MIB, 0) == content
    host.write("w", b"y")
    assert host.read("v", 1) == content[:1]


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
def test_a_frozen_filesystem_is_whole_in_the_snapshot(host: Host, tmp_path: Path) -> None:
    host.create("v", 16 * MIB)
    device = host.connect()
    make_filesystem(device)
    with mounted(device, tmp_path / "mnt") as mnt:
        (mnt / "file").write_bytes(b"x" * MIB)
        subprocess.run(["fsfreeze", "--freeze", str(mnt)], check=True, timeout=30)
        try:
            host.snap()
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", str(mnt)], check=True, timeout=30)
        (mnt / "file").write_bytes(b"y" * MIB)
    host.restore("w", "s")
    subprocess.run(["e2fsck", "-fn", str(host.data("w"))], check=True, capture_output=True, timeout=60)
    with mounted(host.connect("w"), tmp_path / "mnt") as mnt:
        assert (mnt / "file").read_bytes() == b"x" * MIB
