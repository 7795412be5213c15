"""Block devices for the checks of OS drivers, and what processes do with files on them."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from rexray import child, mounts
from rexray.errors import RexrayError
from rexray.mounts import mount_table
from rexray.testing.kit.devices import BlockDevices, DeviceContents
from rexray.types import Device, DeviceIdentity

_SECONDS = 30.0
_PAUSE = 0.02


class Disks(DeviceContents, Protocol):
    """Makes blank block devices on this host, and takes them away."""

    def make(self, size_bytes: int) -> Device:
        """A blank device of that size, with its path and its identity."""

    def grow(self, device: Device, size_bytes: int) -> None:
        """Make the device larger, be it mounted or not."""

    def remove(self, device: Device) -> None:
        """Take the device away; what is on it stays for :meth:`restore`."""

    def restore(self, device: Device) -> Device:
        """Have a device that was taken away appear again, where it may."""

    def damage(self, device: Device) -> None:
        """Have the device be one that cannot be read, from now on."""

    def close(self) -> None:
        """Remove every device that was made, and what was on them."""


class Files(Protocol):
    """What processes of this host do with files in mounted filesystems; ``OSError`` as the kernel raises it."""

    def write(self, path: Path, data: bytes) -> None:
        """Write a file; it is in the filesystem when this returns."""

    def read(self, path: Path) -> bytes:
        """What the file holds."""

    def using(self, path: Path) -> contextlib.AbstractContextManager[None]:
        """Have a file of that path open for writing."""

    def clear(self, folder: Path) -> None:
        """Have nothing be mounted below the folder, and remove it."""


class HostFiles:
    """The files of this host, as this process sees them."""

    def write(self, path: Path, data: bytes) -> None:
        """Write a file, with its folder, and flush it."""
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def read(self, path: Path) -> bytes:
        """What the file holds."""
        return path.read_bytes()

    @contextlib.contextmanager
    def using(self, path: Path) -> Iterator[None]:
        """Have a file of that path open for writing."""
        with path.open("ab"):
            yield

    def clear(self, folder: Path) -> None:
        """Unmount everything below the folder, the last one first, and remove it; nothing is removed in a mount."""
        real = os.path.realpath(folder)
        for _ in range(len(below := _mounts_below(real))):
            mounts.unmount(below.pop())
        if left := _mounts_below(real):
            raise RexrayError(f"{left[0]!r} is still mounted")
        shutil.rmtree(folder, ignore_errors=True)


def _mounts_below(folder: str) -> list[str]:
    return [mount.target for mount in mount_table() if mount.target.startswith(f"{folder}/")]


class LoopDisks(BlockDevices):
    """Loop devices of this Linux host over sparse files in a folder; making them needs root, and util-linux."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Path] = {}
        """The node of each file that is shown by one."""
        self._count = 0

    def make(self, size_bytes: int) -> Device:
        """A blank device over a new file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._count += 1
        image = self._folder / f"disk{self._count}"
        image.touch()
        os.truncate(image, size_bytes)
        return self._show(str(image))

    def grow(self, device: Device, size_bytes: int) -> None:
        """Make the file larger, and the device with it."""
        os.truncate(device.identity.backing_file, size_bytes)
        _losetup("--set-capacity", str(device.path))

    def remove(self, device: Device) -> None:
        """Detach the device from its file, and wait until it is."""
        node = self._made.pop(device.identity.backing_file, device.path)
        _losetup("--detach", str(node))
        until = time.monotonic() + _SECONDS
        while _shows(node):
            if time.monotonic() > until:
                raise RexrayError(f"{node} is still there {_SECONDS:g} s after it was detached")
            time.sleep(_PAUSE)

    def restore(self, device: Device) -> Device:
        """Show the file again."""
        return self._show(device.identity.backing_file)

    def damage(self, device: Device) -> None:
        """Take the file's data away: the device reports an error of input and output."""
        os.truncate(device.identity.backing_file, 0)

    def close(self) -> None:
        """Detach every device, and remove the files."""
        for image in list(self._made):
            self.remove(Device(identity=DeviceIdentity(backing_file=image)))
        shutil.rmtree(self._folder, ignore_errors=True)

    def _show(self, image: str) -> Device:
        node = Path(_losetup("--find", "--show", image))
        self._made[image] = node
        return Device(path=node, identity=DeviceIdentity(backing_file=image))


def _shows(node: Path) -> bool:
    return Path(f"/sys/block/{node.name}/loop/backing_file").exists()


def _losetup(*arguments: str) -> str:
    action = f"losetup {' '.join(arguments)}"
    ended = child.run([child.need("losetup", "util-linux"), *arguments], seconds=_SECONDS, action=action)
    if ended.status != 0:
        raise RexrayError(f"cannot {action}: {ended.complaint}")
    return ended.stdout.strip()
