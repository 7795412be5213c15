"""Who on this host uses a volume: its multipath device, or any of the disks below it."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Sequence
from pathlib import Path

from rexray import uses
from rexray.deadlines import within
from rexray_driver_xtremio.multipath import Map, Multipath
from rexray_driver_xtremio.paths import Disk, Disks, text

_LOOK_SECONDS = 10.0
_OPEN_SECONDS = 2.0
"""How long any other program may have a device open that is to go: it may be one that udev has look at it."""
_PAUSE = 0.1
_WATCHERS = ("multipathd", "multipath", "kpartx", "(udev-worker)", "systemd-udevd")
"""Programs, as the kernel names them, that have disks open only to read, and hang in that where no path answers."""


class Users:
    """Looks at the devices that sysfs below ``sys`` tells of."""

    def __init__(self, sys: Path, disks: Disks, multipath: Multipath) -> None:
        self._sys, self._disks, self._multipath = sys, disks, multipath

    def of(self, found: Map | None, disks: Sequence[Disk]) -> str:
        """Who uses a volume, as ``/dev/sda is mounted at /x``; empty if nobody does."""
        said = self._of_map(found) if found is not None else ""
        for disk in disks:
            said = said or self._of_disk(disk, found)
        return said

    def _of_map(self, found: Map) -> str:
        """Who uses a multipath device, or a partition of it."""
        parts = self._multipath.partitions(found)
        for part in parts:
            if said := self._user(found.node.with_name(part)):
                return said
        others = [name for name in self._disks.holders(found.kernel) if name not in parts]
        if parts and not others:
            return self._bound(found.node) or self._open(found.node)
        return self._user(found.node)

    def _of_disk(self, disk: Disk, found: Map | None) -> str:
        """Who uses a disk, other than the multipath device that it is a path of."""
        if not disk.name:
            return ""
        holders = self._disks.holders(disk.name)
        if found is None or found.kernel not in holders:
            return self._user(disk.node)
        others = [name for name in holders if name != found.kernel]
        return f"{disk.node} is held by {others[0]}" if others else self._bound(disk.node)

    def _user(self, node: Path) -> str:
        try:
            user = within(_LOOK_SECONDS, f"look who uses {node}", functools.partial(uses.user, node, sys=self._sys))
        except FileNotFoundError:  # it went while it was looked at
            return ""
        return f"{node} is {user}" if user else self._open(node)

    def _bound(self, node: Path) -> str:
        with contextlib.suppress(FileNotFoundError):
            if place := uses.binding(node):
                return f"{node} is bound at {place}"
        return ""

    def _open(self, node: Path) -> str:
        """Which program has it open, and does not let go of it in a while."""
        until = time.monotonic() + _OPEN_SECONDS
        while True:
            try:
                opener = uses.opener(node, beside=_processes(_WATCHERS))  # udev starts one for each event
            except FileNotFoundError:
                return ""
            if not opener or time.monotonic() > until:
                return f"{node} is open in {opener}" if opener else ""
            time.sleep(_PAUSE)


def _processes(names: Sequence[str]) -> tuple[int, ...]:
    found = filter(str.isdigit, os.listdir("/proc"))
    return tuple(int(pid) for pid in found if text(Path("/proc") / pid / "comm") in names)
