"""Giving a volume's content to a group, as CSI's VOLUME_MOUNT_GROUP asks."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rexray.errors import Forbidden, InvalidRequest


def give_to_group(root: Path, group: str) -> None:
    """Make a tree belong to the group, readable and writable for it, and new files inherit it.

    A tree whose root is so already is left as it is. Symbolic links are not followed.
    """
    if not group.isdigit() or int(group) > 2**32 - 2:
        raise InvalidRequest(f"volume_mount_group {group!r} is not the number of a group")
    gid = int(group)
    facts = os.stat(root)
    if facts.st_gid == gid and stat.S_IMODE(facts.st_mode) & 0o2070 == 0o2070:
        return
    try:
        for _, _, files, descriptor in os.fwalk(root, topdown=False, follow_symlinks=False):
            for file in files:
                _give(file, gid, descriptor)
            _give_folder(descriptor, gid)
    except PermissionError as error:
        raise Forbidden(f"volume_mount_group {gid}: {error.filename or root}: {error.strerror}") from None


def _give(file: str, gid: int, folder: int) -> None:
    os.chown(file, -1, gid, dir_fd=folder, follow_symlinks=False)
    facts = os.stat(file, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISLNK(facts.st_mode):
        execute = 0o010 if facts.st_mode & 0o100 else 0
        os.chmod(file, stat.S_IMODE(facts.st_mode) | 0o060 | execute, dir_fd=folder)


def _give_folder(descriptor: int, gid: int) -> None:
    os.fchown(descriptor, -1, gid)
    os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | 0o2070)
