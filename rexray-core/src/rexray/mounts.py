"""The kernel's mount table, and bind mounts through the mount system call.

Facts: mount(2), umount2(2), proc_pid_mountinfo(5), statx(2). A read-only bind takes two calls: the kernel ignores every
flag but ``MS_REC`` when it makes a bind mount.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rexray.errors import Forbidden, InUse, InvalidRequest, NotFound, RexrayError, Unsupported

_MS_REMOUNT = 0x20
_MS_BIND = 0x1000
_UMOUNT_NOFOLLOW = 0x8
_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_NO_AUTOMOUNT = 0x800
_AT_STATX_DONT_SYNC = 0x4000
_STATX_SIZE = 256
_STATX_ATTRIBUTES = (8, 56)
"""Where in struct statx the attributes are, and which of them the kernel knows."""
_STATX_ATTR_MOUNT_ROOT = 0x2000

MOUNT_FLAGS: dict[str, int] = {
    "ro": 0x1,
    "rw": 0,
    "nosuid": 0x2,
    "nodev": 0x4,
    "noexec": 0x8,
    "noatime": 0x400,
    "nodiratime": 0x800,
    "relatime": 0x200000,
    "strictatime": 0x1000000,
}
"""The per-mount options that a bind mount can have, by the names that mount(8) gives them."""

_STATVFS_FLAGS = {"ro": os.ST_RDONLY, "nosuid": os.ST_NOSUID, "nodev": os.ST_NODEV, "noexec": os.ST_NOEXEC}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of mountinfo; ``root`` is the directory of the filesystem that is mounted at ``target``.

    ``options`` are those of this mount, ``super_options`` those that all mounts of the filesystem share.
    """

    id: int
    parent: int
    device: str
    root: str
    target: str
    options: tuple[str, ...]
    propagation: str
    """``private``, ``shared``, ``slave``, ``shared,slave`` or ``unbindable``."""
    fs_type: str
    source: str
    super_options: tuple[str, ...]

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written through this mount, be it for the mount's sake or the filesystem's."""
        return "ro" in self.options or "ro" in self.super_options


def mount_table(pid: str = "self") -> Iterator[Mount]:
    """The mounts that a process sees, in the kernel's order; ``FileNotFoundError`` if the process is gone."""
    with open(f"/proc/{pid}/mountinfo", "rb") as table:
        for line in table:
            yield _parse(os.fsdecode(line.rstrip(b"\n")))


@functools.lru_cache(maxsize=4096)
def _parse(line: str) -> Mount:
    fields = line.split(" ")
    separator = fields.index("-", 6)
    return Mount(
        id=int(fields[0]),
        parent=int(fields[1]),
        device=fields[2],
        root=_unescape(fields[3]),
        target=_unescape(fields[4]),
        options=_options(fields[5]),
        propagation=_propagation(fields[6:separator]),
        fs_type=_unescape(fields[separator + 1]),
        source=_unescape(fields[separator + 2]),
        super_options=_options(fields[separator + 3]),
    )


def _options(text: str) -> tuple[str, ...]:
    return tuple(_unescape(option) for option in split_options(text))


def _propagation(fields: list[str]) -> str:
    """Mountinfo's optional fields in a word; ``propagate_from`` only refines ``master``, unknown ones are skipped."""
    tags = {field.partition(":")[0] for field in fields}
    if "unbindable" in tags:
        return "unbindable"
    words = [word for tag, word in (("shared", "shared"), ("master", "slave")) if tag in tags]
    return ",".join(words) or "private"


