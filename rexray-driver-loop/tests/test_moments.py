"""A copy is of one moment of its source, whatever is written meanwhile."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loop_parts import MIB, Host
from rexray.errors import Busy, RexrayError, TimedOut
from rexray_driver_loop import copying

SIZE = 48 * MIB


@pytest.fixture
def full(host: Host) -> Host:
    """A volume whose copying takes a while, where blocks cannot be shared."""
    host.create("v", SIZE)
    for at in range(0, SIZE, MIB):
        host.write("v", b"x" * MIB, at)
    counters(host.data(), 0)
    return host


def counters(data: Path, count: int) -> None:
    """Write the head and then the tail: at any moment the head is as large as the tail, or one larger."""
    with data.open("r+b", buffering=0) as file:
        for at in (0, SIZE - MIB):
            file.seek(at)
            file.write(struct.pack("<Q", count))


@contextmanager
def writer(data: Path, pause: float = 0.0, seconds: float = 60) -> Iterator[None]:
    stop = threading.Event()

    def write() -> None:
        count = 0
        until = time.monotonic() + seconds
        while not stop.wait(pause) and time.monotonic() < until:
            count += 1
            counters(data, count)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def is_whole(data: Path) -> bool:
    with data.open("rb") as file:
        (head,) = struct.unpack("<Q", file.read(8))
        file.seek(SIZE - MIB)
        (tail,) = struct.unpack("<Q", file.read(8))
    return bool(0 <= head - tail <= 1)


@pytest.mark.parametrize("copy", ["snapshot", "clone"])
@pytest.mark.parametrize("pause", [0.0, 0.03, 0.3])
def test_a_copy_is_of_one_moment_or_there_is_none(full: Host, copy: str, pause: float) -> None:
    copied = False
    with writer(full.data(), pause):
        try:
            full.snap() if copy == "snapshot" else full.clone("c", "v")
            copied = True
        except Busy as error:
            assert "freeze or detach it" in str(error)  # noqa: PT017
    if copied:
        assert is_whole(full.root / ("snapshots/s/data" if copy == "snapshot" else "volumes/c/data"))
    else:
        assert full.snaps() == []
        assert full.names() == ["v"]
    assert full.leftovers() == []


def test_a_writer_that_pauses_is_waited_for(full: Host) -> None:
    with writer(full.data(), seconds=0.3):
        full.snap()
    assert is_whole(full.root / "snapshots/s/data")


def test_an_attached_volume_is_not_held_up_for_long(full: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "LIVE_SECONDS", 0.0)
    full.snap("unattached")
    full.attach()
    for action in (
        lambda: full.snap("s"),
        lambda: full.storage.create_snapshot_group("g", [full.get().id]),
    ):
        with pytest.raises(TimedOut, match=r"detach it, or put loop.root on a filesystem with reflinks \(XFS, Btrfs\)"):
            action()
    assert full.snaps() == ["unattached"]
    with pytest.raises(RexrayError, match="does not exist"):
        full.restore("w", "s")
    assert full.restore("w", "unattached").size_bytes == SIZE
