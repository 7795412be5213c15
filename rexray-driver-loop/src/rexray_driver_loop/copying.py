"""Copying, growing and thinning the files that hold volumes.

Facts: ioctl_ficlone(2), lseek(2) on ``SEEK_DATA`` and ``SEEK_HOLE``, copy_file_range(2), fallocate(2).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator

from rexray.errors import Busy, OutOfCapacity, OutOfRange, TimedOut
from rexray_driver_loop.files import opened, told

_FICLONE = 0x40049409
_CANNOT_CLONE = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS}
_KEEP_SIZE = 0x1
_PUNCH_HOLE = 0x2
_CHUNK = 16 << 20
_FLUSH_BYTES = 256 << 20
_ATTEMPTS = 5
_PAUSE = 0.1
_ROUNDS = 10
_TICK, _SECOND = 0.02, 2.1
"""Seconds within which two writes may have the same time of modification: by the kernel, on a coarse filesystem."""

LIVE_SECONDS = 30.0
"""How long an attached volume is copied at most where blocks cannot be shared: it may be frozen meanwhile."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def share_data(source: int, target: int) -> bool:
    """Make an empty file share the blocks of another until one of the two changes; False where that cannot be done.

    XFS, Btrfs and others can. It is one step: whoever writes to the source comes before or after it.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _CANNOT_CLONE:
            raise
        return False
    os.fsync(target)
    return True


def copy_data(source: int, target: int, *, until: float = math.inf, flush: Callable[[], None] = lambda: None) -> None:
    """Make a file hold what another of the same filesystem holds at one moment, flushed to disk; holes stay holes.

    ``flush`` has what was written to the source's device reach the source. A source that changes during the copy is
    copied again; ``Busy`` if it keeps changing, ``TimedOut`` once ``time.monotonic()`` has reached ``until``.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE)
            os.ftruncate(target, 0)
        flush()
        before = _settled(source, until)
        if before is None:
            continue
        complete = _copy_extents(source, target, before.st_size, until)
        after = _facts(source)
        if complete and (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
            os.fsync(target)
            return
    raise Busy("the volume is being written: freeze or detach it, or use a filesystem with reflinks (XFS, Btrfs)")


def _settled(file: int, until: float) -> os.stat_result | None:
    """What a file is, once every later write to it has a later time of modification; None if that takes too long.

    The kernel takes that time from a clock that ticks every few milliseconds, and some filesystems keep whole seconds.
    A write that had begun before and ends later is as it may be after a power failure: not confirmed to its writer.
    """
    for _ in range(_ROUNDS):
        facts = _facts(file)
        tick = _TICK if facts.st_mtime_ns % 10**9 else _SECOND
        age = (time.time_ns() - facts.st_mtime_ns) / 1e9
        if not 0 <= age < tick:
            return facts
        _refuse_late(until)
        time.sleep(tick - age)
    return None


def _facts(file: int) -> os.stat_result:
    """A network filesystem asks its server for a file that is opened, and may remember what one was that is open."""
    with opened(f"/proc/self/fd/{file}", os.O_RDONLY, follow=True) as again:
        return os.fstat(again)


def _copy_extents(source: int, target: int, size: int, until: float) -> bool:
    """Whether all of the source was copied: it may become shorter meanwhile."""
    os.ftruncate(target, size)
    unflushed = 0
    for start, end in _extents(source, size, os.SEEK_DATA, os.SEEK_HOLE):
        while start < end:
            _refuse_late(until)
            copied = os.copy_file_range(source, target, min(end - start, _CHUNK), start, start)
            if not copied:
                return False
            start += copied
            unflushed += copied
            if unflushed >= _FLUSH_BYTES:  # so that the last flush is short
                os.fdatasync(target)
                unflushed = 0
    return True


def _refuse_late(until: float) -> None:
    if time.monotonic() >= until:
        raise TimedOut(
            f"an attached volume is copied for {LIVE_SECONDS:g} s at most, as its users may be held up meanwhile: "
            "detach it, or put loop.root on a filesystem with reflinks (XFS, Btrfs)"
        )


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
