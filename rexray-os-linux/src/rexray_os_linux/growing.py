"""Growing a mounted filesystem to the size of its device.

Facts: ext4's superblock at byte 1024 (Documentation/filesystems/ext4/super.rst), XFS_IOC_FSGEOMETRY_V1 (xfs_fs.h: what
an XFS superblock says on disk lags behind its log), btrfs' superblock at byte 65536 (its dev_item is at 0xc9). The
kernel lets ext4 grow online only with CAP_SYS_RESOURCE.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from rexray import child
from rexray.deadlines import within
from rexray.errors import Forbidden, NotReady, RexrayError, Unsupported, WrongDevice
from rexray.mounts import Mount
from rexray_os_linux import blockdev, table
from rexray_os_linux.deadlines import Deadlines
from rexray_os_linux.filesystems import opened_mount

_EXT = ("ext2", "ext3", "ext4")
_XFS_IOC_FSGEOMETRY_V1 = 0x80705864
_XFS_GEOMETRY_SIZE = 112
_BTRFS_DEVICE_ITEM = 65536 + 0xC9
_BTRFS_UNIT = 4096


def grow(node: Path, place: str, deadlines: Deadlines) -> None:
    """Grow the filesystem at the path; as large already is success and costs a few reads.

    ``WrongDevice`` if it is not on that device, ``NotReady`` if it is not mounted or only for reading.
    """
    action = f"grow the filesystem at {place!r}"
    mount = table.need_top(place)
    if not blockdev.is_shown_by(mount, blockdev.number(node)):
        raise WrongDevice(f"cannot {action}: it is {table.describe(mount)}, not on device {str(node)!r}")
    command = within(deadlines.system_call, action, lambda: _command(mount, node, place))
    if not command:
        return
    if mount.read_only:
        raise NotReady(f"cannot {action}: it is mounted read-only")
    ended = child.run(command, seconds=deadlines.grow, action=action)
    if ended.status == 0:
        return
    if mount.fs_type in _EXT and "Permission denied" in ended.stderr:
        raise Forbidden(
            f"cannot {action}: the kernel lets a mounted {mount.fs_type} grow only with CAP_SYS_RESOURCE, which this "
            f"process does not have; without it: unmount, e2fsck -f {node}, resize2fs {node}"
        )
    raise RexrayError(f"cannot {action}: {ended.complaint}")


def _command(mount: Mount, node: Path, place: str) -> list[str]:
    """The program that grows the filesystem, nothing if it is as large as the device."""
    if mount.fs_type in _EXT:
        return _grow_ext(node)
    if mount.fs_type == "xfs":
        return _grow_xfs(node, place)
    if mount.fs_type == "btrfs":
        return _grow_btrfs(node, place)
    raise Unsupported(f"a filesystem of type {mount.fs_type!r} cannot grow while it is mounted")


def _grow_ext(node: Path) -> list[str]:
    length, superblock = _read(node, 1024, 1024)
    low, log_block_size = struct.unpack_from("<4xI16xI", superblock)
    incompatible = int.from_bytes(superblock[0x60:0x64], "little")
    high = int.from_bytes(superblock[0x150:0x154], "little") if incompatible & 0x80 else 0
    if (high << 32 | low) >= length // (1024 << log_block_size):
        return []
    return [child.need("resize2fs", "e2fsprogs"), str(node)]


def _grow_xfs(node: Path, place: str) -> list[str]:
    length, _ = _read(node, 0, 512)
    with opened_mount(place) as fd:
        geometry = fcntl.ioctl(fd, _XFS_IOC_FSGEOMETRY_V1, bytes(_XFS_GEOMETRY_SIZE))
    block_size, blocks = struct.unpack_from("=I28xQ", geometry)
    if blocks >= length // block_size:
        return []
    return [child.need("xfs_growfs", "xfsprogs"), "-d", place]


def _grow_btrfs(node: Path, place: str) -> list[str]:
    length, item = _read(node, _BTRFS_DEVICE_ITEM, 16)
    device_id, known = struct.unpack("<QQ", item)
    if known >= length // _BTRFS_UNIT * _BTRFS_UNIT:
        return []
    return [child.need("btrfs", "btrfs-progs"), "filesystem", "resize", f"{device_id}:max", place]


def _read(node: Path, offset: int, count: int) -> tuple[int, bytes]:
    """The device's size, and some of its bytes."""
    fd = blockdev.open_device(node)
    try:
        return blockdev.size(fd), os.pread(fd, count, offset)
    except OSError as error:
        raise blockdev.failure(error, f"cannot read device {str(node)!r}") from None
    finally:
        os.close(fd)
