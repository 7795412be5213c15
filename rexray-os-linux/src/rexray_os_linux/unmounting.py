"""Unmounting, with a word about who is in the way."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from rexray import mounts
from rexray.errors import InUse
from rexray_os_linux import table

_PAUSE = 0.05


def unmount(place: str, patience: float) -> None:
    """Unmount everything that is stacked at the path; a busy mount is tried again for ``patience`` seconds.

    Nothing mounted there is success. ``InUse`` while a process uses it or another mount is inside of it.
    """
    until = time.monotonic() + patience
    for _ in table.stacked(place):
        while True:
            try:
                mounts.unmount(place)
            except InUse:
                if time.monotonic() < until:
                    time.sleep(_PAUSE)
                    continue
                raise
            break


def user_of(place: str) -> str:
    """Who uses the mount: another mount inside of it, or a process by its links in /proc; empty if nothing tells.

    Only links are read: the files behind them may be on a hung filesystem.
    """
    if inside := table.below(place):
        return f"{inside[0]!r} is mounted inside of it"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for what, path in _links(pid):
            if path == place or path.startswith(place + "/"):
                return f"process {pid} ({_command(pid)}) has {what} {path!r}"
    return ""


def _links(pid: str) -> Iterator[tuple[str, str]]:
    """What a process has open, works in or runs, as far as we may see."""
    for what, name in (("its working directory at", "cwd"), ("its root at", "root"), ("the program", "exe")):
        if path := _target(f"/proc/{pid}/{name}"):
            yield what, path
    for directory, what in (("fd", "open"), ("map_files", "mapped")):
        try:
            names = os.listdir(f"/proc/{pid}/{directory}")
        except OSError:
            continue
        for name in names:
            if path := _target(f"/proc/{pid}/{directory}/{name}"):
                yield what, path


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return "gone by now"
