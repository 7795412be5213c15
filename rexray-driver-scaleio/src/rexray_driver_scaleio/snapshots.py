"""Snapshots of one volume, and of several at one moment."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from rexray import faults
from rexray.errors import AlreadyExists, Busy, InvalidRequest, NotFound
from rexray.mixins import GroupSnapshots, Snapshots
from rexray.types import Snapshot, SnapshotGroup, SnapshotId, VolumeId
from rexray_driver_scaleio import names, words
from rexray_driver_scaleio.making import MakingCalls
from rexray_driver_scaleio.words import RawVolume


class SnapshotCalls(MakingCalls, Snapshots, GroupSnapshots):
    """``create_snapshot``, ``snapshots``, ``remove_snapshot`` and the same of groups."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        """The snapshot of that name, taken if it is missing; the array has no place for a description."""
        array_name = names.snapshot_name(name)
        source = self._raw_or_none(volume_id)
        if source is None or words.is_snapshot(source):
            found = self._raw_named(array_name)
            if found is None:
                self._raw_volume(volume_id)
        else:
            found = self._snapshot_of(source, array_name, f"snapshot {name!r} of volume {volume_id!r}")
        if found is None:
            raise Busy(f"snapshot {name!r} was removed while it was being taken: try again")
        if (of := found.get("ancestorVolumeId")) != volume_id:
            raise AlreadyExists(f"snapshot {name!r} ({found['id']}) is of volume {of!r}, not of {volume_id!r}")
        return self._described_snapshot(found, name)

    def _snapshot_of(self, source: RawVolume, array_name: str, action: str) -> RawVolume | None:
        """The snapshot of that name on the array, taken if it is missing."""
        made = self._once(array_name, lambda: self._snapshot_volumes(action, {source["id"]: array_name}))
        faults.point("scaleio-snapshot-taken")
        if made is None:
            return self._raw_named(array_name)
        return self._raw_or_none(str(made["volumeIdList"][0]))

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        """The system's snapshots, all or those of one volume or that one."""
        if snapshot_id is not None:
            one = self._raw_or_none(snapshot_id)
            found = [one] if one else []
        else:
            found = self._all_raw()
        for raw in found:
            if words.is_snapshot(raw) and volume_id in (None, raw.get("ancestorVolumeId")):
                yield self._described_snapshot(raw)

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        """Delete the snapshot; a missing one is success. Volumes that were made of it stay."""
        raw = self._raw_or_none(snapshot_id)
        if raw is None:
            return
        if not words.is_snapshot(raw):
            raise InvalidRequest(
                f"{snapshot_id!r} is volume {raw.get('name')!r}, not a snapshot: remove it as a volume"
            )
        self._delete(raw, f"snapshot {raw.get('name')!r} ({snapshot_id})")

    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        """The group of that name, taken if it is missing; ``AlreadyExists`` if it is of other volumes."""
        if not volume_ids:
            raise InvalidRequest(f"group {name!r}: no volumes are named")
        stem = names.group_stem(name)
        wanted = {str(volume_id): stem + names.member(volume_id) + names.SNAPSHOT for volume_id in volume_ids}
        found = self._members(stem)
        if not found:
            for volume_id in wanted:
                self._raw_volume(volume_id)
            action = f"group {name!r} of {len(wanted)} snapshots"
            self._once(next(iter(wanted.values())), lambda: self._snapshot_volumes(action, wanted))
            faults.point("scaleio-group-taken")
            found = self._members(stem)
        if {raw.get("ancestorVolumeId"): raw.get("name") for raw in found} != wanted or len(found) != len(wanted):
            there = ", ".join(sorted(str(raw.get("ancestorVolumeId")) for raw in found))
            raise AlreadyExists(f"group {name!r} exists and is of other volumes: {there or 'none'}")
        if len({words.group_of(raw) for raw in found}) > 1:
            raise AlreadyExists(f"group {name!r} exists and was not taken at one moment: take another name")
        return replace(self._described_group(found), name=name)

    def snapshot_group(self, group_id: SnapshotId) -> SnapshotGroup:
        """One group with its snapshots; raises ``NotFound``."""
        found = self._of_group(group_id)
        if not found:
            raise NotFound(f"snapshot group {group_id!r} does not exist in ScaleIO system {self._array.system.id}")
        return self._described_group(found)

    def remove_snapshot_group(self, group_id: SnapshotId) -> None:
        """Delete a group with its snapshots; a missing one is success."""
        for raw in self._of_group(group_id):
            self._delete(raw, f"snapshot {raw.get('name')!r} ({raw['id']})")

    def _members(self, stem: str) -> list[RawVolume]:
        """The snapshots of the group whose names begin so."""
        return [raw for raw in self._all_raw() if words.is_snapshot(raw) and _is_of(raw.get("name") or "", stem)]

    def _of_group(self, group_id: SnapshotId) -> list[RawVolume]:
        if not words.is_id(group_id):
            return []
        return [raw for raw in self._all_raw() if words.is_snapshot(raw) and words.group_of(raw) == group_id]

    def _described_group(self, found: list[RawVolume]) -> SnapshotGroup:
        snapshots = tuple(self._described_snapshot(raw) for raw in found)
        return SnapshotGroup(
            id=SnapshotId(snapshots[0].group),
            name=snapshots[0].name.rpartition("-")[0],
            snapshots=snapshots,
            created=snapshots[0].created,
        )


def _is_of(name: str, stem: str) -> bool:
    """Whether it is the name of a snapshot of the group whose names begin so."""
    return names.is_member(name) and name[: -len(names.member("0" * 16)) - len(names.SNAPSHOT)] == stem
