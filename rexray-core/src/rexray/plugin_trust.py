"""Whether somebody else could decide what a file holds that is about to be run."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40
"""As many symbolic links as Linux follows in one path (path_resolution(7))."""


def refusal(path: Path) -> str:
    """Why a file must not be run, and what to do about it; empty where only this user and root could change it.

    The folder that it is listed in, and the file, must not be writable by anybody else, nor may any directory on the
    way, but for those with the sticky bit, in which nobody can replace what belongs to another. Symbolic links on the
    way are followed, and what they lead through is looked at too.
    """
    try:
        return _wrong_on_the_way(path.parent, strict=True) or _wrong_on_the_way(path) or _wrong_kind(path)
    except OSError as error:
        return f"{error.filename or path}: {error.strerror}"


def wrong(path: Path, state: os.stat_result, *, strict: bool) -> str:
    """Why one file or directory is not ours alone; a ``strict`` directory may not even have the sticky bit."""
    if state.st_uid not in (0, os.geteuid()):
        me = os.geteuid()
        return f"{path} belongs to the user {state.st_uid}, neither to this one ({me}) nor to root: chown {me} {path}"
    if stat.S_ISLNK(state.st_mode) or not state.st_mode & _OTHERS:
        return ""
    if stat.S_ISDIR(state.st_mode) and state.st_mode & stat.S_ISVTX and not strict:
        return ""
    return f"{path} can be written by others: chmod go-w {path}"


def _wrong_on_the_way(path: Path, *, strict: bool = False) -> str:
    steps = list(_steps(path))
    last = len(steps) - 1
    found = (wrong(step, state, strict=strict and at == last) for at, (step, state) in enumerate(steps))
    return next(filter(None, found), "")


def _wrong_kind(path: Path) -> str:
    return "" if stat.S_ISREG(path.stat().st_mode) else f"{path} is not a file"


def _steps(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything that the kernel passes on its way to a path: directories, links, and the end itself."""
    here, left, links = Path("/"), deque(path.absolute().parts[1:]), 0
    yield here, os.lstat(here)
    while left:
        part = left.popleft()
        if part == "..":
            here = here.parent  # it was passed before
            continue
        step = here / part
        state = os.lstat(step)
        yield step, state
        if not stat.S_ISLNK(state.st_mode):
            here = step
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(0, "too many symbolic links", str(path))
        target = Path(os.readlink(step))
        here = Path("/") if target.is_absolute() else here
        left.extendleft(reversed(target.parts[1:] if target.is_absolute() else target.parts))
