"""What is on a connected device, and who uses it: for the checks of node and OS drivers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from rexray.testing.kit.check import Failed
from rexray.types import Device

_SHOWN = 32
"""How many bytes of data an error shows."""


class DeviceContents(Protocol):
    """Reads, writes and holds devices of the host, past everything that the driver under test may have cached."""

    def size(self, device: Device) -> int:
        """The size of the device in bytes."""

    def read(self, device: Device, offset: int, length: int) -> bytes:
        """Read that many bytes."""

    def write(self, device: Device, offset: int, data: bytes) -> None:
        """Write the data there; it is on the device when this returns. ``OSError`` if the device is read-only."""

    def claim(self, device: Device) -> contextlib.AbstractContextManager[None]:
        """Have the device for oneself, as whoever mounts it has."""


class BlockDevices:
    """The block devices of this Linux host, by their nodes."""

    def size(self, device: Device) -> int:
        """The size of the device in bytes."""
        with _opened(device.path, os.O_RDONLY) as descriptor:
            return os.lseek(descriptor, 0, os.SEEK_END)

    def read(self, device: Device, offset: int, length: int) -> bytes:
        """Read that many bytes of the device itself: what the page cache has of it is dropped first."""
        with _opened(device.path, os.O_RDONLY) as descriptor:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            return os.pread(descriptor, length, offset)

    def write(self, device: Device, offset: int, data: bytes) -> None:
        """Write the data there; it is on the device when this returns."""
        with _opened(device.path, os.O_WRONLY) as descriptor:
            os.pwrite(descriptor, data, offset)
            os.fsync(descriptor)

    @contextlib.contextmanager
    def claim(self, device: Device) -> Iterator[None]:
        """Open it with O_EXCL, which for block devices means that nobody else may mount or claim it: open(2)."""
        with _opened(device.path, os.O_RDONLY | os.O_EXCL):
            yield


def expect_data(found: bytes, wanted: bytes, what: str) -> None:
    """Fail unless both are equal, with what they are where they first differ; ``what`` is what was read."""
    if found != wanted:
        pairs = enumerate(zip(found, wanted, strict=False))
        at = next((index for index, (one, other) in pairs if one != other), min(len(found), len(wanted)))
        shown = " where ".join(repr(data[at : at + _SHOWN]) for data in (found, wanted))
        raise Failed(f"{what}: from byte {at} on {shown} was expected, of {len(found)} and {len(wanted)} bytes")


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