def split_options(text: str) -> list[str]:
    """The options of a list as mount(8) writes it: commas part them, except between double quotes."""
    parts = re.findall(r'(?:"[^"]*"|[^,])+', text)
    return [part for part in parts if part]


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def is_bound(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> bool:
    """Whether the target shows the very directory or file that the source is.

    A bind mount has its source's device and inode numbers, a mount point without its mount has others; this
    takes two system calls where reading the mount table takes one line a mount.
    """
    try:
        return os.path.samestat(os.stat(source), os.lstat(target))
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_mount_point(path: str | os.PathLike[str]) -> bool:
    """Whether something is mounted at exactly that path, be it a bind mount within one filesystem.

    statx(2) tells since Linux 5.8, from what the kernel has in memory: a hung filesystem does not hang this.
    """
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    flags = _AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT | _AT_STATX_DONT_SYNC
    if _libc.statx(_AT_FDCWD, os.fsencode(path), flags, 0, buffer) != 0:
        code = ctypes.get_errno()
        if code in (errno.ENOENT, errno.ENOTDIR):
            return False
        raise OSError(code, os.strerror(code), os.fspath(path))
    attributes, known = (int.from_bytes(buffer.raw[at : at + 8], sys.byteorder) for at in _STATX_ATTRIBUTES)
    if not known & _STATX_ATTR_MOUNT_ROOT:
        raise Unsupported("this kernel does not tell mount points by statx(2): Linux 5.8 or later is needed")
    return bool(attributes & _STATX_ATTR_MOUNT_ROOT)


def is_read_only(path: str | os.PathLike[str]) -> bool:
    """Whether the mount that the path is on is read-only."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def parse_options(options: tuple[str, ...] | list[str]) -> int:
    """The kernel's flags for options as mount(8) spells them, ``InvalidRequest`` for one that a bind cannot have."""
    flags = 0
    for option in (part for text in options for part in text.split(",") if part):
        if option not in MOUNT_FLAGS:
            raise InvalidRequest(
                f"mount option {option!r} does not apply to a bind mount; it can have {', '.join(MOUNT_FLAGS)}"
            )
        flags |= MOUNT_FLAGS[option]
    return flags


def bind(source: str | os.PathLike[str], target: str | os.PathLike[str], *, options: tuple[str, ...] = ()) -> None:
    """Make the source visible at the target, which exists and is of the same kind.

    Bound there already is success, also if the options differ: then they are changed. When the second of the two
    system calls fails the first is undone. Raises ``NotFound``, ``Forbidden``, ``InUse`` and ``InvalidRequest``.
    """
    flags = parse_options(options)
    was_bound = is_bound(source, target)
    if not was_bound:
        _mount(source, target, _MS_BIND)
    if not _flags_are(target, options):
        try:
            _mount(source, target, _MS_BIND | _MS_REMOUNT | flags)
        except RexrayError:
            if not was_bound:
                unmount(target)
            raise


def _flags_are(target: str | os.PathLike[str], options: tuple[str, ...]) -> bool:
    """Whether a remount would change nothing; only the flags that statvfs(2) shows can tell."""
    wanted = {part for text in options for part in text.split(",") if part}
    if wanted - _STATVFS_FLAGS.keys() - {"rw"}:
        return False
    now = os.statvfs(target).f_flag
    return all(bool(now & bit) == (name in wanted) for name, bit in _STATVFS_FLAGS.items())


def unmount(target: str | os.PathLike[str]) -> None:
    """Unmount what is on top of the target; nothing mounted there, or no such path, is success.

    Raises ``InUse`` while a process works in it, ``Forbidden`` without the right to unmount: be it that the mount was
    inherited from a more privileged mount namespace and is locked, of which umount2(2) says EINVAL as well.
    """
    if _libc.umount2(os.fsencode(target), _UMOUNT_NOFOLLOW) == 0:
        return
    code = ctypes.get_errno()
    if code == errno.EINVAL and is_mount_point(target):
        raise Forbidden(f"cannot unmount {os.fspath(target)!r}: the mount is locked in this mount namespace")
    if code not in (errno.EINVAL, errno.ENOENT):
        raise _error(code, f"cannot unmount {os.fspath(target)!r}")


def _mount(source: str | os.PathLike[str], target: str | os.PathLike[str], flags: int) -> None:
    if _libc.mount(os.fsencode(source), os.fsencode(target), None, flags, None) != 0:
        raise _error(ctypes.get_errno(), f"cannot bind {os.fspath(source)!r} at {os.fspath(target)!r}")


def _error(code: int, action: str) -> RexrayError:
    if code == errno.EPERM:
        return Forbidden(f"{action}: mounting needs root (CAP_SYS_ADMIN)")
    if code == errno.EBUSY:
        return InUse(f"{action}: it is busy; a process works in it or it holds another mount")
    if code in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(f"{action}: {os.strerror(code)}")
    return RexrayError(f"{action}: {os.strerror(code)}")


def holders_elsewhere(path: Path) -> str | None:
    """A process whose own mount namespace still has the directory mounted, as ``pid N (command)``, or None.

    Containers bind a volume into a mount namespace of their own, where it outlives the unmount of this host's
    mount point. Each namespace is read once.
    """
    try:
        wanted = os.stat(path)
    except FileNotFoundError:
        return None
    device = f"{os.major(wanted.st_dev)}:{os.minor(wanted.st_dev)}"
    root = _root_within_filesystem(path, device)
    seen = {_namespace("self")}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        namespace = _namespace(pid)
        if namespace is None or namespace in seen:
            continue
        seen.add(namespace)
        try:
            if any(mount.device == device and mount.root == root for mount in mount_table(pid)):
                command = Path(f"/proc/{pid}/comm").read_text().strip()
                return f"pid {pid} ({command})"
        except OSError:
            continue  # the process ended, or is not ours to look into
    return None


def _namespace(pid: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return None


def _root_within_filesystem(path: Path, device: str) -> str:
    """The path as mountinfo's ``root`` column of a bind of it would say it."""
    real = os.path.realpath(path)
    best: Mount | None = None
    for mount in mount_table():
        below = real == mount.target or real.startswith(mount.target.rstrip("/") + "/")
        if mount.device == device and below and (best is None or len(mount.target) >= len(best.target)):
            best = mount
    if best is None:
        return real
    rest = real[len(best.target.rstrip("/")) :]
    return (best.root.rstrip("/") + rest) or "/"
