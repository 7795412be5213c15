"""Snapshots of images, and putting them back.

A snapshot's description is in its image's metadata, and there before the snapshot is.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterator

from rexray import faults
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound
from rexray.mixins import Rollback, Snapshots
from rexray.names import check_name
from rexray.types import Snapshot, SnapshotId, Volume, VolumeId
from rexray_driver_ceph import facts
from rexray_driver_ceph.base import RbdCalls, refuse_attached, refuse_unfinished
from rexray_driver_ceph.describing import describe_snapshot
from rexray_driver_ceph.fencing import refuse_open
from rexray_driver_ceph.images import GROUPS, HIDDEN, SNAPSHOT_META, Image, Snap
from rexray_driver_ceph.names import Spec, image_name
from rexray_driver_ceph.refusals import number, refusal


class SnapshotCalls(RbdCalls, Snapshots, Rollback):
    """``Snapshots`` and ``Rollback`` of the contract. A snapshot's id is ``POOL/IMAGE@SNAPSHOT``."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        """The snapshot of that name, taken if it is missing; ``AlreadyExists`` if it is of another volume.

        It has what the cluster had at that moment: for a filesystem in good order the caller freezes it meanwhile.
        """
        check_name(name, "snapshot name")
        spec = self._spec(volume_id).at(image_name(name))
        with self._changing(spec, "taking a snapshot of"):
            image = self._image(volume_id)
            if _find(image, spec) is None:
                refuse_unfinished(image)
                self._refuse_taken(name, spec)
                self._take(spec, {"name": name, "description": description})
                image = self._image(volume_id)
            snap = _find(image, spec)
            if snap is None:
                raise NotFound(f"snapshot {str(spec)!r} was removed as soon as it was taken")
            return describe_snapshot(image, snap)

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        """The snapshots, all or those of one volume or that one, also those that REX-Ray did not take."""
        wanted = self._wanted(snapshot_id)
        if snapshot_id is not None and wanted is None:
            return
        whose = self._spec(volume_id) if volume_id is not None else None
        whole = wanted.whole if wanted is not None else whose
        if whole is None:
            images: Iterator[Image] = self._seen(self._reader.snapshots)
        else:
            images = iter([image] if (image := self._look_at(whole)) is not None else [])
        groups: tuple[str, ...] | None = None
        for image in images:
            for snap in image.snapshots:
                if snap.spec.snapshot.startswith(HIDDEN) or image.spec.image.startswith(HIDDEN):
                    continue
                if group := snap.facts.get("group"):
                    groups = self._reader.keys(GROUPS) if groups is None else groups
                    if group not in groups:
                        continue
                if wanted in (None, snap.spec) and whose in (None, image.spec):
                    yield describe_snapshot(image, snap)

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        """Delete the snapshot; a missing one is success, also of a pool that is missing. What was made of it stays."""
        spec = self._wanted(snapshot_id)
        if spec is None:
            return
        with self._changing(spec, "removing a snapshot of"):
            image = self._look_at(spec.whole)
            snap = _find(image, spec) if image is not None else None
            if image is None or snap is None:
                if image is not None and SNAPSHOT_META + spec.snapshot in image.metadata:
                    facts.drop(self._cluster, spec)
                return
            refuse_needed(image, snap)
            if (group := snap.facts.get("group")) and group in self._reader.keys(GROUPS):
                raise InvalidRequest(f"snapshot {snapshot_id!r} belongs to group snapshot {group!r}: remove that")
            if not (snap.facts or self._settings.remove_foreign):
                self._refuse_foreign_snapshot(spec)
            action = f"remove snapshot {str(spec)!r}"
            ended = self._cluster.attempt("rbd", "snap", "rm", "--no-progress", str(spec), action=action)
            if ended.status != 0 and "failed to remove snapshot: (2)" not in ended.stderr:
                error = refusal(ended, action)
                hint = ": 'rbd snap unprotect' lets go of a protected one" if number(ended) == errno.EBUSY else ""
                raise type(error)(f"{error}{hint}")
            faults.point("rbd-snapshot-removed")
            facts.drop(self._cluster, spec)

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        """Put the snapshot's data back; an attached volume is ``InUse``. The volume has the size that it had then.

        That a rollback is under way is noted first: one that was cut short leaves a mixture, which is not attached
        before it was rolled back again. Of two at once the one that noted it last goes on, and the other is ``InUse``.
        """
        spec, source = self._spec(volume_id), self._wanted(snapshot_id)
        if source is None or source.whole != spec:
            raise InvalidRequest(f"snapshot {snapshot_id!r} is not of volume {volume_id!r}")
        with self._changing(spec, "rolling back"):
            image = self._image(volume_id)
            snap = _find(image, source)
            if snap is None:
                raise NotFound(f"snapshot {snapshot_id!r} does not exist in the cluster")
            refuse_attached(image)
            refuse_open(image, self._fence.wait_closed(image))
            mine = secrets.token_hex(4)
            facts.put(self._cluster, spec, {**image.facts, "rollback": source.snapshot, "rollbackBy": mine})
            faults.point("rbd-rollback-noted")
            noted = self._image(volume_id)
            _refuse_other(noted, mine)
            if noted.claim is not None:  # before that could be seen
                facts.put(self._cluster, spec, image.facts)
                refuse_attached(noted)
            refuse_open(noted, self._fence.wait_closed(noted))  # another rollback's, which passed the same way before
            words = ("snap", "rollback", "--no-progress", str(source))
            action = f"roll volume {volume_id!r} back"
            self._cluster.run("rbd", *words, action=action, seconds=self._settings.work_timeout)
            faults.point("rbd-rollback-done")
            _refuse_other(self._image(volume_id), mine)
            facts.put(self._cluster, spec, {**image.facts, "rollback": "", "rollbackBy": ""})
            return self._described(self._image(volume_id))

    def _wanted(self, snapshot_id: str | None) -> Spec | None:
        """The snapshot of an id; None for what is the id of none."""
        try:
            spec = self._parse(snapshot_id or "")
        except InvalidRequest:
            return None
        return spec if spec.snapshot and not spec.snapshot.startswith(HIDDEN) else None

    def _take(self, spec: Spec, described: dict[str, str]) -> None:
        facts.put(self._cluster, spec, described)
        faults.point("rbd-snapshot-described")
        action = f"take snapshot {str(spec)!r}"
        ended = self._cluster.attempt("rbd", "snap", "create", "--no-progress", str(spec), action=action)
        if ended.status != 0 and number(ended) != errno.EEXIST:
            raise refusal(ended, action)
        faults.point("rbd-snapshot-taken")

    def _refuse_taken(self, name: str, spec: Spec) -> None:
        """``AlreadyExists`` where a snapshot of that name is of another volume."""
        for image in self._seen(self._reader.snapshots):
            for snap in image.snapshots:
                if image.spec != spec.whole and (snap.facts.get("name") or snap.spec.snapshot) == name:
                    raise AlreadyExists(
                        f"snapshot {name!r} is of volume {str(image.spec)!r}, and was asked for of {str(spec.whole)!r}"
                    )

    def _refuse_foreign_snapshot(self, spec: Spec) -> None:
        raise InUse(
            f"REX-Ray did not take snapshot {str(spec)!r}, and does not remove it: set rbd.removeForeign, or use 'rbd'"
        )


def _refuse_other(image: Image, mine: str) -> None:
    """``InUse`` where another rollback was noted since: that note is not this one's to take back."""
    if image.facts.get("rollbackBy") != mine:
        raise InUse(f"volume {str(image.spec)!r} is being rolled back by somebody else as well: look, and try again")


def refuse_needed(image: Image, snap: Snap) -> None:
    """``InUse`` for the snapshot without which a rollback that was cut short cannot be finished."""
    if image.facts.get("rollback") == snap.spec.snapshot:
        raise InUse(
            f"volume {str(image.spec)!r} is being rolled back to snapshot {str(snap.spec)!r}, or that was cut short: "
            "roll it back again first"
        )


def _find(image: Image, spec: Spec) -> Snap | None:
    return next((snap for snap in image.snapshots if snap.spec == spec), None)
