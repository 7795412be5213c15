"""Making filesystems, only where nothing is lost that nobody gave up.

Facts: mke2fs, mkfs.xfs and mkfs.btrfs ask before they overwrite a signature only on a terminal, or not at all: the
proof that a device is blank is ours. https://systemd.io/BLOCK_DEVICE_LOCKING: whoever writes partition tables or
filesystems holds flock(2) on the device, and udev keeps away. A flock belongs to the open file, which the mkfs program
inherits: it lasts until that has ended, be it after us.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rexray import child
from rexray.deadlines import within
from rexray.errors import AlreadyExists, Busy, RexrayError, Unsupported
from rexray_os_linux import blockdev
from rexray_os_linux.deadlines import Deadlines
from rexray_os_linux.probing import probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """The package that has a filesystem's mkfs, and how that is called.

    Without discard: a new volume has nothing to discard, and a slow array takes minutes over it; trim does it later.
    """

    package: str
    options: tuple[str, ...]


_EXT = Maker(package="e2fsprogs", options=("-q", "-E", "nodiscard"))
MAKERS = {
    "ext2": _EXT,
    "ext3": _EXT,
    "ext4": _EXT,
    "xfs": Maker(package="xfsprogs", options=("-q", "-K")),
    "btrfs": Maker(package="btrfs-progs", options=("-q", "-K")),
    "vfat": Maker(package="dosfstools", options=("-I",)),
}
"""The filesystems that can be made. mkfs.vfat's ``-I`` allows it a disk without partitions."""


def make_filesystem(
    node: Path, fs_type: str, *, overwrite: bool, deadlines: Deadlines, check: Callable[[], None]
) -> None:
    """Make a filesystem on a blank device, or with ``overwrite`` on any that is not in use.

    The caller holds the device open; ``check`` raises if that is not the right one, and is asked before every step.

    ``AlreadyExists`` says what is on the device, ``InUse`` who holds it, ``Busy`` that it is being formatted. When it
    fails or is stopped midway the device is left blank.
    """
    maker = MAKERS.get(fs_type)
    if maker is None:
        raise Unsupported(f"cannot make a filesystem of type {fs_type!r}: it can be {', '.join(MAKERS)}")
    mkfs = child.need(f"mkfs.{fs_type}", maker.package)
    action = f"format device {str(node)!r}"
    lock = within(deadlines.system_call, action, lambda: _lock(node, deadlines.lock), undo=os.close)
    try:
        check()
        if overwrite:
            _wipe(node, deadlines)
        elif found := probe(node, deadlines.probe):
            raise AlreadyExists(
                f"device {str(node)!r} holds {found}; nothing was done; "
                "to lose that and make a filesystem, ask for it with --overwritefs"
            )
        check()
        _make([mkfs, *maker.options, str(node)], node, lock, action, deadlines)
    finally:
        os.close(lock)


def _lock(node: Path, seconds: float) -> int:
    blockdev.check_unused(node)
    fd = blockdev.open_device(node)
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(0.05)
                continue
            os.close(fd)
            raise Busy(f"device {str(node)!r} is locked: it is being formatted or partitioned") from None
        return fd


def _wipe(node: Path, deadlines: Deadlines) -> None:
    """Remove every signature that libblkid knows, wherever it is, and zero both ends for the ones that it does not."""
    action = f"wipe device {str(node)!r}"
    wipefs = child.need("wipefs", "util-linux")
    ended = child.run([wipefs, "--all", "--quiet", str(node)], seconds=deadlines.format, action=action)
    if ended.status != 0:
        raise RexrayError(f"cannot {action}: {ended.complaint}")
    within(deadlines.format, action, lambda: blockdev.zero_ends(node))


def _make(command: list[str], node: Path, lock: int, action: str, deadlines: Deadlines) -> None:
    try:
        ended = child.run(command, seconds=deadlines.format, action=action, keep=(lock,))
        if ended.status != 0:
            raise RexrayError(f"cannot {action}: {ended.complaint}")
    except BaseException:
        with suppress(RexrayError):  # what went wrong first is what matters
            within(deadlines.system_call, f"blank device {str(node)!r}", lambda: blockdev.zero_ends(node))
        raise
