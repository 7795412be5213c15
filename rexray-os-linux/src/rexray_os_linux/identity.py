"""What sysfs tells about a disk that proves which volume it is.

Facts: Documentation/ABI/stable/sysfs-block, virtio_blk (``serial``), nvme (``device/serial``, ``wwid``), scsi_sysfs
(``device/wwid``, ``device/vpd_pg80``, ``device/vpd_pg83``; SPC-4 7.8), loop (``loop/backing_file``, LOOP_GET_STATUS64),
device mapper (``dm/uuid`` begins with ``mpath-`` for multipath-tools, ``CRYPT-`` for cryptsetup; ``slaves``),
systemd's 60-persistent-storage.rules for names in by-id.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from rexray.types import DeviceIdentity

_LOOP_GET_STATUS64 = 0x4C05
_LOOP_INFO64_SIZE = 232
_DELETED = " (deleted)"


def mismatch(identity: DeviceIdentity, disk: Path, node: Path, dev: Path) -> str:
    """What of the identity does not hold, as ``serial is 'a', not 'b'``; empty if all of it holds.

    ``disk`` is the device's directory in sysfs, ``dev`` the directory of the nodes and of udev's links. What the
    device does not tell does not hold. A backing file may be that of the one device that a dm-crypt device decrypts.
    """
    by_id = dev / "disk/by-id"
    if identity.serial and identity.serial.strip() not in (found := serials(disk)):
        return _differs("serial", found, identity.serial)
    if identity.wwn and identity.wwn.strip().lower() not in (found := wwns(disk)):
        return _differs("WWN", found, identity.wwn)
    if identity.backing_file:
        below, its_node = _below(disk, node, dev)
        if not _is_backed_by(identity.backing_file, below, its_node):
            return _differs("backing file", [_text(below / "loop/backing_file")], identity.backing_file)
    if identity.link and not _is_linked(by_id / identity.link, disk, node):
        return f"{str(by_id / identity.link)!r} is not a name of it"
    return ""


def _differs(what: str, found: list[str], expected: str) -> str:
    shown = " or ".join(repr(text) for text in found if text) or "unknown"
    return f"its {what} is {shown}, not {expected!r}"


def is_mapping(disk: Path) -> bool:
    """Whether it is a dm-crypt device, which shows what is inside of another one."""
    return _text(disk / "dm/uuid").startswith("CRYPT-")


def _below(disk: Path, node: Path, dev: Path) -> tuple[Path, Path]:
    """What a dm-crypt device decrypts, as directory in sysfs and node; any other device itself."""
    if not is_mapping(disk):
        return disk, node
    slaves = disk / "slaves"
    names = os.listdir(slaves) if slaves.is_dir() else []
    return (Path(os.path.realpath(slaves / names[0])), dev / names[0]) if len(names) == 1 else (disk, node)


def multipath_holder(disk: Path) -> Path | None:
    """The multipath device that a disk is one path of, as its directory in sysfs.

    Other holders, such as a logical volume or an opened LUKS container, are what is inside of the disk: not it.
    """
    holders = disk / "holders"
    for name in sorted(os.listdir(holders)) if holders.is_dir() else ():
        holder = Path(os.path.realpath(holders / name))
        if _text(holder / "dm/uuid").startswith("mpath-"):
            return holder
    return None


def _parts(disk: Path) -> list[Path]:
    """The directories whose attributes speak for a device: its own, a partition's disk, a multipath device's paths."""
    if (disk / "partition").exists():
        return [disk.parent]
    if _text(disk / "dm/uuid").startswith("mpath-"):
        slaves = disk / "slaves"
        return [Path(os.path.realpath(slaves / name)) for name in sorted(os.listdir(slaves))]
    return [disk]


def serials(disk: Path) -> list[str]:
    """The serial numbers that the device reports."""
    found: dict[str, None] = {}
    for part in _parts(disk):
        for text in (_text(part / "serial"), _text(part / "device/serial"), _page80(part / "device/vpd_pg80")):
            if text:
                found[text] = None
    return list(found)


def wwns(disk: Path) -> list[str]:
    """The World Wide Names that the device reports, in lower case."""
    found: dict[str, None] = {}
    for part in _parts(disk):
        names = (_text(part / "wwid"), _text(part / "device/wwid"), *_page83(part / "device/vpd_pg83"))
        found.update((name.lower(), None) for name in names if name)
    return list(found)


def _page80(path: Path) -> str:
    """SPC-4 7.8.17: four bytes of header with the length in the last two, then the serial number."""
    page = _bytes(path)
    length = int.from_bytes(page[2:4], "big")
    return page[4 : 4 + length].decode("ascii", "replace").strip(" \0\n")


def _page83(path: Path) -> Iterator[str]:
    """SPC-4 7.8.6: the designators of the logical unit itself (association 0), as the kernel's ``wwid`` writes them."""
    page = _bytes(path)
    at = 4
    while at + 4 <= len(page):
        code_set, kind, length = page[at] & 0xF, page[at + 1] & 0x3F, page[at + 3]
        value = page[at + 4 : at + 4 + length]
        at += 4 + length
        if kind == 3 and code_set == 1:
            yield f"naa.{value.hex()}"
        elif kind == 2 and code_set == 1:
            yield f"eui.{value.hex()}"
        elif kind == 1:
            yield f"t10.{value.decode('ascii', 'replace').rstrip(' ' + chr(0))}"
        elif kind == 8:
            yield value.decode("utf-8", "replace").rstrip("\0")


def _is_backed_by(expected: str, disk: Path, node: Path) -> bool:
    shown = _text(disk / "loop/backing_file")
    if not shown:
        return False
    try:
        file = os.stat(expected)
        found = _backing_inode(node)
    except OSError:
        return shown == expected and not shown.endswith(_DELETED)
    return found == (file.st_dev, file.st_ino)


def _backing_inode(node: Path) -> tuple[int, int]:
    """The device and inode numbers of a loop device's file: its name may belong to another file by now."""
    fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(fd, _LOOP_GET_STATUS64, bytes(_LOOP_INFO64_SIZE))
    finally:
        os.close(fd)
    device, inode = struct.unpack_from("=QQ", answer)
    return device, inode


def _is_linked(link: Path, disk: Path, node: Path) -> bool:
    try:
        return os.stat(link).st_rdev == os.stat(node).st_rdev
    except OSError:
        return link.name in _names_by_id(disk)


def _names_by_id(disk: Path) -> set[str]:
    """The names that udev would give the disk, for hosts and containers where it does not run."""
    names = set()
    for part in _parts(disk):
        serial, model = _text(part / "device/serial"), _text(part / "device/model")
        if _text(part / "serial"):
            names.add(f"virtio-{_text(part / 'serial')}")
        if part.name.startswith("nvme"):
            names.add(f"nvme-{_text(part / 'wwid')}")
            names.add(f"nvme-{_underscored(model)}_{_underscored(serial)}")
        names.update(f"wwn-0x{name[4:]}" for name in wwns(disk) if name.startswith(("naa.", "eui.")))
    return names


def _underscored(text: str) -> str:
    """How udev writes a text with blanks in a file name."""
    return re.sub(r"\s+", "_", text.strip())


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8", "replace").strip(" \0\n")


def _bytes(path: Path) -> bytes:
    """An attribute's content; nothing where the device does not have it, or refuses to tell."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
