"""Optional capabilities of a storage driver with this host's part around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from rexray.mixins import Expand, Snapshots
from rexray.state import Record
from rexray.types import Snapshot, SnapshotId, Volume, VolumeId
from rexray.volumes.publishing import BlockPublisher
from rexray.volumes.quiet import QuietVolumes

HoldMounted = Callable[[VolumeId, str], AbstractContextManager[Record | None]]
"""The record of a volume if it is mounted on this host, which stays so during the operation of that name."""


class GrowingExpand(Expand):
    """A volume that is mounted here grows with its filesystem."""

    def __init__(self, storage: Expand, publisher: BlockPublisher, mounted: HoldMounted) -> None:
        self._storage = storage
        self._publisher = publisher
        self._mounted = mounted

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        """Grow the volume, then its device here, then the filesystem on it."""
        with self._mounted(volume_id, "Expand") as record:
            volume = self._storage.expand(volume_id, size_bytes, limit_bytes=limit_bytes)
            if record is not None:
                self._publisher.grow(record)
            return volume


class QuietSnapshots(Snapshots):
    """A snapshot of a volume that is mounted here is taken while its filesystem stands still."""

    def __init__(
        self, storage: Snapshots, quiet: QuietVolumes, publisher: BlockPublisher, mounted: HoldMounted
    ) -> None:
        self._storage = storage
        self._publisher = publisher
        self._quiet = quiet
        self._mounted = mounted

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        """Freeze, take the snapshot, thaw whatever happened."""
        with self._mounted(volume_id, "Snapshot") as record:
            writable = record is not None and not record.read_only
            known = {volume_id: self._publisher.target(record)} if record is not None and writable else {}
            with self._quiet.hold([volume_id], known):
                return self._storage.create_snapshot(volume_id, name, description)

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        """As the platform tells them."""
        return self._storage.snapshots(volume_id=volume_id, snapshot_id=snapshot_id)

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        """As the platform does it."""
        self._storage.remove_snapshot(snapshot_id)
