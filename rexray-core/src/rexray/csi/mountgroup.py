"""CSI's VOLUME_MOUNT_GROUP: a mounted volume that belongs to a group of its users."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from rexray.errors import Forbidden, InvalidRequest, RexrayError


def give_to_group(root: Path, group: str) -> None:
    """Make a tree belong to the group, readable and writable for it, and new files inherit it.

    A tree whose root is so already is left as it is: the root is changed last. Symbolic links are not followed,
    and files that others delete meanwhile are not missed. Asked for by CSI's VOLUME_MOUNT_GROUP.
    """
    if not (group.isascii() and group.isdigit()) or int(group) > 2**32 - 2:
        raise InvalidRequest(f"volume_mount_group {group!r} is not the number of a group")
    gid = int(group)
    facts = os.stat(root)
    if facts.st_gid == gid and stat.S_IMODE(facts.st_mode) & 0o2070 == 0o2070:
        return
    try:
        for _, _, files, descriptor in os.fwalk(root, topdown=False, follow_symlinks=False):
            for file in files:
                with contextlib.suppress(FileNotFoundError):
                    _give(file, gid, descriptor)
            os.fchown(descriptor, -1, gid)
            os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | 0o2070)
    except PermissionError as error:
        raise Forbidden(f"volume_mount_group {gid}: {error.filename or root}: {error.strerror}") from None
    except RecursionError:
        raise RexrayError(f"volume_mount_group {gid}: the directories of {root} are nested too deeply") from None


def _give(file: str, gid: int, folder: int) -> None:
    """Through a descriptor, so that what is changed is what was looked at, whatever takes its name meanwhile."""
    descriptor = os.open(file, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if stat.S_ISLNK(os.fstat(descriptor).st_mode):
            os.chown(file, -1, gid, dir_fd=folder, follow_symlinks=False)
            return
        path = f"/proc/self/fd/{descriptor}"
        os.chown(path, -1, gid)
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        os.chmod(path, mode | 0o060 | (0o010 if mode & 0o100 else 0))
    finally:
        os.close(descriptor)
