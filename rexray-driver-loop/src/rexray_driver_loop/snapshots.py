"""Snapshots: copies of a volume's file, sharing its blocks where the filesystem can."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

from rexray import faults
from rexray.errors import AlreadyExists, InvalidRequest
from rexray.mixins import Rollback, Snapshots
from rexray.names import check_name
from rexray.types import Snapshot, SnapshotId, Volume, VolumeId
from rexray_driver_loop import copying, live
from rexray_driver_loop.base import PoolCalls, moment, refuse_attached
from rexray_driver_loop.files import flush_folder, opened, told
from rexray_driver_loop.model import THICK, SnapshotMeta, VolumeMeta


class SnapshotCalls(PoolCalls, Snapshots, Rollback):
    """``Snapshots`` and ``Rollback`` of the contract. A snapshot's id is its name."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        """The snapshot of that name, taken if it is missing; ``AlreadyExists`` if it is of another volume.

        It has what the volume's file had at one moment, with what was written to a device of this host before; for a
        filesystem in good order the caller freezes it meanwhile. Without reflinks a volume that keeps being written is
        ``Busy``, and an attached one that takes longer than ``copying.LIVE_SECONDS`` is ``TimedOut``.
        """
        pool = self._pool
        check_name(name, "snapshot name")
        volume = pool.volumes.load(volume_id)
        if pool.snapshots.look(name) is None:
            self._take(volume_id, name, description)
        meta = pool.snapshots.load(name)
        if meta.group:
            raise AlreadyExists(f"snapshot {name!r} belongs to group snapshot {meta.group!r}")
        if meta.volume != volume_id:
            raise AlreadyExists(f"snapshot {name!r} is of volume {meta.volume!r}, and was asked for of {volume_id!r}")
        if meta.volume_uid != volume.uid:
            raise AlreadyExists(f"snapshot {name!r} is of an earlier volume {volume_id!r}, which was removed")
        return described(name, meta)

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        """The snapshots, all or those of one volume or that one, sorted by their id."""
        store = self._pool.snapshots
        if snapshot_id is None:
            found = store.entries()
        else:
            meta = store.look(snapshot_id)
            found = iter(() if meta is None else ((str(snapshot_id), meta),))
        return (
            described(name, meta) for name, meta in found if volume_id in (None, meta.volume) and self._is_shown(meta)
        )

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        """Delete the snapshot; a missing one is success. What was made of it stays.

        One of a group goes with its group, and alone is ``InvalidRequest``.
        """

        def refuse_member(meta: SnapshotMeta) -> None:
            if meta.group and self._pool.groups.look(meta.group) is not None:
                raise InvalidRequest(f"snapshot {snapshot_id!r} belongs to group snapshot {meta.group!r}: remove that")

        self._pool.snapshots.remove(snapshot_id, refuse_member)

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        """Put the snapshot's data back; an attached volume is ``InUse``. The volume keeps its size."""
        pool = self._pool
        volume, snapshot = pool.volumes.load(volume_id), pool.snapshots.load(snapshot_id)
        _refuse_foreign(volume_id, volume, snapshot_id, snapshot)
        refuse_attached(volume_id, volume)
        with told(f"rolling back {volume_id!r}"), pool.scratch.make() as scratch:
            fresh = scratch / "data"
            with opened(pool.snapshots.data(snapshot_id), os.O_RDONLY) as source, _fresh(fresh) as target:
                if not copying.share_data(source, target):
                    copying.copy_data(source, target)
                copying.grow(target, volume.data_bytes, allocate=volume.type == THICK)
                faults.point("loop-rollback-copied")
                with pool.volumes.changing(volume_id, "rolling back"):
                    volume = pool.volumes.load(volume_id)
                    _refuse_foreign(volume_id, volume, snapshot_id, snapshot)
                    refuse_attached(volume_id, volume)
                    self._release(volume_id, volume)
                    copying.grow(target, volume.data_bytes, allocate=volume.type == THICK)  # expanded meanwhile
                    os.rename(fresh, pool.volumes.data(volume_id))
                    flush_folder(pool.volumes.path(volume_id))
                    faults.point("loop-rollback-replaced")
        return self._described(volume_id, volume)

    def _is_shown(self, meta: SnapshotMeta) -> bool:
        """A group's snapshots appear all at once."""
        return not meta.group or self._pool.groups.is_complete(meta.group)

    def _take(
        self, volume_id: VolumeId, name: str, description: str, *, group: str = "", until: float = math.inf
    ) -> None:
        pool = self._pool
        taken: list[SnapshotMeta] = []

        def plan(volume: VolumeMeta | SnapshotMeta) -> None:
            assert isinstance(volume, VolumeMeta)
            taken.append(_planned(volume_id, volume, description, group))

        def fill(data: Path) -> SnapshotMeta:
            with _fresh(data) as target:
                live.copy(pool.volumes, volume_id, target, plan, until=until)
            return taken[0]

        pool.snapshots.create(name, fill)


def _planned(volume_id: VolumeId, volume: VolumeMeta, description: str, group: str) -> SnapshotMeta:
    return SnapshotMeta(
        volume=volume_id,
        volume_uid=volume.uid,
        size_bytes=volume.size_bytes,
        created=time.time_ns(),
        description=description,
        encrypted=volume.encrypted,
        key=volume.key,
        group=group,
    )


def _fresh(path: Path) -> contextlib.AbstractContextManager[int]:
    return opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)


def _refuse_foreign(volume_id: str, volume: VolumeMeta, snapshot_id: str, snapshot: SnapshotMeta) -> None:
    if snapshot.volume_uid != volume.uid:
        was = "an earlier volume of that name" if snapshot.volume == volume_id else repr(snapshot.volume)
        raise InvalidRequest(f"snapshot {snapshot_id!r} is of {was}, not of volume {volume_id!r}")


def described(name: str, meta: SnapshotMeta) -> Snapshot:
    """A snapshot as the contract says it."""
    return Snapshot(
        id=SnapshotId(name),
        name=name,
        volume_id=VolumeId(meta.volume),
        size_bytes=meta.size_bytes,
        created=moment(meta.created),
        description=meta.description,
        group=meta.group,
    )
