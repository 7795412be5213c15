"""Snapshots of several images at one moment.

Ceph's own groups take such snapshots too, but no volume can be made of them (before Ceph 19). These are snapshots like
all others, taken by a client that holds librbd's lock of every image meanwhile: whoever writes to one of them waits.

A group is there when its name is among the keys of one object of the default pool, which is written last and removed
first: members without it are shown to nobody, and go with the next call about that group.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator

from rexray import faults
from rexray.errors import AlreadyExists, InvalidRequest, NotFound, RexrayError
from rexray.mixins import GroupSnapshots
from rexray.names import check_name
from rexray.types import SnapshotGroup, SnapshotId, VolumeId
from rexray_driver_ceph import facts
from rexray_driver_ceph.base import refuse_unfinished
from rexray_driver_ceph.describing import describe_snapshot
from rexray_driver_ceph.images import GROUPS, Image, Snap
from rexray_driver_ceph.names import Spec, encoded
from rexray_driver_ceph.snapping import SnapshotCalls, refuse_needed

_TRIES = 5
"""How often snapshots are taken anew that somebody else has taken in the same moment."""


class GroupCalls(SnapshotCalls, GroupSnapshots):
    """``GroupSnapshots`` of the contract. A group's id is its name."""

    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        """The group of that name, taken if it is missing; ``AlreadyExists`` if it is of other volumes.

        ``InvalidRequest`` for an image without the feature exclusive-lock, whose writers nobody can hold up;
        ``Unsupported`` on a host without Ceph's Python bindings.
        """
        check_name(name, "group snapshot")
        encoded(name)
        if name.startswith("-"):
            raise InvalidRequest(f"group snapshot {name!r}: what begins with '-' is an option of Ceph's programs")
        if not volume_ids:
            raise InvalidRequest(f"group snapshot {name!r}: no volumes are named")
        with self._locks.hold("groups", owner=f"taking group {name}", timeout=self._settings.work_timeout):
            images = [self._image(volume_id) for volume_id in sorted(set(volume_ids))]
            if name not in self._reader.keys(GROUPS):
                self._take_all(name, images)
            group = self.snapshot_group(SnapshotId(name))
            taken = {str(snap.volume_id) for snap in group.snapshots}
            if taken != {str(image.spec) for image in images}:
                raise AlreadyExists(
                    f"group snapshot {name!r} is of {', '.join(sorted(taken))}, and was asked for of "
                    f"{', '.join(str(image.spec) for image in images)}"
                )
            return group

    def snapshot_group(self, group_id: SnapshotId) -> SnapshotGroup:
        """One group with its snapshots; raises ``NotFound``."""
        if group_id not in self._reader.keys(GROUPS):
            raise NotFound(f"group snapshot {group_id!r} does not exist")
        members = list(self._members(group_id))
        return SnapshotGroup(
            id=group_id,
            name=group_id,
            snapshots=tuple(describe_snapshot(image, snap) for image, snap in members),
            created=min((snap.created for _, snap in members), default=None),
        )

    def remove_snapshot_group(self, group_id: SnapshotId) -> None:
        """Delete a group with its snapshots; a missing one is success."""
        with self._locks.hold("groups", owner=f"removing group {group_id}", timeout=self._settings.work_timeout):
            members = list(self._members(group_id))
            for image, snap in members:
                refuse_needed(image, snap)
            if group_id in self._reader.keys(GROUPS):
                self._note(group_id, "rmomapkey")
                faults.point("rbd-group-forgotten")
            for _, snap in members:
                self._drop_member(snap.spec)

    def _take_all(self, name: str, images: Collection[Image]) -> None:
        specs = [image.spec.at(_member(name, image.spec)) for image in images]
        for image in images:
            refuse_unfinished(image)
            if "exclusive-lock" not in image.features:
                raise InvalidRequest(
                    f"group snapshot {name!r}: image {image.spec} lacks the feature exclusive-lock, without which its "
                    f"writers cannot be held up: rbd feature enable {image.spec} exclusive-lock"
                )
        for image, spec in zip(images, specs, strict=True):
            if any(snap.spec == spec for snap in image.snapshots):
                self._drop_member(spec)
        for tries in range(_TRIES, 0, -1):
            for spec in specs:
                facts.put(self._cluster, spec, {"name": spec.snapshot, "group": name})
            faults.point("rbd-group-described")
            try:
                self._reader.take_together(specs)
                break
            except AlreadyExists:  # by the session of a call that was killed, which goes on until it is done
                self._drop_members(specs)
                if tries == 1:
                    raise
            except BaseException:
                self._drop_members(specs)
                raise
        faults.point("rbd-group-taken")
        try:
            self._note(name, "setomapval", "")
        except RexrayError:
            with contextlib.suppress(NotFound):
                self._note(name, "rmomapkey")  # it may have been noted all the same
            self._drop_members(specs)
            raise
        faults.point("rbd-group-noted")

    def _members(self, name: str) -> Iterator[tuple[Image, Snap]]:
        for image in self._seen(self._reader.snapshots):
            for snap in image.snapshots:
                if snap.facts.get("group") == name:
                    yield image, snap

    def _drop_members(self, specs: Collection[Spec]) -> None:
        for spec in specs:
            self._drop_member(spec)

    def _drop_member(self, spec: Spec) -> None:
        self._drop_snapshot(spec)
        faults.point("rbd-group-dropped")
        facts.drop(self._cluster, spec)

    def _note(self, name: str, verb: str, *value: str) -> None:
        pool = self._cluster.default_pool
        words = ("--pool", pool.name, "--namespace", pool.namespace, verb, GROUPS, name, *value)
        self._cluster.run("rados", *words, action=f"note group snapshot {name!r}")


def _member(group: str, spec: Spec) -> str:
    """The name of a group's snapshot of an image: the same at every try, and short."""
    return f"rexray-group-{hashlib.sha256(f'{group}/{spec}'.encode()).hexdigest()[:32]}"
