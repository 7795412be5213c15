"""Snapshots of volumes, alone and in groups.

Facts: from 4.0 on a snapshot may be read-only, and snapshots that are taken together are a snapshot set, which keeps
its name; before that a snapshot is writable, and told from a clone by its name only (OpenStack Cinder's driver).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from rexray import faults
from rexray.errors import AlreadyExists, InvalidRequest, NotFound, Unsupported
from rexray.mixins import GroupSnapshots, Snapshots
from rexray.types import Snapshot, SnapshotGroup, SnapshotId, VolumeId
from rexray_driver_xtremio import things
from rexray_driver_xtremio.copying import CopyCalls
from rexray_driver_xtremio.describing import describe_snapshot
from rexray_driver_xtremio.names import GROUP, MARK, SNAPSHOT, array_name, digest, own_name
from rexray_driver_xtremio.things import SnapshotSet


class SnapshotCalls(CopyCalls, Snapshots, GroupSnapshots):
    """``Snapshots`` and ``GroupSnapshots`` of the contract. A group's id is the guid of its snapshot set."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        """The snapshot of that name; the array has no place for a description."""
        on_array = array_name(name, SNAPSHOT)
        with self._held(on_array, why=f"taking snapshot {name}"):
            disk = self._disk_named(on_array)
            if disk is None:
                source = self._volume(volume_id)
                disk = self._copy(source, on_array, read_only=True, size_bytes=source.size_bytes)
        snapshot = describe_snapshot(disk, name=name)
        if snapshot.volume_id != volume_id:
            of = f"of volume {snapshot.volume_id!r}" if snapshot.volume_id else "of a volume that is gone"
            raise AlreadyExists(f"snapshot {name!r} ({snapshot.id}) is {of}, not of {volume_id!r}")
        return snapshot

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        """The snapshots, all or those of one volume or that one, in one call."""
        if snapshot_id is None:
            found = self._disks()
        else:
            found = [disk for disk in [self._disk(snapshot_id)] if disk is not None]
        shown = (describe_snapshot(disk) for disk in found if disk.is_snapshot)
        return (snapshot for snapshot in shown if volume_id in (None, snapshot.volume_id))

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        """Delete the snapshot; one of a group goes with its group, and alone is ``InvalidRequest``."""
        disk = self._disk(snapshot_id)
        if disk is None:
            return
        group = describe_snapshot(disk).group
        if group:
            raise InvalidRequest(f"snapshot {snapshot_id!r} belongs to group snapshot {group!r}: remove that")
        self._delete(snapshot_id, f"snapshot {snapshot_id!r}", snapshot=True)

    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        """The group of that name, taken in one call; ``Unsupported`` before XMS 4.0, which has no snapshot sets."""
        self._refuse_old("group snapshots")
        if not volume_ids:
            raise InvalidRequest(f"group snapshot {name!r}: no volumes are named")
        set_name, wanted = array_name(name, GROUP), sorted(set(volume_ids))
        with self._held(set_name, why=f"taking group snapshot {name}"):
            found = self._set(set_name)
            if found is not None and not found.members:
                self._drop_set(found)
                found = None
            if found is None:
                found = self._taken_group(set_name, wanted)
        group = self._described_group(found, name)
        taken = sorted(snapshot.volume_id for snapshot in group.snapshots)
        if taken != wanted:
            raise AlreadyExists(
                f"group snapshot {name!r} ({group.id}) is of {', '.join(taken) or 'nothing any more'}, and was asked "
                f"for of {', '.join(wanted)}"
            )
        return group

    def snapshot_group(self, group_id: SnapshotId) -> SnapshotGroup:
        """One group with its snapshots; raises ``NotFound``."""
        found = self._group(group_id)
        if found is None:
            raise NotFound(f"group snapshot {group_id!r} does not exist in cluster {self._xms.about.cluster!r}")
        return self._described_group(found)

    def remove_snapshot_group(self, group_id: SnapshotId) -> None:
        """Delete a group with its snapshots, each after a look at it; a missing one is success."""
        found = self._group(group_id)
        if found is None:
            return
        members = sorted(self._copies(found), key=lambda disk: not disk.copies)
        for disk in members:
            self._refuse_mapped(disk, f"snapshot {disk.ref.name!r} of group snapshot {group_id!r}")
        for disk in members:  # those with copies first: if the array refuses that, the group is still whole
            self._delete(disk.ref.guid, f"snapshot {disk.ref.name!r}", snapshot=True)
            faults.point("xtremio-group-member-deleted")
        self._drop_set(found)

    def _taken_group(self, set_name: str, volume_ids: Iterable[VolumeId]) -> SnapshotSet:
        sources = [self._volume(volume_id) for volume_id in volume_ids]
        for number in range(16):  # what is called as the array would call a member is in the way of one only
            found = self._taken(set_name, f"{digest(set_name)[:MARK]}{number:x}", sources, read_only=True)
            if found is not None:
                return found
        raise AlreadyExists(f"group snapshot {set_name!r}: the names of its snapshots are taken")

    def _group(self, group_id: SnapshotId) -> SnapshotSet | None:
        if not self._is_guid(group_id) or not self._xms.about.v2:
            return None
        sets = self._xms.every("snapshot-sets", things.snapshot_set, [f"guid:eq:{group_id}"])
        return next((found for found in sets if found.ref.guid == group_id and found.ref.name.endswith(GROUP)), None)

    def _described_group(self, found: SnapshotSet, name: str = "") -> SnapshotGroup:
        snapshots = tuple(describe_snapshot(disk) for disk in self._copies(found))
        return SnapshotGroup(
            id=SnapshotId(found.ref.guid),
            name=name or own_name(found.ref.name, GROUP),
            snapshots=snapshots,
            created=min((snapshot.created for snapshot in snapshots if snapshot.created), default=None),
        )

    def _refuse_old(self, what: str) -> None:
        about = self._xms.about
        if not about.v2:
            raise Unsupported(f"{what} need an XMS from 4.0 on, and this one is {about.text}")
