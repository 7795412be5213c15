"""Group snapshots: a snapshot of each of several volumes, all of them or none.

A group's record names its volumes before the first snapshot is taken and says ``complete`` after the last one; what
belongs to a group that is not complete is shown to nobody, and deleted by the next call about groups.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Collection, Mapping
from dataclasses import replace

from rexray import faults
from rexray.errors import AlreadyExists, InvalidRequest, NotFound
from rexray.mixins import GroupSnapshots
from rexray.names import check_name
from rexray.types import SnapshotGroup, SnapshotId, VolumeId
from rexray_driver_loop import copying
from rexray_driver_loop.base import moment
from rexray_driver_loop.files import told
from rexray_driver_loop.model import GroupMeta
from rexray_driver_loop.snapshots import SnapshotCalls, described


class GroupCalls(SnapshotCalls, GroupSnapshots):
    """``GroupSnapshots`` of the contract. A group's id is its name."""

    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        """The group of that name, taken if it is missing; ``AlreadyExists`` if it is of other volumes.

        The snapshots are taken one right after the other; whoever wants one moment of several mounted filesystems
        freezes them meanwhile.
        """
        if not volume_ids:
            raise InvalidRequest(f"group snapshot {name!r}: no volumes are named")
        groups = self._pool.groups
        check_name(name, "group snapshot")
        with groups.changing(f"taking group snapshot {name!r}"), told(f"taking group snapshot {name!r}"):
            wanted = {str(volume): self._pool.volumes.load(volume).uid for volume in sorted(volume_ids)}
            meta = groups.look(name)
            if meta is None or not meta.complete:
                self._drop_interrupted()
                meta = self._take_all(name, wanted)
            elif dict(meta.volumes) != wanted:
                raise AlreadyExists(
                    f"group snapshot {name!r} is of {', '.join(meta.volumes)}, and was asked for of "
                    f"{', '.join(wanted)}, or one of them was made anew since"
                )
        return self._group(name, meta)

    def snapshot_group(self, group_id: SnapshotId) -> SnapshotGroup:
        """One group with its snapshots; raises ``NotFound``."""
        meta = self._pool.groups.look(group_id)
        if meta is None or not meta.complete:
            raise NotFound(f"group snapshot {group_id!r} does not exist")
        return self._group(group_id, meta)

    def remove_snapshot_group(self, group_id: SnapshotId) -> None:
        """Delete a group with its snapshots; a missing one is success."""
        groups = self._pool.groups
        with groups.changing(f"removing group snapshot {group_id!r}"), told(f"removing group snapshot {group_id!r}"):
            self._drop(group_id)
            self._drop_interrupted()

    def _take_all(self, name: str, volumes: Mapping[str, str]) -> GroupMeta:
        meta = GroupMeta(volumes=dict(volumes), created=time.time_ns())
        self._pool.groups.save(name, meta)
        faults.point("loop-group-noted")
        until = math.inf if not self._any_attached(volumes) else time.monotonic() + copying.LIVE_SECONDS
        try:
            for volume in volumes:
                if self._pool.snapshots.look(member(name, volume)) is not None:
                    raise AlreadyExists(f"snapshot {member(name, volume)!r} exists outside of group {name!r}")
                self._take(VolumeId(volume), member(name, volume), "", group=name, until=until)
                faults.point("loop-group-member")
        except BaseException:
            self._drop(name)
            raise
        complete = replace(meta, complete=True)
        self._pool.groups.save(name, complete)
        return complete

    def _any_attached(self, volumes: Mapping[str, str]) -> bool:
        return any(self._pool.volumes.load(volume).attached_to for volume in volumes)

    def _drop(self, name: str) -> None:
        """Delete a group, member by member; it counts as incomplete from the first step on."""
        groups = self._pool.groups
        meta = groups.look(name)
        if meta is None:
            return
        groups.save(name, replace(meta, complete=False))
        for volume in meta.volumes:
            found = self._pool.snapshots.look(member(name, volume))
            if found is not None and found.group == name:
                self._pool.snapshots.remove(member(name, volume), lambda _: None)
                faults.point("loop-group-removed")
        groups.forget(name)

    def _drop_interrupted(self) -> None:
        groups = self._pool.groups
        for name in groups.names():
            if not groups.is_complete(name):
                self._drop(name)

    def _group(self, name: str, meta: GroupMeta) -> SnapshotGroup:
        members = [member(name, volume) for volume in meta.volumes]
        return SnapshotGroup(
            id=SnapshotId(name),
            name=name,
            snapshots=tuple(described(found, self._pool.snapshots.load(found)) for found in members),
            created=moment(meta.created),
        )


def member(group: str, volume: str) -> str:
    """The id of a group's snapshot of a volume: the same at every try, and short."""
    return f"group-{hashlib.sha256(f'{group}/{volume}'.encode()).hexdigest()[:32]}"
