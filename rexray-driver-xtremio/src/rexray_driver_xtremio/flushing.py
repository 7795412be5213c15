"""Having what was written to a volume arrive at the array before its devices go, or knowing that it cannot any more.

Facts: Linux, block/fops.c: fsync(2) of a block device writes its own cache out and then has the disk write out its own
(a request, which waits where no path answers); each device has a cache of its own, also where two of them are paths to
one volume. sync_file_range(2) writes the cache out and reports errors in the same way, without that request, so that it
ends at once where nothing is to be written. Linux, drivers/scsi/sd.c: a disk that is offline cannot be opened (ENXIO).
include/scsi/sg.h: ``SG_IO``.
SPC-4 6.47, SAM-5 5.14: a LUN that the array does not map answers TEST UNIT READY with ILLEGAL REQUEST, LOGICAL UNIT NOT
SUPPORTED; it says UNIT ATTENTION once for each thing that happened before.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import fcntl
import functools
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from rexray.deadlines import within
from rexray.errors import Busy, TimedOut, Unavailable
from rexray_driver_xtremio.paths import Disk, Disks

log = logging.getLogger(__name__)

_BLKFLSBUF = 0x1261
_SG_IO = 0x2285
_NO_DATA = -1
_CHECK_CONDITION = 0x02
_UNIT_ATTENTION, _ILLEGAL_REQUEST, _NOT_SUPPORTED = 0x06, 0x05, 0x25
_TRIES = 8
_ASK_SECONDS = 5.0
_LEAST = 0.1
_WRITE_OUT = 1 | 2 | 4
"""SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE and _WAIT_AFTER."""


class Answer(enum.Enum):
    """What the array says when it is asked for a LUN by one path."""

    HERE = "here"
    GONE = "gone"
    NONE = "none"


def flush(disks: Disks, node: Path, paths: Sequence[Disk], until: float, *, is_elsewhere: bool = False) -> bool:
    """Have what was written to ``node``, a path's or that of the device over ``paths``, arrive at the array.

    Whether it has: not where the array itself says on every path that it does not map the volume any more, nor for a
    path that is offline while another one of the volume was flushed, which ``is_elsewhere`` says. ``TimedOut`` while it
    does not arrive, or may not have; ``Unavailable`` if the kernel gave up on some of it.
    """
    answers = {ask(disk, until) if disks.is_alive(disk) else Answer.NONE for disk in paths}
    if answers == {Answer.GONE}:
        log.warning("%s: the array does not map it to this host any more: what was not written is lost", node)
        return False
    action = f"flush {node}"
    try:
        within(_left(until), action, functools.partial(_flush, node, is_reached=Answer.HERE in answers))
    except OSError as error:
        if not disks.size(node.name):
            return False  # the device went meanwhile
        if error.errno != errno.ENXIO:
            raise Unavailable(
                f"cannot {action}: {error.strerror}: some of what was written to it last has not arrived; when that is "
                "of no use any more, disconnect again"
            ) from None
        if not is_elsewhere:
            raise TimedOut(
                f"cannot {action}: it is offline, and nothing says whether all that was written to it has arrived: see "
                "why its portals do not answer"
            ) from None
        return False
    return True


def ask(disk: Disk, until: float) -> Answer:
    """What the array says of the LUN by that path, if it says anything within a few seconds."""
    seconds = min(_left(until), _ASK_SECONDS)
    try:
        return within(seconds, f"ask {disk.node}", functools.partial(_ask, disk.node))
    except (OSError, TimedOut, Busy) as error:
        log.debug("no answer by %s: %s", disk.node, error)
        return Answer.NONE


class _Request(ctypes.Structure):
    """``struct sg_io_hdr``."""

    _fields_ = (
        ("interface_id", ctypes.c_int),
        ("dxfer_direction", ctypes.c_int),
        ("cmd_len", ctypes.c_ubyte),
        ("mx_sb_len", ctypes.c_ubyte),
        ("iovec_count", ctypes.c_ushort),
        ("dxfer_len", ctypes.c_uint),
        ("dxferp", ctypes.c_void_p),
        ("cmdp", ctypes.c_void_p),
        ("sbp", ctypes.c_void_p),
        ("timeout", ctypes.c_uint),
        ("flags", ctypes.c_uint),
        ("pack_id", ctypes.c_int),
        ("usr_ptr", ctypes.c_void_p),
        ("status", ctypes.c_ubyte),
        ("masked_status", ctypes.c_ubyte),
        ("msg_status", ctypes.c_ubyte),
        ("sb_len_wr", ctypes.c_ubyte),
        ("host_status", ctypes.c_ushort),
        ("driver_status", ctypes.c_ushort),
        ("resid", ctypes.c_int),
        ("duration", ctypes.c_uint),
        ("info", ctypes.c_uint),
    )


def _ask(node: Path) -> Answer:
    fd = os.open(node, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            status, key, code = _test_unit_ready(fd)
            if status == _CHECK_CONDITION and key == _UNIT_ATTENTION:
                continue
            if status == _CHECK_CONDITION and (key, code) == (_ILLEGAL_REQUEST, _NOT_SUPPORTED):
                return Answer.GONE
            return Answer.HERE if status == 0 else Answer.NONE
        return Answer.NONE
    finally:
        os.close(fd)


def _test_unit_ready(fd: int) -> tuple[int, int, int]:
    """The status, and the sense's key and code; the status is -1 where the target did not give one."""
    command, sense = ctypes.create_string_buffer(6), ctypes.create_string_buffer(32)
    request = _Request(
        interface_id=ord("S"),
        dxfer_direction=_NO_DATA,
        cmd_len=len(command),
        mx_sb_len=len(sense),
        cmdp=ctypes.addressof(command),
        sbp=ctypes.addressof(sense),
        timeout=int(_ASK_SECONDS * 1000),
    )
    fcntl.ioctl(fd, _SG_IO, request)
    if request.host_status:
        return -1, 0, 0
    said = sense.raw
    descriptors = said[0] & 0x7E == 0x72
    return request.status, said[1 if descriptors else 2] & 0x0F, said[2 if descriptors else 12]


def _flush(node: Path, *, is_reached: bool) -> None:
    fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if is_reached:
            os.fsync(fd)
        else:
            _write_out(fd)
        fcntl.ioctl(fd, _BLKFLSBUF)
    finally:
        os.close(fd)


def _write_out(fd: int) -> None:
    call = ctypes.CDLL(None, use_errno=True).sync_file_range
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    if call(fd, 0, 0, _WRITE_OUT) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _left(until: float) -> float:
    return max(until - time.monotonic(), _LEAST)
