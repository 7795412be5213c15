"""An opened block device: its size, whether it is in use, its first and last MiB.

Facts: ioctl BLKGETSIZE64 (linux/fs.h); open(2) of a block device with O_EXCL fails with EBUSY while a mount, a
partition, device mapper, md or swap holds it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

from rexray.errors import Forbidden, InUse, InvalidRequest, NotFound, NotReady, RexrayError, Unavailable
from rexray.mounts import Mount, mount_table

MIB = 1 << 20
_BLKGETSIZE64 = 0x80081272


def number(node: Path) -> int:
    """The device number of a node; ``NotFound`` without it, ``InvalidRequest`` if it is no block device."""
    try:
        status = os.stat(node)
    except OSError as error:
        raise failure(error, f"device {str(node)!r}") from None
    if not stat.S_ISBLK(status.st_mode):
        raise InvalidRequest(f"{str(node)!r} is not a block device")
    return status.st_rdev


def name_of(device_number: int) -> str:
    """``major:minor``, as mountinfo and sysfs write it."""
    return f"{os.major(device_number)}:{os.minor(device_number)}"


def open_device(node: Path, flags: int = os.O_RDONLY) -> int:
    """A file descriptor of the device; ``InUse`` says who holds one that is opened with O_EXCL."""
    try:
        return os.open(node, flags | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise InUse(f"device {str(node)!r} is in use: {_user(node)}") from None
        raise failure(error, f"cannot open device {str(node)!r}") from None


def is_shown_by(mount: Mount, device_number: int) -> bool:
    """Whether the mount shows the filesystem on that device; btrfs invents device numbers but names its device."""
    if mount.device == name_of(device_number):
        return True
    if not mount.device.startswith("0:") or not mount.source.startswith("/dev/"):
        return False
    try:
        return os.stat(mount.source).st_rdev == device_number
    except OSError:
        return False


def check_unused(node: Path) -> None:
    """``InUse`` if the device is mounted or otherwise held."""
    if target := _mounted_at(node):
        raise InUse(f"device {str(node)!r} is in use: it is mounted at {target!r}")
    os.close(open_device(node, os.O_RDONLY | os.O_EXCL))


def _mounted_at(node: Path) -> str:
    wanted = number(node)
    return next((mount.target for mount in mount_table() if is_shown_by(mount, wanted)), "")


def _user(node: Path) -> str:
    if target := _mounted_at(node):
        return f"it is mounted at {target!r}"
    holders = Path(f"/sys/dev/block/{name_of(number(node))}/holders")
    names = sorted(os.listdir(holders)) if holders.is_dir() else []
    return f"{', '.join(names)} is made of it" if names else "the kernel holds it, for swap or a mount elsewhere"


def size(fd: int) -> int:
    """The size of the opened device in bytes."""
    answer = fcntl.ioctl(fd, _BLKGETSIZE64, bytes(8))
    return int(struct.unpack("=Q", answer)[0])


def size_of(node: Path) -> int:
    """The size of a device in bytes."""
    fd = open_device(node)
    try:
        return size(fd)
    finally:
        os.close(fd)


def ends(length: int) -> list[tuple[int, int]]:
    """The first and the last MiB of a device of that length, as offset and length; all of a small one."""
    if length < 2 * MIB:
        return [(0, length)]
    return [(0, MIB), (length - MIB, MIB)]


def ends_are_zero(node: Path) -> bool:
    """Whether the first and the last MiB hold nothing but zeros; ``Unavailable`` if they cannot be read in full."""
    fd = open_device(node)
    try:
        length = size(fd)
        if length == 0:
            raise NotReady(f"device {str(node)!r} has a size of 0 bytes")
        return all(_read(fd, node, offset, count) == bytes(count) for offset, count in ends(length))
    finally:
        os.close(fd)


def _read(fd: int, node: Path, offset: int, count: int) -> bytes:
    content = b""
    while len(content) < count:
        try:
            part = os.pread(fd, count - len(content), offset + len(content))
        except OSError as error:
            raise Unavailable(
                f"cannot read device {str(node)!r} at byte {offset + len(content)}: {error.strerror}; "
                "what it holds is unknown and nothing was done to it"
            ) from None
        if not part:
            raise Unavailable(f"device {str(node)!r} ends at byte {offset + len(content)}, before its size says so")
        content += part
    return content


def zero_ends(node: Path) -> None:
    """Overwrite the first and the last MiB with zeros, on the device when it returns."""
    fd = open_device(node, os.O_WRONLY | os.O_EXCL)
    try:
        for offset, count in ends(size(fd)):
            written = 0
            while written < count:
                written += os.pwrite(fd, bytes(count - written), offset + written)
        os.fsync(fd)
    except OSError as error:
        raise failure(error, f"cannot write to device {str(node)!r}") from None
    finally:
        os.close(fd)


def failure(error: OSError, action: str) -> RexrayError:
    """The error that a failed system call on a device or a path becomes."""
    message = f"{action}: {error.strerror}"
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return NotFound(message)
        case errno.EPERM | errno.EACCES:
            return Forbidden(f"{message}: this needs root")
        case errno.EROFS:
            return Forbidden(message)
        case errno.EBUSY:
            return InUse(message)
        case errno.EIO | errno.ENXIO | errno.ENODEV | errno.ENOMEDIUM | errno.EREMOTEIO | errno.ESTALE | errno.ENOTCONN:
            return Unavailable(message)
    return RexrayError(message)
