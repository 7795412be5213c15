"""Where a device's node is bound: as a raw block volume in a pod, or in a mount namespace of a container's.

Facts: proc_pid_mountinfo(5). A bind of a device node is a mount of devtmpfs, or of whatever ``/dev`` is, whose root is
the node. The device does not know of it: while nobody has it open it can be released, and what is bound would then be
the next device of that number. A node that a container made for itself is no mount and cannot be seen.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from rexray.mounts import Mount, mount_table

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


def _node_test(device: Path, number: int) -> Callable[[Mount], bool]:
    """Whether a mount is of the very node, told from the mount table alone."""
    real = os.path.realpath(device)
    home = f"{os.major(os.stat(real).st_dev)}:{os.minor(os.stat(real).st_dev)}"
    roots = {_root(real, home)}
    kernel_name = _kernel_name(number)

    def is_it(mount: Mount) -> bool:
        return (mount.device == home and mount.root in roots) or (
            mount.fs_type == "devtmpfs" and mount.root == f"/{kernel_name}"
        )

    return is_it


def _kernel_name(number: int) -> str:
    return os.path.basename(os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}"))


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
