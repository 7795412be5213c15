"""Bind mounts at paths that orchestrators name, and the directories that are made and removed for them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rexray import mounts
from rexray.errors import Forbidden, InUse, InvalidRequest
from rexray_driver_csi_vfs.requests import required

_LONGEST_PATH = 4095
_LONGEST_PART = 255


def outside_path(path: str, field: str, roots: Sequence[str]) -> str:
    """The path without needless slashes; ``InvalidRequest`` unless it is absolute and has nothing to do with ours.

    A mount at, in or above one of our own directories (``roots``, resolved) would hide or pass for a volume.
    """
    required(path, field)
    parts = path.split("/")
    if parts[0] or ".." in parts or "\0" in path:
        raise InvalidRequest(f"{field} {path!r} is not an absolute path without '..'")
    if len(os.fsencode(path)) > _LONGEST_PATH or any(len(os.fsencode(part)) > _LONGEST_PART for part in parts):
        raise InvalidRequest(f"{field} is longer than a path can be")
    normal = "/" + "/".join(part for part in parts if part not in ("", "."))
    folder, name = os.path.split(normal)
    real = os.path.join(os.path.realpath(folder), name).rstrip("/")
    if any(f"{real}/".startswith(f"{root}/") or f"{root}/".startswith(f"{real}/") for root in roots):
        raise InvalidRequest(f"{field} {path!r} overlaps with csi-vfs's own directories")
    return normal


def show(source: Path, origin: str | Path, target: str | Path, options: tuple[str, ...]) -> None:
    """Bind the origin, where the source is visible already, at the target; what was made is undone on failure."""
    if mounts.is_mount_point(target) and not mounts.is_bound(source, target):
        raise InUse(f"{target} has something else mounted at it: unmount that first")
    made = _make_directory(target)
    try:
        mounts.bind(origin, target, options=options)
    except BaseException:
        if made:
            remove_empty(target)
        raise


def is_shown(source: Path, target: str | Path) -> bool:
    """Whether a mount of the source is on top at the target, which is not the source itself."""
    return mounts.is_mount_point(target) and mounts.is_bound(source, target)


def _make_directory(path: str | Path) -> bool:
    """Make a directory; whether it was missing."""
    try:
        os.mkdir(path, 0o750)
    except FileExistsError:
        if os.path.islink(path) or not os.path.isdir(path):
            raise InvalidRequest(f"{path} exists and is not a directory") from None
        return False
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidRequest(f"{path}: its parent directory does not exist: the orchestrator makes that") from None
    except PermissionError as error:
        raise Forbidden(f"{path}: cannot be made: {error.strerror}") from None
    return True


def remove_empty(path: str | Path) -> None:
    """Remove an empty directory; what has something in it is not ours to delete."""
    try:
        os.rmdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise InUse(f"{path} is not mounted and cannot be removed: {error.strerror}") from None
