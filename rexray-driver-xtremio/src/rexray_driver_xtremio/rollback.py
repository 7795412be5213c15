"""Putting volumes back to their snapshots.

Facts: POST to v2's snapshots with ``from-volume-id``, ``to-volume-id`` and ``no-backup`` puts a snapshot's contents
into a volume of the same volume snapshot group (ViPR's client for XtremIO v2; xtremio-python). Whether the volume is
the same object afterwards, with its index and guid, is not known; its name stays.
"""

from __future__ import annotations

from rexray import faults
from rexray.errors import InvalidRequest, NotFound
from rexray.http import NoAnswer
from rexray.mixins import Rollback
from rexray.types import SnapshotId, Volume, VolumeId
from rexray_driver_xtremio.base import TRIES
from rexray_driver_xtremio.snapshots import SnapshotCalls
from rexray_driver_xtremio.things import Disk


class RollbackCalls(SnapshotCalls, Rollback):
    """``rollback`` of the contract."""

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        """Put the snapshot's data back; what the volume had is gone. The volume that is returned may have a new id.

        ``Unsupported`` before XMS 4.0; ``InvalidRequest`` if the snapshot is of another volume, or of another size
        because the volume has grown since. The same twice is harmless while nobody has the volume.
        """
        self._refuse_old("rollbacks")
        with self._held(volume_id, why=f"rolling back volume {volume_id}"):
            name = ""
            failed: NoAnswer | None = None
            for _ in range(TRIES):
                try:
                    disk = self._volume(volume_id)
                except NotFound:
                    if failed is not None and (new := self._successor(name)) is not None:
                        return self._described(new)
                    raise
                name, source = disk.ref.name, self._snapshot(snapshot_id)
                self._refuse_rollback(disk, source)
                body = {"from-volume-id": source.ref.word, "to-volume-id": disk.ref.word, "no-backup": "true"}
                faults.point("xtremio-rollback-asking")
                try:
                    self._xms.post("snapshots", body)
                except NoAnswer as error:
                    failed = error
                    continue
                faults.point("xtremio-rollback-asked")
                return self._described(self._disk(volume_id) or self._successor(name) or disk)
            raise failed or NotFound(f"volume {volume_id!r} does not exist")

    def _successor(self, name: str) -> Disk | None:
        """What the array has put in the place of a volume of that name."""
        disk = self._disk_named(name)
        return disk if disk is not None and not disk.is_snapshot else None

    def _refuse_rollback(self, disk: Disk, snapshot: Disk) -> None:
        what = f"volume {disk.ref.guid!r}"
        self._refuse_mapped(disk, what)
        if snapshot.ancestor is None or snapshot.ancestor.guid != disk.ref.guid:
            of = repr(snapshot.ancestor.guid) if snapshot.ancestor else "a volume that is gone"
            raise InvalidRequest(f"snapshot {snapshot.ref.guid!r} is of {of}, not of {what}")
        if snapshot.size_bytes != disk.size_bytes:
            raise InvalidRequest(
                f"{what} has {disk.size_bytes} bytes and snapshot {snapshot.ref.guid!r} has {snapshot.size_bytes}: the "
                "volume has grown since, and cannot be put back: make a new volume of the snapshot"
            )

    def _snapshot(self, snapshot_id: SnapshotId) -> Disk:
        disk = self._disk(snapshot_id)
        if disk is None or not disk.is_snapshot:
            raise NotFound(f"snapshot {snapshot_id!r} does not exist in cluster {self._xms.about.cluster!r}")
        return disk
