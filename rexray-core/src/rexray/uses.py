"""Who on this host uses a block device: by mounts, by devices above it, by binds of its node, by opening it.

Facts: proc_pid_mountinfo(5), proc_pid_fd(5), open(2), ``holders`` in Documentation/ABI/stable/sysfs-block. A bind of a
device node, as of a raw block volume in a pod, is a mount of devtmpfs, or of whatever ``/dev`` is, whose root is the
node. The device does not know of it: while nobody has it open it can be released, and what is bound would then be the
next device of that number. A node that a container made for itself is no mount and cannot be seen.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

from rexray.mounts import Mount, mount_table

_SYS = Path("/sys")
_HOLD_NODES = ("devtmpfs", "tmpfs", "ramfs")
"""Filesystems that hold device nodes, and that a stat(2) of never hangs on."""


def binding(device: Path) -> str:
    """Where the device's node is bound, as ``/path`` or ``/path of pid N (command)``; empty if nowhere.

    Every mount namespace of this host that shows in ``/proc`` is read, each of them once.
    """
    number = os.stat(device).st_rdev
    is_it = _node_test(device, number)
    for pid, mounts in _namespaces():
        for mount in mounts:
            if is_it(mount) or _shows(mount, pid, number):
                return mount.target if pid == "self" else f"{mount.target} of pid {pid} ({_command(pid)})"
    return ""


def user(device: Path, *, sys: Path = _SYS) -> str:
    """Who uses the device, as ``mounted at /x`` or ``held by dm-0``; empty if nobody does, or it is not there.

    ``sys`` is where sysfs is. Who merely has it open, as udev often has for a moment, does not count: see
    :func:`opener`. Nothing is read of the device, but it is opened and closed, and what programs wrote to its node may
    be written out then: that takes as long as the device takes.
    """
    try:
        status = os.stat(device)
    except OSError:
        return ""
    if not stat.S_ISBLK(status.st_mode):
        return ""
    disk = Path(os.path.realpath(sys / "dev/block" / _number(status.st_rdev)))
    parts = [disk, *(path.parent for path in disk.glob("*/partition"))]
    numbers = {_number(status.st_rdev), *filter(None, (_read(part / "dev") for part in parts))}
    names = {str(device), os.path.realpath(device)}
    for mount in mount_table():
        if mount.device in numbers or mount.source in names:
            return f"mounted at {mount.target}"
    if held := [name for part in parts if (part / "holders").is_dir() for name in os.listdir(part / "holders")]:
        return f"held by {min(held)}"
    if place := binding(device):
        return f"bound at {place}"
    return "in use by another program or mount namespace of this host" if _is_claimed(device) else ""


def opener(device: Path, *, beside: Collection[int] = ()) -> str:
    """A program that has the device open, as ``pid N (command)``; empty where none shows in ``/proc``.

    ``beside`` are processes that do not count.
    """
    number = os.stat(device).st_rdev
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) in beside:
            continue
        with suppress(OSError):  # the process ended, or is not ours to look into
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                if _is_of(f"/proc/{pid}/fd/{descriptor}", number):
                    return f"pid {pid} ({_command(pid)})"
    return ""


def _is_of(link: str, number: int) -> bool:
    """Whether an open file is the block device of that number.

    What is not below ``/dev`` is left alone: a stat(2) of a file on a dead server hangs.
    """
    with suppress(OSError):
        if os.readlink(link).startswith("/dev/"):
            status = os.stat(link)
            return stat.S_ISBLK(status.st_mode) and status.st_rdev == number
    return False


def _is_claimed(device: Path) -> bool:
    """Whether somebody has the device for themselves (open(2), ``O_EXCL``), as mounts in any namespace have."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"


def _node_test(device: Path, number: int) -> Callable[[Mount], bool]:
    """Whether a mount is of the very node, told from the mount table alone."""
    real = os.path.realpath(device)
    home = _number(os.stat(real).st_dev)
    roots = {_root(real, home)}
    kernel_name = _kernel_name(number)

    def is_it(mount: Mount) -> bool:
        return (mount.device == home and mount.root in roots) or (
            mount.fs_type == "devtmpfs" and mount.root == f"/{kernel_name}"
        )

    return is_it


def _kernel_name(number: int) -> str:
    return os.path.basename(os.path.realpath(_SYS / "dev/block" / _number(number)))


def _root(real: str, home: str) -> str:
    """The path as the root of a bind of it is written: within its filesystem."""
    around = [m for m in mount_table() if m.device == home and real.startswith(m.target.rstrip("/") + "/")]
    if not around:
        return real
    nearest = max(around, key=lambda mount: len(mount.target))
    return nearest.root.rstrip("/") + real[len(nearest.target.rstrip("/")) :]


def _shows(mount: Mount, pid: str, number: int) -> bool:
    """Whether a mount is of another node of the same device."""
    if mount.root == "/" or mount.fs_type not in _HOLD_NODES:
        return False
    with suppress(OSError):
        status = os.stat(f"/proc/{pid}/root{mount.target}")
        return stat.S_ISBLK(status.st_mode) and status.st_rdev == number
    return False


def _namespaces() -> Iterator[tuple[str, list[Mount]]]:
    """Every mount namespace by a process in it, this one's first, with its mounts."""
    yield "self", list(mount_table())
    seen = {os.readlink("/proc/self/ns/mnt")}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # the process ended, or is not ours to look into
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
            if namespace not in seen:
                mounts = list(mount_table(pid))
                seen.add(namespace)
                yield pid, mounts


def _command(pid: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "gone by now"
