"""The nouns: what drivers, the volume workflow and the adapters hand each other.

Sizes are bytes, times are timezone-aware and in UTC, identifiers are the platform's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NewType

VolumeId = NewType("VolumeId", str)
SnapshotId = NewType("SnapshotId", str)
InstanceId = NewType("InstanceId", str)


SHELL_HOLDER = "shell"
"""The holder of mounts that were made at the command line: mounting twice and unmounting once unmounts."""


class AttachmentState(StrEnum):
    """How a volume stands towards this host, in the words of the original's volume table."""

    ATTACHED = "attached"
    """Attached to this instance."""
    AVAILABLE = "available"
    """Attached nowhere."""
    UNAVAILABLE = "unavailable"
    """Attached to another instance."""
    UNKNOWN = "unknown"
    """The platform does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A host as the platform knows it."""

    id: InstanceId
    provider: str
    name: str = ""
    region: str = ""
    zone: str = ""
    max_volumes: int = 0
    """How many volumes can be attached at once; 0 where the platform does not say."""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A volume's connection to one instance.

    ``token`` is what a node driver finds the device by; ``device`` and ``mount_point`` are paths on the
    instance, empty while unknown. ``fields`` are the driver's own; ``sizeBytes`` among them is the volume's size, and
    is left out where that may have changed since.
    """

    volume_id: VolumeId
    instance_id: InstanceId
    token: str = ""
    device: str = ""
    mount_point: str = ""
    read_only: bool = False
    status: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume as the platform knows it; ``size_bytes`` is 0 where the platform does not say."""

    id: VolumeId
    name: str
    size_bytes: int = 0
    status: str = ""
    state: AttachmentState = AttachmentState.UNKNOWN
    type: str = ""
    iops: int = 0
    zone: str = ""
    encrypted: bool = False
    network_name: str = ""
    created: datetime | None = None
    attachments: tuple[Attachment, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """What a new volume shall be; at most one of the two sources is set.

    A platform that makes volumes in steps of its own makes none that is larger than ``limit_bytes``, where that is set.
    """

    name: str
    size_bytes: int = 0
    limit_bytes: int = 0
    type: str = ""
    iops: int = 0
    zone: str = ""
    encrypted: bool = False
    encryption_key: str = field(default="", repr=False)
    source_volume: VolumeId | None = None
    source_snapshot: SnapshotId | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A volume's state at one moment; ``size_bytes`` is the size of the volume that it was taken of."""

    id: SnapshotId
    name: str
    volume_id: VolumeId
    size_bytes: int = 0
    created: datetime | None = None
    status: str = ""
    description: str = ""
    ready: bool = True
    zone: str = ""
    group: str = ""
    """The id of the group snapshot that it belongs to."""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotGroup:
    """Snapshots of several volumes, taken at one moment."""

    id: SnapshotId
    name: str
    snapshots: tuple[Snapshot, ...]
    created: datetime | None = None
    ready: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDevice:
    """A block device of this host as the platform knows it."""

    provider: str
    instance_id: InstanceId
    volume_id: VolumeId
    device: str
    region: str = ""
    status: str = ""
    network_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceIdentity:
    """What proves that a block device is a certain volume's; every field that is set must hold."""

    serial: str = ""
    """The serial number that the device reports (NVMe, virtio, SCSI page 0x80)."""
    wwn: str = ""
    """The World Wide Name as the kernel writes it (``naa.6…``, ``eui.…``, ``uuid.…``)."""
    link: str = ""
    """The name under ``/dev/disk/by-id``."""
    backing_file: str = ""
    """The file that a loop device shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A connected block device: where it is, or (``path`` empty) what it is found by once it appears."""

    path: Path = Path()
    identity: DeviceIdentity = DeviceIdentity()


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A connected directory or export, mounted as it is and never formatted."""

    source: str
    fs_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRequest:
    """One holder's wish to use a volume at a path.

    ``holder`` names who holds the mount (a container's mount, a shell): the volume stays mounted until the
    last holder lets go, and the same holder asking twice counts once.
    """

    name: str
    holder: str
    read_only: bool = False
    fs_type: str = ""
    mount_options: tuple[str, ...] = ()
    overwrite_fs: bool = False
    preempt: bool = False
    """Take the volume from the instance that has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPoint:
    """Where a volume is mounted."""

    path: Path
    source: str
    fs_type: str = ""
    read_only: bool = False
    options: tuple[str, ...] = ()
    propagation: str = ""
    """``private``, ``shared``, ``slave``, ``shared,slave`` or ``unbindable``; empty where nobody asked the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Room for new volumes, in bytes; the largest single volume is None where the platform does not say."""

    available_bytes: int
    largest_volume_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a volume is, in a word for a person where something is wrong."""

    abnormal: bool
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesystemStats:
    """How full a mounted filesystem is; the three inode counts are 0 where it has no fixed number of them."""

    total_bytes: int
    used_bytes: int
    available_bytes: int
    total_inodes: int = 0
    used_inodes: int = 0
    available_inodes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Viability:
    """Whether a plug-in can work on this host, and why not."""

    ok: bool
    reason: str = ""
