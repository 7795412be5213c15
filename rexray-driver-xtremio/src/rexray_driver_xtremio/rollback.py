"""Putting volumes back to their snapshots.

Facts: POST to v2's snapshots with ``from-volume-id``, ``to-volume-id`` and ``no-backup`` puts a snapshot's contents
into a volume of the same volume snapshot group (ViPR's client for XtremIO v2; xtremio-python). Whether the volume is
the same object afterwards, with its index and guid, is not known; its name stays.
"""

from __future__ import annotations

from rexray import faults
from rexray.errors import InUse, InvalidRequest, NotFound, RexrayError, Unavailable
from rexray.http import NoAnswer
from rexray.mixins import Rollback
from rexray.types import SnapshotId, Volume, VolumeId
from rexray_driver_xtremio.describing import Hosts
from rexray_driver_xtremio.snapshots import SnapshotCalls
from rexray_driver_xtremio.things import Disk


class RollbackCalls(SnapshotCalls, Rollback):
    """``rollback`` of the contract."""

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        """Put the snapshot's data back; what the volume had is gone.

        The array may put a new volume in the place of the old one. The volume that is returned is then that one, under
        its new id, and nothing has the id that was asked for any more: whoever keeps ids has to take the new one.

        ``Unsupported`` before XMS 4.0; ``InvalidRequest`` if the snapshot is of another volume, or of another size
        because the volume has grown since; ``InUse`` if a host got the volume meanwhile. It is asked for once: with
        ``NoAnswer`` it may still happen. The same twice is harmless while nobody has the volume.
        """
        self._refuse_old("rollbacks")
        with self._held(volume_id, why=f"rolling back volume {volume_id}"):
            tries = self._tries()
            while True:
                source, disk = self._snapshot(snapshot_id), self._volume(volume_id)
                self._refuse_rollback(disk, source)
                body = {"from-volume-id": source.ref.word, "to-volume-id": disk.ref.word, "no-backup": "true"}
                faults.point("xtremio-rollback-asking")
                try:
                    self._xms.post("snapshots", body)
                except NoAnswer as error:
                    raise NoAnswer(
                        f"{error}: volume {volume_id!r} may still be overwritten: do not attach it before the array is "
                        "done, and roll it back again"
                    ) from None
                except RexrayError as error:
                    tries.after(error, NotFound)
                else:
                    break
            faults.point("xtremio-rollback-asked")
            back = self._disk(volume_id) or self._successor(disk, snapshot_id)
            if back.mappings:
                holders = ", ".join(Hosts(self._initiators(), (), here=self._here).holders(back))
                raise InUse(
                    f"volume {back.ref.guid!r} was attached to {holders} while it was rolled back: what that host sees "
                    "may be of both times: unmount it there and roll it back again"
                )
            return self._described(back)

    def _successor(self, old: Disk, snapshot_id: SnapshotId) -> Disk:
        """What the array has put in the place of a volume: its name alone could be that of one made anew meanwhile."""
        new, source = self._disk_named(old.ref.name), self._disk(snapshot_id)
        if new is not None and not new.is_snapshot:
            inherits = source is not None and source.ancestor is not None and source.ancestor.guid == new.ref.guid
            if inherits or (old.naa and new.naa == old.naa):
                return new
        raise Unavailable(
            f"volume {old.ref.guid!r} was rolled back and is not there any more: whether it was removed, or which one "
            f"is in its place, is not known: look at what is called {old.ref.name!r}"
        )

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
