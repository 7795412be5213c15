"""Mounting, binding and remounting by system call.

Facts: mount(2). An XFS filesystem refuses a UUID that is mounted already, as a clone's or
a snapshot's is, unless it gets ``nouuid``. Writing to a device node does not ask whether its mount is read-only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rexray import mounts
from rexray.errors import InUse, InvalidRequest, NotFound, RexrayError, Unsupported, WrongDevice
from rexray.mounts import Mount
from rexray_os_linux import blockdev, table
from rexray_os_linux.held import Held
from rexray_os_linux.options import (
    MS_BIND,
    MS_DIRSYNC,
    MS_I_VERSION,
    MS_LAZYTIME,
    MS_MANDLOCK,
    MS_RDONLY,
    MS_REMOUNT,
    MS_SYNCHRONOUS,
    MountOptions,
    flags_of,
)

_OF_THE_FILESYSTEM = MS_SYNCHRONOUS | MS_DIRSYNC | MS_MANDLOCK | MS_LAZYTIME | MS_I_VERSION
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def mount_device(held: Held, place: str, fs_type: str, options: MountOptions) -> Mount:
    """Mount a device that is held open, and prove afterwards that it is what is mounted; see :func:`mount`.

    ``WrongDevice`` if not, with the mount undone.
    """

    def check(mounted: Mount) -> None:
        if not table.is_same(mounted, str(held.node), held.number):
            raise WrongDevice(f"{table.describe(mounted)}, was mounted for {str(held.node)!r}; it was unmounted again")
        held.check()

    return mount(str(held.node), held.number, place, fs_type, options, check)


def mount(
    source: str,
    number: int | None,
    place: str,
    fs_type: str,
    options: MountOptions,
    check: Callable[[Mount], None] = lambda _: None,
) -> Mount:
    """Mount a source, whose device number is given if it is a block device, at a path that is made if missing.

    Mounted there already is success; ``InUse`` if it is something else, or writable where read-only is asked for.
    ``check`` is given the new mount, which is undone if it raises.
    """
    if there := already(place, source, number, options):
        return there
    data = options.data
    if fs_type == "xfs" and "nouuid" not in data:
        data = (*data, "nouuid")
    with made_directory(place):
        _mount(source, place, fs_type, options.flags, ",".join(data))
        made = table.need_top(place)
        try:
            check(made)
        except BaseException:
            mounts.unmount(place)
            raise
    return made


def already(place: str, source: str, number: int | None, options: MountOptions) -> Mount | None:
    """The mount of that source at that path, None if nothing is mounted there; ``InUse`` for anything else."""
    there = table.top(place)
    if there is None:
        return None
    if not table.is_same(there, source, number):
        raise InUse(f"cannot mount {source!r} at {place!r}: {table.describe(there)}, is mounted there")
    if there.read_only != options.read_only:
        raise InUse(
            f"{source!r} is mounted at {place!r} {'read-only' if there.read_only else 'writable'}, "
            f"not {'read-only' if options.read_only else 'writable'} as asked"
        )
    return there


def bind(source: str, place: str, options: tuple[str, ...]) -> None:
    """Make a directory, a file or a device node visible at the path as well, which is made if missing."""
    try:
        status = os.stat(source)
    except OSError as error:
        raise blockdev.failure(error, f"cannot bind {source!r} at {place!r}") from None
    mounts.parse_options(options)
    there = table.top(place)
    if there is not None and not mounts.is_bound(source, place):
        raise InUse(f"cannot bind {source!r} at {place!r}: {table.describe(there)}, is mounted there")
    make = made_directory if stat.S_ISDIR(status.st_mode) else _made_file
    with make(place):
        mounts.bind(source, place, options=options)


def remount(place: str, *, read_only: bool) -> None:
    """Change what is mounted at the path, and not its other mounts, unless the whole filesystem is read-only.

    ``InUse`` while files are open for writing.
    """
    there = table.need_top(place)
    if there.read_only == read_only:
        return
    flags = flags_of(there.options) & ~MS_RDONLY
    if read_only:
        _mount("", place, "", MS_REMOUNT | MS_BIND | flags | MS_RDONLY, "")
        return
    if "ro" in there.super_options:
        shared = flags_of(there.super_options) & _OF_THE_FILESYSTEM
        _mount("", place, "", MS_REMOUNT | flags | shared, "")
    _mount("", place, "", MS_REMOUNT | MS_BIND | flags, "")


@contextmanager
def made_directory(place: str) -> Iterator[None]:
    """The directory, made with mode 0755 if missing; gone again if the mount on it fails: nothing is written there."""
    if os.path.islink(place):
        raise InvalidRequest(f"mount point {place!r} is a symbolic link")
    made = not os.path.isdir(place)
    try:
        if made:
            os.makedirs(place, 0o755)
    except OSError as error:
        raise blockdev.failure(error, f"cannot make mount point {place!r}") from None
    try:
        yield
    except BaseException:
        if made:
            os.rmdir(place)
        raise


@contextmanager
def _made_file(place: str) -> Iterator[None]:
    if os.path.islink(place) or os.path.isdir(place):
        raise InvalidRequest(f"{place!r} is a directory or a symbolic link: a file is needed to bind this at")
    made = not os.path.exists(place)
    try:
        if made:
            os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise blockdev.failure(error, f"cannot make {place!r} to bind at") from None
    try:
        yield
    except BaseException:
        if made:
            os.unlink(place)
        raise


def _mount(source: str, place: str, fs_type: str, flags: int, data: str) -> None:
    words = [os.fsencode(text) if text else None for text in (source, place, fs_type, data)]
    if any(word and b"\0" in word for word in words):
        raise InvalidRequest(f"cannot mount {source!r} at {place!r}: NUL in a name")
    if _libc.mount(words[0], words[1], words[2], flags, words[3]) != 0:
        raise _error(ctypes.get_errno(), source, place, fs_type, flags)


def _error(code: int, source: str, place: str, fs_type: str, flags: int) -> RexrayError:
    if flags & MS_REMOUNT:
        action = f"cannot remount {place!r} {'read-only' if flags & MS_RDONLY else 'writable'}"
    else:
        action = f"cannot mount {source!r} at {place!r} as {fs_type}"
    match code:
        case errno.EBUSY if flags & MS_REMOUNT:
            return InUse(f"{action}: files are open for writing")
        case errno.EBUSY:
            return InUse(f"{action}: the device is held by something else, or mounted elsewhere in another mode")
        case errno.EINVAL:
            return RexrayError(f"{action}: wrong type, mount option or superblock; see the kernel log")
        case errno.ENODEV:
            return Unsupported(f"{action}: this kernel does not have {fs_type}")
        case errno.ENOENT:
            return NotFound(f"{action}: no such file or directory")
        case errno.EUCLEAN:
            return RexrayError(f"{action}: the filesystem is damaged; check it with fsck")
    return blockdev.failure(OSError(code, os.strerror(code)), action)
