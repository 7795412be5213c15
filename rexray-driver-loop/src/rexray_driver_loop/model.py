"""What is kept of volumes, snapshots and instances, each in a small JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MIB = 1 << 20
THIN = "thin"
THICK = "thick"
TYPES = (THIN, THICK)
"""A thin volume takes room when it is written, a thick one has all of its room from the start."""

LUKS_HEADER_BYTES = 16 * MIB
"""The room before an encrypted volume's data, so that its device is as large as was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMeta:
    """A volume. Sizes are those of its device, ``created`` is in nanoseconds since 1970.

    ``uid`` tells it from an earlier volume of the same name, ``key`` names its key file, ``attached_to`` is the
    instance that has it, and ``read_only`` says whether that one may not write to it.
    """

    uid: str
    size_bytes: int
    type: str = THIN
    zone: str = ""
    created: int = 0
    encrypted: bool = False
    key: str = ""
    source_volume: str = ""
    source_snapshot: str = ""
    attached_to: str = ""
    read_only: bool = False

    @property
    def data_bytes(self) -> int:
        """How long the volume's file is."""
        return self.size_bytes + (LUKS_HEADER_BYTES if self.encrypted else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMeta:
    """A snapshot: a copy of a volume's file, and what the volume was then."""

    volume: str
    volume_uid: str
    size_bytes: int
    created: int = 0
    description: str = ""
    encrypted: bool = False
    key: str = ""
    group: str = ""
    """The group snapshot that it belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMeta:
    """A group snapshot: the uids of its volumes by their names, and whether all of its snapshots are taken."""

    volumes: Mapping[str, str]
    created: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceMeta:
    """A host that volumes can be attached to; ``max_volumes`` is 0 where there is no limit."""

    zone: str = ""
    max_volumes: int = 0
    machine: str = ""
    """What tells its machine from others of that name; empty if nothing does."""
