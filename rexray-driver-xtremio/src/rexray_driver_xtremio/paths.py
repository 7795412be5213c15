"""The SCSI disks of XtremIO arrays on this host, as sysfs shows them: each is one path to a volume.

Facts: Linux, Documentation/scsi/scsi_mid_low_api.rst and drivers/scsi/scsi_sysfs.c: the directory of a SCSI device is
named ``host:channel:target:lun`` and has ``type`` (0 for a disk), ``vendor`` (padded with blanks), ``wwid``, ``state``,
and ``rescan`` and ``delete`` to write to. A scan ends with that; the block device follows (``sd_probe`` is
asynchronous). A write to ``rescan`` reads the device's identity and size again (``scsi_rescan_device``); what sysfs
shows before is as old as the scan that found it. SAM-5 4.7.7: a LUN above 255 is written with 01b in the two highest of
its 16 bits. SPC-4 7.8.6.6: a NAA designator has 8 bytes, as XtremIO's have, or 16.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from rexray.deadlines import within
from rexray.errors import Busy, TimedOut

log = logging.getLogger(__name__)

VENDOR = "XtremIO"
NAA = re.compile(r"[0-9a-f]{16}(?:[0-9a-f]{16})?")

_WWID = re.compile(rf"naa\.({NAA.pattern})")
_ADDRESS = re.compile(r"(\d+):\d+:\d+:(\d+)")
_RUNNING = "running"
_SECTOR = 512
_PERIPHERAL, _FLAT = 0x100, 0x4000
_PATIENCE = 15.0
"""Seconds for a path to answer; iscsid takes 10 to find a portal dead."""
_LEAST = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One path: its SCSI device in sysfs, its LUN and volume, and the name of the block device and its node.

    The name is such as ``sda``, and empty while the kernel is still making the block device.
    """

    name: str
    home: Path
    node: Path
    lun: int
    naa: str

    def hangs_on(self, place: Path) -> bool:
        """Whether it was found by the host or session whose directory that is."""
        return place in self.home.parents


class Disks:
    """The disks below ``sys`` (sysfs), with their nodes below ``dev``."""

    def __init__(self, sys: Path, dev: Path) -> None:
        self._sys, self._dev = sys, dev

    def all(self) -> list[Disk]:
        """Every path to a volume of an XtremIO array, by name; no partitions."""
        devices = self._sys / "class/scsi_device"
        found = (self._disk(_real(devices / name / "device")) for name in sorted(names_in(devices)))
        return sorted((disk for disk in found if disk is not None), key=lambda disk: (len(disk.name), disk.name))

    def of(self, naa: str) -> list[Disk]:
        """The paths to one volume."""
        return [disk for disk in self.all() if disk.naa == naa]

    def is_alive(self, disk: Disk) -> bool:
        """Whether the kernel passes requests on to it; those for another one wait, or fail."""
        return text(disk.home / "state") == _RUNNING

    def size(self, name: str) -> int:
        """The size in bytes of a block device, 0 if there is none of that name."""
        sectors = text(self._sys / "block" / name / "size") if name else ""
        return int(sectors) * _SECTOR if sectors.isdecimal() else 0

    def holders(self, name: str) -> list[str]:
        """The devices that are made of this one, such as ``dm-0``."""
        return sorted(names_in(self._sys / "block" / name / "holders"))

    def rescan(self, disk: Disk, seconds: float) -> None:
        """Have the kernel read again who the disk is, and how large."""
        _ask(disk.home / "rescan", "1", seconds)

    def delete(self, disk: Disk, seconds: float) -> None:
        """Take the disk off this host, unless it is another volume's by now; gone is success."""
        if text(disk.home / "wwid") == f"naa.{disk.naa}":
            _order(disk.home / "delete", "1", seconds)

    def _disk(self, home: Path) -> Disk | None:
        address = _ADDRESS.fullmatch(home.name)
        wwid = _WWID.fullmatch(text(home / "wwid").lower())
        if address is None or wwid is None or not _is_disk(home) or text(home / "vendor") != VENDOR:
            return None
        name = next(iter(names_in(home / "block")), "")
        return Disk(name=name, home=home, node=self._dev / name, lun=_plain(int(address[2])), naa=wwid[1])


def scan(host: Path, place: str, lun: int, seconds: float) -> None:
    """Have a SCSI host, given by its ``scsi_host`` directory, look for that LUN at ``place`` (channel and target).

    One above 255 is looked for as it is, which is how the kernel's own target writes it, and by the number that it has
    in two bytes; never by looking for all, which brings other volumes here.
    """
    is_flat = _PERIPHERAL <= lun < _FLAT
    for number in (lun, _FLAT | lun) if is_flat else (lun,):
        _ask(host / "scan", f"{place} {number}", seconds)


def has_devices(home: Path) -> bool:
    """Whether the iSCSI session of that directory has devices, of any vendor and kind."""
    return any(_ADDRESS.fullmatch(device.name) for device in home.glob("target*/*"))


def _real(path: Path) -> Path:
    """Where the links lead to; the path as it is if one of them goes while they are followed."""
    try:
        return Path(os.path.realpath(path))
    except FileNotFoundError:
        return path


def _is_disk(home: Path) -> bool:
    return text(home / "type") == "0"


def text(path: Path) -> str:
    """What sysfs says there; empty where it says nothing."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip(" \0\n")
    except OSError:
        return ""


def names_in(folder: Path) -> list[str]:
    """What is in a folder; nothing if there is none."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _plain(lun: int) -> int:
    return lun & (_FLAT - 1) if lun >> 14 == 1 else lun


def _ask(file: Path, what: str, seconds: float) -> None:
    """Write what need not succeed: another path may be there."""
    try:
        _order(file, what, min(max(seconds, _LEAST), _PATIENCE))
    except (Busy, TimedOut) as error:
        log.warning("%s", error)


def _order(file: Path, what: str, seconds: float) -> None:
    """Write to sysfs, which hangs as long as the disk does; a disk that is gone takes no orders."""

    def write() -> None:
        try:
            fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.write(fd, what.encode())
        finally:
            os.close(fd)

    try:
        within(seconds, f"write to {file}", write)
    except OSError as error:
        log.warning("writing to %s: %s", file, error.strerror)
