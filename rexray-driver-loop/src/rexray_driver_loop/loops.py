"""Loop devices by system call.

Facts: loop(4), ``include/uapi/linux/loop.h``, ``drivers/block/loop.c`` of Linux 5.8 and later. Two of them decide what
is done here: any program may take the free device that another was told of, and ``LOOP_CLR_FD`` on a device that
somebody has open succeeds and only lets it go on the last close.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import stat
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rexray import faults, uses
from rexray.errors import Busy, InUse, WrongDevice
from rexray.mounts import mount_table
from rexray_driver_loop.files import opened
from rexray_driver_loop.viability import CONTROL

log = logging.getLogger(__name__)

_DEV = Path("/dev")
_SYSFS = Path("/sys/block")
_SYSFS_PAGE = 4096

_LOOP_CTL_ADD = 0x4C80
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CLR_FD = 0x4C01
_LOOP_SET_STATUS64 = 0x4C04
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_SET_CAPACITY = 0x4C07
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_READ_ONLY = 1
_LO_FLAGS_AUTOCLEAR = 4

_INFO = struct.Struct("=5Q4I64s64s32s2Q")
"""struct loop_info64: device, inode, rdevice, offset, size limit, number, 2 of encryption, flags, file name, ..."""
_CONFIG = struct.Struct(f"=2I{_INFO.size}s64x")
"""struct loop_config: file descriptor, block size (0: the kernel's choice), info."""

_TRIES = 200
_RELEASE_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A loop device and the file that it shows, by device and inode number."""

    device: Path
    file: tuple[int, int]
    whole: bool
    """Whether it shows all of the file."""
    read_only: bool
    autoclear: bool
    """Whether it ends with its last user."""


def bound() -> Iterator[tuple[Path, str]]:
    """The loop devices that show a file, with its path; no device is opened, so nothing is held up."""
    for name in os.listdir(_SYSFS):
        if name.startswith("loop"):
            with contextlib.suppress(OSError), opened(f"{_SYSFS}/{name}/loop/backing_file", os.O_RDONLY) as file:
                yield _DEV / name, os.fsdecode(os.read(file, _SYSFS_PAGE).rstrip(b"\n"))


def find(file: Path) -> Loop | None:
    """The loop device that shows a file, None without one; ``InUse`` if it does not show all of it."""
    try:
        facts = os.stat(file, follow_symlinks=False)
    except FileNotFoundError:
        return None
    ending = "/".join(file.parts[-2:])  # what is before that may look otherwise from another mount namespace
    for device, path in bound():
        if path.endswith(f"/{ending}"):
            loop = look(device)
            if loop is not None and loop.file == (facts.st_dev, facts.st_ino):
                if not loop.whole:
                    raise InUse(f"{device} shows a part of {file}, which is not REX-Ray's doing")
                return loop
    return None


def look(device: Path) -> Loop | None:
    """What a loop device shows, None if nothing."""
    try:
        with opened(device, os.O_RDONLY) as descriptor:
            return _status(device, descriptor)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT, errno.ENODEV):
            return None
        raise


def attach(file: Path, *, read_only: bool) -> Path:
    """Show a file by a free loop device; ``Busy`` if others take every one that is free.

    It does not end with its last user (``LO_FLAGS_AUTOCLEAR``): between connecting and mounting it has none.
    """
    access, flags = (os.O_RDONLY, _LO_FLAGS_READ_ONLY) if read_only else (os.O_RDWR, 0)
    with opened(file, access) as backing:
        info = _INFO.pack(*[0] * 8, flags, os.fsencode(file)[:63], b"", b"", 0, 0)
        for _ in range(_TRIES):
            try:
                device = _free_device()
                with opened(device, access) as descriptor:
                    fcntl.ioctl(descriptor, _LOOP_CONFIGURE, _CONFIG.pack(backing, 0, info))
            except OSError as error:
                if error.errno in (errno.EBUSY, errno.ENXIO, errno.ENOENT):  # somebody else was faster
                    continue
                raise
            faults.point("loop-connect-configured")
            return device
    raise Busy("every free loop device was taken by others: try again")


def detach(loop: Loop) -> None:
    """Let a loop device go and wait until it is gone; ``InUse`` if anybody has it mounted, bound, held or open."""
    try:
        with opened(loop.device, os.O_RDONLY | os.O_EXCL) as descriptor:
            now = _status(loop.device, descriptor)
            if now is None or now.file != loop.file:
                return
            refuse_bound(loop.device)
            with _unless(errno.ENXIO):
                fcntl.ioctl(descriptor, _LOOP_CLR_FD)
            faults.point("loop-disconnect-announced")
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return
        if error.errno == errno.EBUSY:
            raise InUse(f"{loop.device} is in use{_mounted_at(loop.device)}") from None
        raise
    if not _gone(loop):
        _keep(loop)
        raise InUse(f"{loop.device} is open in another program")


def refuse_bound(device: Path) -> None:
    """``InUse`` names the place where the device's node is bound."""
    if place := uses.binding(device):
        raise InUse(f"{device} is in use: it is bound at {place}")


def update_capacity(device: Path) -> None:
    """Have a loop device be as large as its file is by now."""
    with opened(device, os.O_RDONLY) as descriptor:
        fcntl.ioctl(descriptor, _LOOP_SET_CAPACITY)


def flush(device: Path) -> None:
    """Have everything that was written to a device reach its file and the disk below."""
    with opened(device, os.O_RDONLY) as descriptor:
        os.fsync(descriptor)


def keep(loop: Loop) -> None:
    """Have a loop device outlive its last user, if that was changed."""
    if loop.autoclear:
        _keep(loop)


def _gone(loop: Loop) -> bool:
    deadline = time.monotonic() + _RELEASE_SECONDS
    while True:
        now = look(loop.device)
        if now is None or now.file != loop.file:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)


