"""What is kept of volumes, snapshots and mounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMeta:
    """A volume. ``published`` has the nodes that it is attached to, with whether read-only."""

    capacity_bytes: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)
    mutable: Mapping[str, str] = field(default_factory=dict)
    source_volume: str = ""
    source_snapshot: str = ""
    published: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMeta:
    """A snapshot; ``created`` is in nanoseconds since 1970, ``group`` is empty outside of groups."""

    source: str = ""
    size_bytes: int = 0
    created: int = 0
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMeta:
    """A group snapshot: the volumes it was asked for, and its members once all of them are taken."""

    sources: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    created: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMeta:
    """What this node has done with a volume, by path.

    ``staged`` says whether read-only, ``targets`` has the access mode of each published path by its number in
    ``csi.proto``.
    """

    staged: Mapping[str, bool] = field(default_factory=dict)
    targets: Mapping[str, int] = field(default_factory=dict)
