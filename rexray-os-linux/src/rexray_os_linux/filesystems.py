"""Mounted filesystems: how full they are, freezing, thawing and trimming them.

Facts: statvfs(3); ioctl FIFREEZE, FITHAW and FITRIM of linux/fs.h. EBUSY from FIFREEZE says that it is frozen already,
EINVAL from FITHAW that it is not. A freeze lasts until somebody thaws it, whatever becomes of the process that asked.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from rexray.errors import NotReady, RexrayError, Unsupported
from rexray.types import FilesystemStats
from rexray_os_linux import blockdev, table

_FIFREEZE = 0xC0045877
_FITHAW = 0xC0045878
_FITRIM = 0xC0185879


def stats(path: str) -> FilesystemStats:
    """How full the filesystem is that the path is on; ``NotFound`` without the path."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        raise blockdev.failure(error, f"cannot tell how full {path!r} is") from None
    return FilesystemStats(
        total_bytes=found.f_blocks * found.f_frsize,
        used_bytes=(found.f_blocks - found.f_bfree) * found.f_frsize,
        available_bytes=found.f_bavail * found.f_frsize,
        total_inodes=found.f_files,
        used_inodes=found.f_files - found.f_ffree,
        available_inodes=found.f_favail,
    )


def freeze(place: str) -> None:
    """Hold up all writes; frozen already is success."""
    with opened_mount(place) as fd:
        _control(fd, _FIFREEZE, bytes(4), f"freeze {place!r}", errno.EBUSY)


def thaw(place: str) -> None:
    """Let writes go on; not frozen is success."""
    with opened_mount(place) as fd:
        _control(fd, _FITHAW, bytes(4), f"thaw {place!r}", errno.EINVAL)


def trim(place: str) -> int:
    """Tell the device which blocks are unused; how many bytes those were."""
    with opened_mount(place) as fd:
        whole = struct.pack("=QQQ", 0, (1 << 64) - 1, 0)
        answer = _control(fd, _FITRIM, whole, f"trim {place!r}", None)
        return int(struct.unpack("=QQQ", answer)[1])


@contextmanager
def opened_mount(place: str) -> Iterator[int]:
    """A file descriptor of the mounted directory; ``NotReady`` if nothing is mounted there.

    The kernel says on which mount the descriptor is: had it been unmounted meanwhile, this would be the filesystem
    of the parent, and the host would freeze.
    """
    mount = table.need_top(place)
    try:
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        raise NotReady(f"{place!r} is not a directory: no filesystem is mounted there") from None
    except OSError as error:
        raise blockdev.failure(error, f"cannot open {place!r}") from None
    try:
        if _mount_id(fd) != mount.id:
            raise NotReady(f"{place!r} is no longer what was mounted there")
        yield fd
    finally:
        os.close(fd)


def _mount_id(fd: int) -> int:
    with open(f"/proc/self/fdinfo/{fd}") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("mnt_id:"))


def _control(fd: int, request: int, argument: bytes, action: str, so_already: int | None) -> bytes:
    try:
        return fcntl.ioctl(fd, request, argument)
    except OSError as error:
        if error.errno == so_already:
            return argument
        if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS):
            raise Unsupported(f"cannot {action}: its filesystem or its device cannot do that") from None
        failure: RexrayError = blockdev.failure(error, f"cannot {action}")
        raise failure from None
