"""Snapshots, groups of them, and copies in other regions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from rexray.errors import AlreadyExists, InvalidRequest, NotFound
from rexray.mixins import GroupSnapshots, Rollback, SnapshotCopy, Snapshots
from rexray.testing.memory.array import page
from rexray.testing.memory.base import StorageCalls
from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import GroupRecord, SnapshotRecord
from rexray.types import Snapshot, SnapshotGroup, SnapshotId, Volume, VolumeId


class SnapshotCalls(StorageCalls, Snapshots, SnapshotCopy, Rollback):
    """``Snapshots``, ``SnapshotCopy`` and ``Rollback`` of the contract."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        """The snapshot of that name, taken if it is missing; ``AlreadyExists`` if it is of another volume."""

        def work(array: Array) -> SnapshotRecord:
            return array.snapshot_named(name) or array.snap(volume_id, name, description)

        found = self._change("create_snapshot", work)
        self._refuse_other_volume(found, volume_id)
        return self._described_snapshot(found)

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        """The snapshots of every region, all or those of one volume or that one, page by page, sorted by id."""
        after: str | None = ""
        while after is not None:
            found = self._snapshot_page(after, volume_id, snapshot_id)
            after = found[-1].id if len(found) == self._settings.page_size else None
            yield from map(self._described_snapshot, found)

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        """Delete the snapshot; a missing one is success. One of a group goes with its group: ``InvalidRequest``."""
        try:
            self._change("remove_snapshot", lambda array: array.remove_snapshot(snapshot_id))
        except NotFound:
            return

    def copy_snapshot(self, snapshot_id: SnapshotId, name: str, region: str) -> Snapshot:
        """The copy of that name in the region, made if it is missing; ``AlreadyExists`` if it is of another one."""

        def work(array: Array) -> SnapshotRecord:
            return array.snapshot_named(name, region) or array.copy_snapshot(snapshot_id, name, region)

        found = self._change("copy_snapshot", work)
        if found.copy_of != snapshot_id:
            of = f"a copy of {found.copy_of!r}" if found.copy_of else "no copy"
            raise AlreadyExists(f"snapshot {name!r} in {region} is {of}, and was asked for of {snapshot_id!r}")
        return self._described_snapshot(found)

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        """Put the snapshot's data back; an attached volume is ``InUse``. The volume keeps its size."""
        return self._described(self._change("rollback", lambda array: array.roll_back(volume_id, snapshot_id)))

    def _snapshot_page(
        self, after: str, volume_id: VolumeId | None, snapshot_id: SnapshotId | None
    ) -> Sequence[SnapshotRecord]:
        def work(array: Array) -> Sequence[SnapshotRecord]:
            wanted = {
                key: item
                for key, item in array.state.snapshots.items()
                if volume_id in (None, item.volume_id) and snapshot_id in (None, key)
            }
            return page(wanted, after, self._settings.page_size)

        return self._ask("snapshots", work)

    def _refuse_other_volume(self, found: SnapshotRecord, volume_id: VolumeId) -> None:
        if found.copy_of or found.volume_id != volume_id:
            of = f"a copy of {found.copy_of!r}" if found.copy_of else f"of volume {found.volume_id!r}"
            raise AlreadyExists(
                f"snapshot {found.name!r} ({found.id}) is {of}, and was asked for of volume {volume_id!r}"
            )


class GroupCalls(SnapshotCalls, GroupSnapshots):
    """``GroupSnapshots`` of the contract."""

    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        """The group of that name, taken if it is missing; ``AlreadyExists`` if it is of other volumes.

        All of it is taken at one moment or, where a volume is missing, nothing.
        """
        wanted = sorted(set(volume_ids))
        if not wanted:
            raise InvalidRequest(f"group snapshot {name!r}: no volumes are named")

        def work(array: Array) -> SnapshotGroup:
            found = array.group_named(name) or array.snap_group(name, wanted)
            self._refuse_other_volumes(found, wanted)
            return self._described_group(array, found)

        return self._change("create_snapshot_group", work)

    def snapshot_group(self, group_id: SnapshotId) -> SnapshotGroup:
        """One group with its snapshots; raises ``NotFound``."""
        return self._ask("snapshot_group", lambda array: self._described_group(array, array.group(group_id)))

    def remove_snapshot_group(self, group_id: SnapshotId) -> None:
        """Delete a group with its snapshots; a missing one is success."""
        try:
            self._change("remove_snapshot_group", lambda array: array.remove_group(group_id))
        except NotFound:
            return

    def _described_group(self, array: Array, group: GroupRecord) -> SnapshotGroup:
        return SnapshotGroup(
            id=SnapshotId(group.id),
            name=group.name,
            snapshots=tuple(self._described_snapshot(array.snapshot(item)) for item in group.snapshots),
            created=datetime.fromisoformat(group.created),
        )

    def _refuse_other_volumes(self, found: GroupRecord, wanted: Sequence[str]) -> None:
        if sorted(found.volumes) != sorted(wanted):
            raise AlreadyExists(
                f"group snapshot {found.name!r} is of {', '.join(found.volumes)}, and was asked for of "
                f"{', '.join(wanted)}"
            )
