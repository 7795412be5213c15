"""Questions to the kernel's mount table; none of them touches a mounted filesystem, which may hang."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rexray.errors import InvalidRequest, NotReady
from rexray.mounts import Mount, mount_table
from rexray.types import MountPoint
from rexray_os_linux import blockdev


def canonical(target: Path) -> str:
    """The path as the mount table writes it: the parent's links resolved, the last component as it is.

    The target itself is not looked at: it may be a hung mount. Its parent is, so this belongs behind a deadline.
    """
    text = str(target)
    if not target.is_absolute() or "\0" in text or target.name in ("", ".."):
        raise InvalidRequest(f"mount point {text!r} is not an absolute path below /")
    return os.path.join(os.path.realpath(target.parent), target.name)


def stacked(place: str) -> list[Mount]:
    """The mounts at exactly that path, the one on top last."""
    found = [mount for mount in mount_table() if mount.target == place]
    covered = {mount.parent for mount in found}
    return sorted(found, key=lambda mount: mount.id not in covered)


def top(place: str) -> Mount | None:
    """The mount that shows at the path, None without one."""
    found = stacked(place)
    return found[-1] if found else None


def need_top(place: str) -> Mount:
    """The mount that shows at the path; ``NotReady`` without one."""
    mount = top(place)
    if mount is None:
        raise NotReady(f"nothing is mounted at {place!r}")
    return mount


def of_source(source: str) -> list[Mount]:
    """The mounts of a device by whatever name, of a directory (bind mounts), or of an export as it was written."""
    mounts = list(mount_table())
    try:
        status = os.stat(source) if source.startswith("/") else None
    except OSError:
        status = None
    if status is None:
        return [mount for mount in mounts if mount.source == source]
    if stat.S_ISBLK(status.st_mode):
        return [mount for mount in mounts if blockdev.is_shown_by(mount, status.st_rdev)]
    real = os.path.realpath(source)
    device, root = _place_in_filesystem(real, mounts)
    return [mount for mount in mounts if (mount.device, mount.root) == (device, root) and mount.target != real]


def _place_in_filesystem(real: str, mounts: list[Mount]) -> tuple[str, str]:
    """The path as the device and root columns of a bind mount of it say it."""
    around = [mount for mount in mounts if _is_below(real, mount.target)]
    if not around:
        return "", ""
    deepest = max(len(mount.target) for mount in around)
    home = [mount for mount in around if len(mount.target) == deepest][-1]
    inside = real[len(home.target.rstrip("/")) :].lstrip("/")
    return home.device, os.path.join(home.root, inside).rstrip("/") or "/"


def _is_below(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def below(place: str) -> list[str]:
    """The mount points inside of what is mounted at the path."""
    return [mount.target for mount in mount_table() if mount.target != place and _is_below(mount.target, place)]


def mount_point(mount: Mount) -> MountPoint:
    """A line of the table in the contract's words: the mount's own options, then the filesystem's."""
    words = [word for word in (*mount.options, *mount.super_options) if word not in ("ro", "rw")]
    options = ("ro" if mount.read_only else "rw", *dict.fromkeys(words))
    return MountPoint(
        path=Path(mount.target),
        source=mount.source,
        fs_type=mount.fs_type,
        read_only=mount.read_only,
        options=options,
        propagation=mount.propagation,
    )


def describe(mount: Mount) -> str:
    """What is mounted, in words for an error message."""
    inside = f" (its directory {mount.root!r})" if mount.root != "/" else ""
    return f"{mount.source!r}{inside}, {mount.fs_type}, {'read-only' if mount.read_only else 'writable'}"


def is_same(mount: Mount, source: str, number: int | None) -> bool:
    """Whether the mount is of that whole source, ``number`` being the device number if it is a block device."""
    if number is None:
        return mount.source == source
    whole = mount.root == "/" or mount.device.startswith("0:")
    return whole and blockdev.is_shown_by(mount, number)
