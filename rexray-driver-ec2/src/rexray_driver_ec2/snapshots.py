"""Snapshots of volumes, and copies of them in other regions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rexray.errors import AlreadyExists, Forbidden, InvalidRequest, Unavailable
from rexray.mixins import SnapshotCopy, Snapshots
from rexray.types import Snapshot, SnapshotId, VolumeId
from rexray_driver_ec2.cloning import CloneCalls
from rexray_driver_ec2.describing import Describer
from rexray_driver_ec2.words import CLONE, NAME, SOURCE, describe_snapshot, is_visible, tag_of

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import SnapshotTypeDef


class SnapshotCalls(CloneCalls, Snapshots, SnapshotCopy):
    """``create_snapshot``, ``snapshots``, ``remove_snapshot`` and ``copy_snapshot`` of the contract."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        """The snapshot of that name; EC2 goes on storing it after this returns, and it is not ``ready`` before that."""
        tag = self._tag(name)
        with self._making(f"snapshot {tag}"):
            found = _only(self._describer.snapshots_named(tag), tag)
            if found is None:
                self._volume(volume_id)
                found = self._snap(volume_id, {NAME: tag}, description, lambda: self._describer.snapshots_named(tag))
        snapshot = self._shown(found)
        if snapshot.volume_id != volume_id:
            raise AlreadyExists(
                f"snapshot {name!r} ({snapshot.id}) is of volume {snapshot.volume_id!r}, not of {volume_id!r}"
            )
        return snapshot

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        """The account's snapshots, all or those of one volume or that one, page by page."""
        if snapshot_id is not None:
            found = self._describer.snapshot(snapshot_id)
            items: Iterator[SnapshotTypeDef] = iter([found] if found and self._is_mine(found) else [])
        else:
            items = self._describer.snapshots(volume=volume_id or "")
        shown = (self._shown(item) for item in items if not tag_of(item, CLONE))
        return (snapshot for snapshot in shown if volume_id in (None, snapshot.volume_id))

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        """Delete the snapshot; a missing one is success. Volumes that were made of it are not touched."""
        if self._settings.tag:
            found = self._describer.snapshot(snapshot_id)
            if found is None:
                return
            if not self._is_mine(found):
                raise Forbidden(
                    f"snapshot {snapshot_id!r} is not tagged {self._settings.tag!r} (ec2.tag): it is another's"
                )
        self._delete_snapshot(snapshot_id)

    def copy_snapshot(self, snapshot_id: SnapshotId, name: str, region: str) -> Snapshot:
        """The copy of that name in the region, begun if it is missing; the snapshot has to be completed for that."""
        tag, there = self._tag(name), self._region(region)
        source = self._snapshot(snapshot_id)
        origin = f"{tag_of(source, SOURCE).partition(' ')[0] or source['VolumeId']} {snapshot_id}"
        with self._making(f"copy {tag} in {region}"):
            found = _only(there.snapshots_named(tag), tag)
            if found is None:
                self._until_completed(snapshot_id)
                tags = {NAME: tag, SOURCE: origin}
                found = self._copy(source, tags, there, region, lambda: there.snapshots_named(tag))
        if tag_of(found, SOURCE) != origin:
            raise AlreadyExists(f"snapshot {name!r} ({found['SnapshotId']}) in {region} is no copy of {snapshot_id!r}")
        return describe_snapshot(found, tag=self._settings.tag, region=region)

    def _shown(self, item: SnapshotTypeDef) -> Snapshot:
        return describe_snapshot(item, tag=self._settings.tag, region=self._api.region)

    def _is_mine(self, item: SnapshotTypeDef) -> bool:
        return is_visible(item, self._settings.tag)

    def _region(self, region: str) -> Describer:
        """What is asked of another region."""
        if not region:
            raise InvalidRequest("the region to copy the snapshot to is missing")
        return self._elsewhere.setdefault(region, Describer(self._api, self._settings, region))


def _only(found: Sequence[SnapshotTypeDef], tag: str) -> SnapshotTypeDef | None:
    if len(found) > 1:
        raise AlreadyExists(f"several snapshots are called {tag!r}: {', '.join(item['SnapshotId'] for item in found)}")
    if found and found[0]["State"] == "error":
        raise Unavailable(f"snapshot {tag!r} ({found[0]['SnapshotId']}) ended as 'error' on EC2's side: remove it")
    return found[0] if found else None
