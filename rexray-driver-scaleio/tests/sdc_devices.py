"""Loop devices of backing files, for the host side of the simulated gateway."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path

_BLKFLSBUF = 0x1261
"""ioctl of linux/fs.h: write what is cached of a device, and forget it."""
_LOOKERS = ("udevd", "udev", "blkid")
"""Programs that open a device for a moment whenever it changes, and use nothing of it."""


def losetup(*words: str | Path) -> str:
    ended = subprocess.run(["losetup", *map(str, words)], check=False, capture_output=True, text=True, timeout=60)
    if ended.returncode != 0:
        raise RuntimeError(f"losetup {' '.join(map(str, words))}: {ended.stderr.strip()}")
    return ended.stdout.strip()


def attach(file: Path, read_only: bool) -> Path:
    """Show a file as a loop device, which is answered."""
    options = ["--read-only"] if read_only else []
    return Path(losetup("--find", "--show", *options, file))


def flush(device: Path, forget: bool = False) -> None:
    """Write what is cached of a device; ``forget`` also drops it, since the data below have changed."""
    descriptor = os.open(device, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if forget:
            fcntl.ioctl(descriptor, _BLKFLSBUF)
    finally:
        os.close(descriptor)


def in_use(device: Path) -> bool:
    """Whether somebody has the device mounted or open, in any namespace; this process counts."""
    # mounts, device mapper and the like hold a device exclusively
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise
    number = device.stat().st_rdev
    return any(_opens(process, number) for process in Path("/proc").iterdir() if process.name.isdigit())


def _opens(process: Path, number: int) -> bool:
    with suppress(OSError):
        if any(word in (process / "comm").read_text() for word in _LOOKERS):
            return False
        for entry in (process / "fd").iterdir():
            with suppress(OSError):
                status = entry.stat()
                if stat.S_ISBLK(status.st_mode) and status.st_rdev == number:
                    return True
    return False


def detach(device: Path, file: Path) -> None:
    """Detach a device from its file, when its last user is gone; waits a second for that, no longer."""
    losetup("--detach", device)
    backing = Path("/sys/block") / device.name / "loop/backing_file"
    deadline = time.monotonic() + 1
    with suppress(OSError):
        while backing.read_text().strip() == str(file) and time.monotonic() < deadline:
            time.sleep(0.005)