def _keep(loop: Loop) -> None:
    """Take ``LO_FLAGS_AUTOCLEAR`` back, which a ``LOOP_CLR_FD`` that came too early has set."""
    with _unless(errno.ENXIO), opened(loop.device, os.O_RDONLY) as descriptor:
        fields = list(_INFO.unpack(fcntl.ioctl(descriptor, _LOOP_GET_STATUS64, bytes(_INFO.size))))
        if (fields[0], fields[1]) == loop.file:
            fields[8] &= ~_LO_FLAGS_AUTOCLEAR
            fcntl.ioctl(descriptor, _LOOP_SET_STATUS64, _INFO.pack(*fields))


def _status(device: Path, descriptor: int) -> Loop | None:
    try:
        fields = _INFO.unpack(fcntl.ioctl(descriptor, _LOOP_GET_STATUS64, bytes(_INFO.size)))
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None
    return Loop(
        device=device,
        file=(fields[0], fields[1]),
        whole=fields[3] == fields[4] == 0,
        read_only=bool(fields[8] & _LO_FLAGS_READ_ONLY),
        autoclear=bool(fields[8] & _LO_FLAGS_AUTOCLEAR),
    )


def _free_device() -> Path:
    """A device that shows nothing, and whose node is bound nowhere: an earlier volume's user would write to ours."""
    with opened(CONTROL, os.O_RDWR) as control:
        device = _node(fcntl.ioctl(control, _LOOP_CTL_GET_FREE))
        while place := uses.binding(device):
            log.warning("%s is left alone: an earlier device of that name is still bound at %s", device, place)
            device = _node(_next_number(control, int(device.name.removeprefix("loop"))))
    return device


def _next_number(control: int, number: int) -> int:
    """The first number after that one whose device shows nothing, made if it is missing."""
    while True:
        number += 1
        with contextlib.suppress(FileExistsError):
            fcntl.ioctl(control, _LOOP_CTL_ADD, number)
        if not (_SYSFS / f"loop{number}/loop/backing_file").exists():
            return number


def _node(number: int) -> Path:
    """The node of a loop device, which is made if it is missing."""
    device = _DEV / f"loop{number}"
    major, minor = map(int, (_SYSFS / device.name / "dev").read_text().split(":"))
    with contextlib.suppress(FileExistsError):  # where neither devtmpfs nor udev makes it
        os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(major, minor))
    if os.stat(device).st_rdev != os.makedev(major, minor):
        raise WrongDevice(f"{device} is not the device {major}:{minor} that the kernel calls so: remove it")
    return device


def _mounted_at(device: Path) -> str:
    number = os.stat(device).st_rdev
    name = f"{os.major(number)}:{os.minor(number)}"
    targets = [mount.target for mount in mount_table() if mount.device == name or mount.source == str(device)]
    return f": mounted at {targets[0]}" if targets else " by another program or mount namespace of this host"


@contextlib.contextmanager
def _unless(code: int) -> Iterator[None]:
    """Leave one error out: the device has let its file go by itself."""
    try:
        yield
    except OSError as error:
        if error.errno != code:
            raise
