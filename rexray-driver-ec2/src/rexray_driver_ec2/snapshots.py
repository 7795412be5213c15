"""Snapshots of volumes, copies of them in other regions, and volumes put back to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rexray import faults
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, Unavailable
from rexray.mixins import Rollback, SnapshotCopy, Snapshots
from rexray.types import Snapshot, SnapshotId, Volume, VolumeId
from rexray_driver_ec2.describing import Describer
from rexray_driver_ec2.making import MakingCalls
from rexray_driver_ec2.words import (
    CLONE,
    LINEAGE,
    LONGEST_LINEAGE,
    NAME,
    REPLACES,
    SOURCE,
    describe_snapshot,
    is_visible,
    tag_of,
    tags_for,
)

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import CreateVolumeRequestTypeDef, SnapshotTypeDef, VolumeTypeDef


class SnapshotCalls(MakingCalls, Snapshots, SnapshotCopy, Rollback):
    """``create_snapshot``, ``snapshots``, ``remove_snapshot``, ``copy_snapshot`` and ``rollback`` of the contract."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        """The snapshot of that name; EC2 goes on storing it after this returns, and it is not ``ready`` before that."""
        tag = self._tag(name)
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
                raise NotFound(f"snapshot {snapshot_id!r} that is tagged {self._settings.tag!r} does not exist")
        self._delete_snapshot(snapshot_id)

    def copy_snapshot(self, snapshot_id: SnapshotId, name: str, region: str) -> Snapshot:
        """The copy of that name in the region, begun if it is missing; the snapshot has to be completed for that."""
        tag, there = self._tag(name), self._region(region)
        source = self._snapshot(snapshot_id)
        origin = f"{tag_of(source, SOURCE).partition(' ')[0] or source['VolumeId']} {snapshot_id}"
        found = _only(there.snapshots_named(tag), tag)
        if found is None:
            self._until_completed(snapshot_id)
            tags = {NAME: tag, SOURCE: origin}
            found = self._copy(source, tags, there, region, lambda: there.snapshots_named(tag))
        elif tag_of(found, SOURCE) != origin:
            raise AlreadyExists(f"snapshot {name!r} ({found['SnapshotId']}) in {region} is no copy of {snapshot_id!r}")
        return describe_snapshot(found, tag=self._settings.tag, region=region)

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        """A volume of the snapshot's data in the place of that one, which is deleted: it has the name and a new id.

        EC2 cannot put data back into a volume. The old one is only deleted once the new one is there and has its name;
        said again after a crash, this goes on where it was.
        """
        mark = f"{volume_id} {snapshot_id}"
        new = next(iter(self._describer.volumes_tagged(REPLACES, mark)), None)
        old = self._describer.volume(volume_id)
        if old is None or old["State"] in ("deleting", "deleted"):
            if new is None:
                raise self._unknown(volume_id)
            return self._described(new)
        self._refuse_rollback(old, self._snapshot(snapshot_id))
        if new is None:
            new = self._replacement(old, snapshot_id, mark)
        self._until_usable(new["VolumeId"])
        faults.point("ec2-rollback-made")
        tags = {tag["Key"]: tag["Value"] for tag in old.get("Tags", []) if not tag["Key"].startswith("aws:")}
        tags |= {REPLACES: mark, LINEAGE: _lineage(old)}
        with self._api.calling("CreateTags", f"volume {new['VolumeId']!r}") as ec2:
            ec2.create_tags(Resources=[new["VolumeId"]], Tags=tags_for("volume", tags)["Tags"])
        faults.point("ec2-rollback-named")
        self.remove(volume_id)
        faults.point("ec2-rollback-removed")
        return self._described(self._volume(VolumeId(new["VolumeId"])))

    def _replacement(self, old: VolumeTypeDef, snapshot_id: SnapshotId, mark: str) -> VolumeTypeDef:
        """A volume like the old one, without its name for now."""
        self._until_completed(snapshot_id)
        request: CreateVolumeRequestTypeDef = {
            "AvailabilityZone": old["AvailabilityZone"],
            "Size": old["Size"],
            "VolumeType": old["VolumeType"],
            "SnapshotId": snapshot_id,
            "TagSpecifications": [tags_for("volume", {REPLACES: mark})],
            "ClientToken": hashlib.sha256(mark.encode()).hexdigest(),
        }
        if old["VolumeType"] in ("gp3", "io1", "io2"):
            request["Iops"] = old["Iops"]
        if old.get("Throughput"):
            request["Throughput"] = old["Throughput"]
        if old.get("MultiAttachEnabled"):
            request["MultiAttachEnabled"] = True
        if old.get("Encrypted"):
            request["Encrypted"] = True
            request["KmsKeyId"] = old["KmsKeyId"]
        with self._api.calling("CreateVolume", f"volume in the place of {old['VolumeId']!r}") as ec2:
            made = ec2.create_volume(**request)
        return self._until_usable(made["VolumeId"])

    def _until_usable(self, volume_id: str) -> VolumeTypeDef:
        """A volume that was asked for, once it is made."""
        found = self._describer.until(
            f"making volume {volume_id!r}",
            lambda: self._describer.volume(volume_id),
            lambda item: item is not None and item["State"] != "creating",
        )
        if found is None or found["State"] not in ("available", "in-use"):
            state = found["State"] if found else "gone"
            raise Unavailable(
                f"volume {volume_id!r}, made to replace another one, is {state!r}: delete it and try again"
            )
        return found

    def _refuse_rollback(self, old: VolumeTypeDef, snapshot: SnapshotTypeDef) -> None:
        volume_id = VolumeId(old["VolumeId"])
        self._check_mine(volume_id)
        holders = [raw.get("InstanceId", "") for raw in old.get("Attachments", []) if raw["State"] != "detached"]
        if holders:
            raise InUse(f"volume {volume_id!r} is attached to {', '.join(holders)}: detach it first")
        of = self._shown(snapshot).volume_id
        if of not in _lineage(old).split():
            raise InvalidRequest(f"snapshot {snapshot['SnapshotId']!r} is of volume {of!r}, not of {volume_id!r}")

    def _shown(self, item: SnapshotTypeDef) -> Snapshot:
        return describe_snapshot(item, tag=self._settings.tag, region=self._api.region)

    def _is_mine(self, item: SnapshotTypeDef) -> bool:
        return is_visible(item, self._settings.tag)

    def _region(self, region: str) -> Describer:
        """What is asked of another region."""
        if not region:
            raise InvalidRequest("the region to copy the snapshot to is missing")
        return self._elsewhere.setdefault(region, Describer(self._api, self._settings, region))


def _lineage(item: VolumeTypeDef) -> str:
    """The ids that the volume had before it was rolled back, and its own: its snapshots have any of them."""
    ids = [*tag_of(item, LINEAGE).split(), item["VolumeId"]]
    return " ".join(ids[-LONGEST_LINEAGE:])


def _only(found: Sequence[SnapshotTypeDef], tag: str) -> SnapshotTypeDef | None:
    if len(found) > 1:
        raise AlreadyExists(f"several snapshots are called {tag!r}: {', '.join(item['SnapshotId'] for item in found)}")
    return found[0] if found else None
