"""What only some storage platforms can do: a capability is ``isinstance(driver, Snapshots)``, so that it cannot lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from rexray.types import Capacity, Health, Snapshot, SnapshotGroup, SnapshotId, Volume, VolumeId

if TYPE_CHECKING:
    from rexray.settings import Sources


class Snapshots(ABC):
    """The storage platform takes snapshots, and makes volumes of them (``VolumeSpec.source_snapshot``)."""

    @abstractmethod
    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        """The snapshot of that name, taken if it is missing; ``AlreadyExists`` if it is of another volume."""

    @abstractmethod
    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        """The snapshots, all or those of one volume or that one, page by page."""

    @abstractmethod
    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        """Delete the snapshot; a missing one is success."""


class GroupSnapshots(ABC):
    """The storage platform takes snapshots of several volumes at one moment, all of them or none."""

    @abstractmethod
    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        """The group of that name, taken if it is missing; ``AlreadyExists`` if it is of other volumes."""

    @abstractmethod
    def snapshot_group(self, group_id: SnapshotId) -> SnapshotGroup:
        """One group with its snapshots; raises ``NotFound``."""

    @abstractmethod
    def remove_snapshot_group(self, group_id: SnapshotId) -> None:
        """Delete a group with its snapshots; a missing one is success."""


class SnapshotCopy(ABC):
    """Snapshots can be copied to another region of the platform."""

    @abstractmethod
    def copy_snapshot(self, snapshot_id: SnapshotId, name: str, region: str) -> Snapshot:
        """The copy of that name in the region, made if it is missing."""


class Clone(ABC):  # noqa: B024 a mark on create, which honours one more field
    """A new volume can be made from another one: ``create`` honours ``VolumeSpec.source_volume``."""


class Expand(ABC):
    """Volumes can grow."""

    @abstractmethod
    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        """Grow to at least that size; already as large is success, volumes never shrink.

        ``OutOfRange``, with nothing changed, where the platform's steps would lead beyond ``limit_bytes``, if set.
        """


class HasCapacity(ABC):
    """The platform tells how much room is left."""

    @abstractmethod
    def capacity(self, zone: str = "") -> Capacity:
        """Room for new volumes, in one zone or in the driver's own."""


class Modify(ABC):
    """Type, IOPS and the like of an existing volume can be changed."""

    @abstractmethod
    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        """Change the named properties; an unknown one is ``InvalidRequest`` and changes nothing."""


class Rollback(ABC):
    """A volume can be put back to one of its snapshots."""

    @abstractmethod
    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        """Put the snapshot's data back; an attached volume is ``InUse``."""


class ReadOnlyAttach(ABC):  # noqa: B024 a mark on attach, which honours one more argument
    """A volume can be attached so that the instance cannot write to it."""


class VolumeHealth(ABC):
    """The platform tells whether a volume is well."""

    @abstractmethod
    def health(self, volume_id: VolumeId) -> Health:
        """How the volume is now; raises ``NotFound``."""

    def healths(self, volume_ids: Collection[VolumeId]) -> Mapping[VolumeId, Health]:
        """How several volumes are; a driver whose platform tells that in one call does so here."""
        return {volume_id: self.health(volume_id) for volume_id in volume_ids}


class Topology(ABC):
    """Volumes live in zones and attach to instances of the same zone only; ``create`` honours ``VolumeSpec.zone``."""

    @abstractmethod
    def zones(self) -> tuple[str, ...]:
        """The zones in which volumes can be made."""


class Encrypted(ABC):  # noqa: B024 a mark on create, which honours two more fields
    """``create`` honours ``VolumeSpec.encrypted`` and ``encryption_key``."""


class HasPolicy(ABC):
    """The driver says what its credentials have to be allowed to do on the platform."""

    @classmethod
    @abstractmethod
    def policy(cls, sources: Sources) -> Mapping[str, object]:
        """The least policy or role, in the platform's own form, for what the sources do not switch off.

        The platform is not called, and no credentials are needed.
        """
