"""This host's scini devices, as ``/dev``, sysfs and the SDC tell of them.

Facts: dell/csi-powerflex and kubernetes' former volume plug-in: udev's link of a volume's device is
``emc-vol-<system>-<volume>``; a partition's has ``-partN`` after it. The SDC's udev rule makes it, so that it is
missing where udev does not run or the rule was not installed (thecodeteam/libstorage, issue 466). sysfs shows such a
disk as ``scinia`` and on, with its size and its number, and nothing of which volume it is: that only ``drv_cfg`` tells
(see :meth:`rexray_driver_scaleio.sdc.Sdc.identify`).
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rexray import uses
from rexray_driver_scaleio.sdc import SECONDS, Mapped, Sdc

_LINK = re.compile(r"emc-vol-([0-9a-f]{16})-([0-9a-f]{16})")
_DISK = re.compile(r"scini[a-z]+")
_SECTOR = 512
"""What sysfs counts the size of every block device in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A device: its node, which volume the SDC says it is (None if it says none), and whether udev's link led to it."""

    node: Path
    told: Mapped | None
    linked: bool


class Scini:
    """The devices below ``sys`` (sysfs) and ``dev`` (nodes and links); ``sdc`` is asked whose they are."""

    def __init__(self, sdc: Sdc, sys: Path, dev: Path) -> None:
        self._sdc, self._sys, self._dev = sdc, sys, dev

    @property
    def by_id(self) -> Path:
        """Where udev puts its links."""
        return self._dev / "disk/by-id"

    def volumes(self) -> dict[Mapped, Path]:
        """The nodes of the volumes that are known by their link, or else by the SDC's word."""
        found = self._linked()
        for node in self._without(found):
            told = self._sdc.identify(node)
            if told is not None:
                found.setdefault(told, node)
        return found

    def find(self, wanted: Mapped, *, seconds: float = SECONDS) -> Found | None:
        """The device that udev's link leads to, whatever the SDC says it is, or else the one that the SDC says it is.

        ``seconds`` is how long the SDC may take to answer for one device.
        """
        linked = self._linked(seconds)
        if wanted in linked:
            node = linked[wanted]
            return Found(node=node, told=self._sdc.identify(node, seconds=seconds), linked=True)
        for node in self._without(linked):
            told = self._sdc.identify(node, seconds=seconds)
            if told == wanted:
                return Found(node=node, told=told, linked=False)
        return None

    def nameless(self) -> list[Path]:
        """The nodes of the disks of which nothing tells which volume they are."""
        return [node for node in self._without(self._linked()) if self._sdc.identify(node) is None]

    def size(self, node: Path) -> int:
        """The size of the device in bytes, 0 if the kernel has no such device or has nothing in it."""
        try:
            sectors = _read(self._entry(os.stat(node).st_rdev) / "size")
        except OSError:
            return 0
        return int(sectors) * _SECTOR if sectors.isdecimal() else 0

    def user(self, node: Path) -> str:
        """Who uses the device, as ``mounted at /x`` or ``held by dm-0``; empty if nobody does, or it is not there."""
        try:
            return uses.user(node, sys=self._sys)
        except FileNotFoundError:  # it went while it was looked at
            return ""

    def _linked(self, seconds: float = SECONDS) -> dict[Mapped, Path]:
        """The nodes that links lead to; a link to nothing, to a file or to a partition leads to none.

        Of several links to one node, as while udev has yet to take an old one away, the SDC's word decides.
        """
        found = {}
        for name in sorted(os.listdir(self.by_id)) if self.by_id.is_dir() else ():
            match = _LINK.fullmatch(name)
            node = _real(self.by_id / name)
            number = _number(node)
            if match and number is not None and not (self._entry(number) / "partition").exists():
                found[Mapped(system_id=match[1], volume_id=match[2])] = node
        several = {node for node, links in Counter(found.values()).items() if links > 1}
        told = {node: self._sdc.identify(node, seconds=seconds) for node in several}
        return {mapped: node for mapped, node in found.items() if told.get(node, mapped) == mapped}

    def _without(self, linked: dict[Mapped, Path]) -> list[Path]:
        """The nodes of the kernel's scini disks that no link leads to."""
        block = self._sys / "block"
        nodes = [self._dev / name for name in sorted(os.listdir(block) if block.is_dir() else ())]
        seen = {_number(node) for node in linked.values()}
        return [
            node
            for node in nodes
            if _DISK.fullmatch(node.name)
            and (number := _number(node)) is not None
            and number not in seen
            and _read(block / node.name / "dev") == _written(number)
        ]

    def _entry(self, number: int) -> Path:
        return _real(self._sys / "dev/block" / _written(number))


def _real(path: Path) -> Path:
    """Where the links lead to; the path as it is if one of them goes while they are followed."""
    try:
        return Path(os.path.realpath(path))
    except FileNotFoundError:
        return path


def _number(node: Path) -> int | None:
    """The number of the block device that the node is of, None if it is none."""
    try:
        status = os.stat(node)
    except OSError:
        return None
    return status.st_rdev if stat.S_ISBLK(status.st_mode) else None


def _written(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
