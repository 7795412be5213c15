"""What the platform keeps, in records that JSON can hold. Records are never changed, only replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from rexray.testing.memory.content import Content

MIB = 1 << 20
STEP = MIB
"""Volumes have sizes in steps of so many bytes."""
LARGEST = 64 << 40
"""The size of the largest volume that can be made."""
DEFAULT_SIZE = 1 << 30
"""The size of a volume that is asked for without one."""
TYPES = ("standard", "fast")
MOST_IOPS = 64_000
REGIONS = ("region-1", "region-2")
"""The region of the platform, and another one, to which snapshots can be copied."""


def now() -> str:
    """This moment as records hold it."""
    return datetime.now(UTC).isoformat()


def digest(secret: str) -> str:
    """A password or a key as records hold it; empty for none."""
    return hashlib.sha256(secret.encode()).hexdigest() if secret else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord:
    """A volume's attachment to one instance; the token is of this attachment alone."""

    token: str
    device: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRecord:
    """A volume; ``links`` are its attachments by instance, ``sick`` says what is wrong with it."""

    id: str
    name: str
    size_bytes: int
    type: str
    zone: str
    created: str
    iops: int = 0
    encrypted: bool = False
    key: str = ""
    multiattach: bool = False
    source_volume: str = ""
    source_snapshot: str = ""
    links: Mapping[str, LinkRecord] = field(default_factory=dict)
    content: Content = field(default_factory=dict, repr=False)
    sick: str = ""

    @property
    def serial(self) -> str:
        """The serial number that its device reports."""
        return f"MEM{self.id.removeprefix('vol-').upper()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRecord:
    """A volume's content at one moment; a copy in another region says of what."""

    id: str
    name: str
    volume_id: str
    size_bytes: int
    created: str
    region: str
    description: str = ""
    encrypted: bool = False
    key: str = ""
    group: str = ""
    copy_of: str = ""
    content: Content = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """Snapshots that were taken at one moment."""

    id: str
    name: str
    created: str
    volumes: tuple[str, ...]
    snapshots: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRecord:
    """A mount of a host. ``volume_id`` and ``token`` are of the device below, empty for a mount without one.

    A bind mount has the path that was bound as its ``origin``, and that path's place within the filesystem as its
    ``root``.
    """

    target: str
    source: str
    fs_type: str
    read_only: bool = False
    options: tuple[str, ...] = ()
    volume_id: str = ""
    token: str = ""
    origin: str = ""
    root: str = ""
    frozen: bool = False
    users: int = 0
    """How many processes have files open in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """An instance: what the platform knows of it, and what is on the host itself.

    ``connected`` and ``claimed`` have the tokens of attachments: of those that show as devices, and of devices that a
    process has for itself. ``mounts`` are by their targets.
    """

    zone: str
    max_volumes: int
    connected: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()
    mounts: Mapping[str, MountRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRecord:
    """A fault that the next ``times`` calls of that name meet."""

    call: str
    effect: str
    times: int = 1
    seconds: float = 0.0
    error: str = ""
    message: str = ""


@dataclass(slots=True, kw_only=True)
class State:
    """Everything that a platform knows."""

    zones: tuple[str, ...]
    capacity: int
    """How many bytes the volumes of each zone may have together."""
    hosts: dict[str, HostRecord]
    volumes: dict[str, VolumeRecord] = field(default_factory=dict)
    snapshots: dict[str, SnapshotRecord] = field(default_factory=dict)
    groups: dict[str, GroupRecord] = field(default_factory=dict)
    made: int = 0
    """How many things were made: no id is used twice."""
    password: str = ""
    down: str = ""
    faults: tuple[FaultRecord, ...] = ()
    releases: int = 0
    """How often whatever hangs was let go."""

    def copy(self) -> State:
        """Another state of the same records."""
        return replace(
            self,
            hosts=dict(self.hosts),
            volumes=dict(self.volumes),
            snapshots=dict(self.snapshots),
            groups=dict(self.groups),
        )

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> State:
        """The state that :meth:`to_json` told."""
        made = cls(**raw)
        made.zones = tuple(raw["zones"])
        made.hosts = {name: _host(item) for name, item in raw["hosts"].items()}
        made.volumes = {name: _volume(item) for name, item in raw["volumes"].items()}
        made.snapshots = {name: SnapshotRecord(**item) for name, item in raw["snapshots"].items()}
        made.groups = {
            name: GroupRecord(**_tuples(item, "volumes", "snapshots")) for name, item in raw["groups"].items()
        }
        made.faults = tuple(FaultRecord(**item) for item in raw["faults"])
        return made


def _host(raw: dict[str, Any]) -> HostRecord:
    mounts = {target: MountRecord(**_tuples(item, "options")) for target, item in raw["mounts"].items()}
    return HostRecord(**{**_tuples(raw, "connected", "claimed"), "mounts": mounts})


def _volume(raw: dict[str, Any]) -> VolumeRecord:
    return VolumeRecord(**{**raw, "links": {name: LinkRecord(**item) for name, item in raw["links"].items()}})


def _tuples(raw: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**raw, **{name: tuple(raw[name]) for name in names}}
