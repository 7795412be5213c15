"""This host's block devices, as sysfs and ``/dev`` show EBS volumes.

Facts: AWS, "Amazon EBS volumes and NVMe": on Nitro a volume is an NVMe namespace whose model is ``Amazon Elastic Block
Store`` and whose serial number is the volume's id without its dash. Linux, ``drivers/block/xen-blkfront.c``: on Xen it
is a block device of the name that was asked for, ``sd`` written as ``xvd``, and its ``device/devtype`` is ``vbd``;
nothing else tells which volume it is. Linux, ``drivers/nvme/host/multipath.c``: ``nvme0c0n1`` is one path to
``nvme0n1`` and never used by itself.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from rexray import uses
from rexray.errors import WrongDevice
from rexray_driver_ec2 import names
from rexray_driver_ec2.viability import read, says_nitro

_EBS_MODEL = "Amazon Elastic Block Store"
_NAMESPACE = re.compile(r"nvme\d+n\d+")
_SERIAL = re.compile(r"vol-?([0-9a-f]{8,32})")
_XEN_NAME = re.compile(r"(xvd|sd)[a-z]{1,2}[0-9]*")
_SECTOR = 512
"""What sysfs counts the size of every block device in."""


class Disks:
    """The block devices below ``sys`` (sysfs) and ``dev`` (their nodes and links)."""

    def __init__(self, sys: Path, dev: Path) -> None:
        self._sys, self._dev = sys, dev

    def volumes(self) -> dict[str, Path]:
        """The nodes of the EBS volumes that tell their id, by id: all of a Nitro instance's, none of a Xen one's."""
        found = {}
        for name in sorted(self._names()):
            disk = self._sys / "block" / name
            if _NAMESPACE.fullmatch(name) and read(disk / "device/model") == _EBS_MODEL:
                serial = _SERIAL.fullmatch(read(disk / "device/serial"))
                if serial is not None:
                    found[f"vol-{serial[1]}"] = self._dev / name
        return found

    def is_nitro(self) -> bool:
        """Whether this host is known to have its volumes as NVMe devices."""
        return bool(self.volumes()) or (says_nitro(self._sys) and not self._is_hypervisor_xen())

    def is_xen(self) -> bool:
        """Whether this host is known to have its volumes as Xen's virtual block devices."""
        return not self.volumes() and self._is_hypervisor_xen()

    def _is_hypervisor_xen(self) -> bool:
        return read(self._sys / "hypervisor/type") == "xen"

    def names_in_use(self) -> set[str]:
        """The canonical names that a device, a node or a link of this host has, a partition's as its disk's."""
        present = [*self._names(), *(os.listdir(self._dev) if self._dev.is_dir() else [])]
        return {whole(names.canonical(name)) for name in present if _XEN_NAME.fullmatch(name)}

    def find_xen(self, name: str) -> Path | None:
        """The node of the device of that canonical name, None while there is none with anything in it.

        ``sdX`` is taken for it only where the kernel says that it is a virtual disk of Xen's. ``WrongDevice`` if what
        has the name is something else: a file, a link, a partition or an NVMe device.
        """
        for spelling in (name, "sd" + name.removeprefix("xvd")):
            node = self._dev / spelling
            try:
                status = os.lstat(node)
            except OSError:
                continue
            if stat.S_ISLNK(status.st_mode) and os.path.basename(os.path.realpath(node)) == name:
                continue  # the other spelling, which some hosts have as well
            if spelling != name and read(self._sys / "block" / spelling / "device/devtype") != "vbd":
                continue
            if not stat.S_ISBLK(status.st_mode):
                kind = f"a link to {os.path.realpath(node)}" if node.is_symlink() else "no block device"
                raise WrongDevice(f"{node} is {kind}, not a volume of a Xen instance; nothing was done to it")
            if self.size(node) > 0 and self._is_kernels(spelling, status.st_rdev):
                self._refuse_foreign(node, status.st_rdev)
                return node
        return None

    def size(self, node: Path) -> int:
        """The size of the device in bytes, 0 if the kernel has no such device."""
        try:
            sectors = read(self._entry(os.stat(node).st_rdev) / "size")
        except OSError:
            return 0
        return int(sectors) * _SECTOR if sectors.isdecimal() else 0

    def user(self, node: Path) -> str:
        """Who uses the device, as ``mounted at /x`` or ``held by dm-0``; empty if nobody does, or it is not there."""
        return uses.user(node, sys=self._sys)

    def _names(self) -> list[str]:
        block = self._sys / "block"
        return os.listdir(block) if block.is_dir() else []

    def _entry(self, number: int) -> Path:
        return Path(os.path.realpath(self._sys / "dev/block" / _number(number)))

    def _is_kernels(self, name: str, number: int) -> bool:
        """Whether the node is the kernel's device of that name, if it has one: udev may not have made it anew yet."""
        return read(self._sys / "block" / name / "dev") in ("", _number(number))

    def _refuse_foreign(self, node: Path, number: int) -> None:
        disk = self._entry(number)
        if disk.name.startswith("nvme") or (disk / "partition").exists():
            raise WrongDevice(f"{node} is {disk.name}, not a volume of a Xen instance; nothing was done to it")


def whole(name: str) -> str:
    """The disk's name of a partition's: ``xvda`` of ``xvda1``."""
    return name.rstrip("0123456789")


def _number(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"
