"""Copying, growing and thinning the files that hold volumes.

Facts: ioctl_ficlone(2), lseek(2) on ``SEEK_DATA`` and ``SEEK_HOLE``, copy_file_range(2), fallocate(2).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator

from rexray.errors import OutOfCapacity, OutOfRange
from rexray_driver_loop.files import told

_FICLONE = 0x40049409
_CANNOT_CLONE = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS}
_KEEP_SIZE = 0x1
_PUNCH_HOLE = 0x2
_CHUNK = 64 << 20

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def copy_data(source: int, target: int) -> None:
    """Make an empty file hold what another of the same filesystem holds, flushed to disk; holes stay holes.

    Blocks are shared with the source until one of the two changes (XFS, Btrfs, ...); elsewhere they are copied.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _CANNOT_CLONE:
            raise
        _copy_extents(source, target)
    os.fsync(target)


def _copy_extents(source: int, target: int) -> None:
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    for start, end in _extents(source, size, os.SEEK_DATA, os.SEEK_HOLE):
        while start < end:
            copied = os.copy_file_range(source, target, min(end - start, _CHUNK), start, start)
            if not copied:
                raise OSError(errno.EIO, "the source became shorter while it was copied")
            start += copied


def _extents(file: int, size: int, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that begin where ``first`` seeks to and end where ``last`` does."""
    end = 0
    while end < size:
        start = _seek(file, end, first, size)
        end = _seek(file, start, last, size)
        if start < end:
            yield start, end


def _seek(file: int, position: int, kind: int, size: int) -> int:
    try:
        return min(os.lseek(file, position, kind), size) if position < size else size
    except OSError as error:
        if error.errno != errno.ENXIO:  # lseek(2): nothing of the kind up to the end
            raise
        return size


def grow(file: int, size: int, *, allocate: bool) -> None:
    """Make a file at least that long, and with all of its room if ``allocate``; what fails is undone.

    ``OutOfCapacity`` if the filesystem has no such room, ``OutOfRange`` if it can have no such file.
    """
    before = os.fstat(file).st_size
    if size > before:
        _set_size(file, size)
    try:
        if allocate:
            reserve(file)
    except BaseException:
        os.ftruncate(file, before)
        raise
    os.fsync(file)


def _set_size(file: int, size: int) -> None:
    try:
        with told(f"making a file of {size} bytes"):
            os.ftruncate(file, size)
    except OverflowError:
        raise OutOfRange(f"{size} bytes are more than any file can have") from None


def reserve(file: int) -> None:
    """Give a file room for all of its bytes, which changes none; ``OutOfCapacity`` if there is no such room."""
    facts, room = os.fstat(file), os.fstatvfs(file)
    lacking = facts.st_size - facts.st_blocks * 512
    available = room.f_bavail * room.f_frsize
    if lacking > available:
        raise OutOfCapacity(f"{lacking} more bytes are needed and {available} are left")
    with told("reserving room"):
        _fallocate(file, _KEEP_SIZE, 0, facts.st_size)


def release_unwritten(file: int) -> None:
    """Give back the room of what was never written, which most filesystems tell (tmpfs does not).

    Nobody may write to the file meanwhile.
    """
    for start, end in _extents(file, os.fstat(file).st_size, os.SEEK_HOLE, os.SEEK_DATA):
        _fallocate(file, _PUNCH_HOLE | _KEEP_SIZE, start, end - start)


def _fallocate(file: int, mode: int, offset: int, length: int) -> None:
    while _libc.fallocate(file, mode, offset, length) != 0:
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))
