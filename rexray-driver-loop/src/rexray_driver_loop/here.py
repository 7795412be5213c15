"""A volume's file as a block device of this host: a loop device, and over it dm-crypt if the volume is encrypted.

There is one at most for each volume: whoever connects or disconnects holds the volume's lock.
"""

from __future__ import annotations

import time
from pathlib import Path

from rexray_driver_loop import crypt, loops


def connected(data: Path) -> Path | None:
    """The device that shows a volume here, None without one."""
    loop = loops.find(data)
    return None if loop is None else crypt.mapped(data) or loop.device


def connect(data: Path, key: Path | None, *, read_only: bool, seconds: float) -> Path:
    """Have a device show the volume, as large as it is by now; ``key`` is an encrypted one's key file.

    One that is there and writable where it should not be, or the reverse, is made anew; ``InUse`` if it is used.
    """
    until = time.monotonic() + seconds
    loop = loops.find(data)
    if loop is not None and loop.read_only != read_only:
        disconnect(data)
        loop = None
    if loop is None:
        device = loops.attach(data, read_only=read_only)
    else:
        device = loop.device
        loops.keep(loop)
        refresh(data, key)
    return (
        device
        if key is None
        else crypt.open_device(data, device, key, read_only=read_only, seconds=until - time.monotonic())
    )


def disconnect(data: Path) -> None:
    """Have no device show the volume; ``InUse`` if it is mounted, held or open."""
    loop = loops.find(data)
    if loop is not None:
        crypt.close_device(data)
        loops.detach(loop)


def refresh(data: Path, key: Path | None) -> None:
    """Have the device, if there is one, be as large as the volume is by now."""
    loop = loops.find(data)
    if loop is not None:
        loops.update_capacity(loop.device)
        if key is not None:
            crypt.resize_device(data, key)


def flush(data: Path) -> None:
    """Have what was written to the device, if there is one, be in the volume's file."""
    loop = loops.find(data)
    if loop is not None:
        mapped = crypt.mapped(data)
        if mapped is not None:
            loops.flush(mapped.resolve())  # udev makes it a link
        loops.flush(loop.device)


def table(volumes: Path) -> dict[str, Path]:
    """The devices that show volumes here by the path of the volume's file, without opening anything."""
    below = f"{volumes}/"
    return {
        path: crypt.mapped(Path(path)) or device
        for device, path in loops.bound()
        if path.startswith(below) and path.endswith("/data")
    }
