"""Putting volumes back to their snapshots, which in EC2 is a new volume in the place of the old one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rexray import faults
from rexray.errors import AlreadyExists, InUse, InvalidRequest, RexrayError, Unavailable
from rexray.mixins import Rollback
from rexray.types import SnapshotId, Volume, VolumeId
from rexray_driver_ec2.making import MakingCalls
from rexray_driver_ec2.refusals import code_of
from rexray_driver_ec2.wishes import ADJUSTABLE
from rexray_driver_ec2.words import (
    ENDED,
    LINEAGE,
    LONGEST_LINEAGE,
    NAME,
    REPLACES,
    describe_snapshot,
    holders_of,
    is_visible,
    tag_of,
    tags_for,
)

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import CreateVolumeRequestTypeDef, SnapshotTypeDef, VolumeTypeDef


class RollbackCalls(MakingCalls, Rollback):
    """``rollback`` of the contract."""

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        """A volume of the snapshot's data in the place of that one, which is deleted: it has the name and a new id.

        EC2 cannot put data back into a volume. The old one is only deleted once the new one is there and has its name;
        until then the name means the old one, and rolling back again goes on where it was.
        """
        mark = f"{volume_id} {snapshot_id}"
        with self._making(f"rollback of {volume_id}"):
            new = next(iter(self._describer.volumes_tagged(REPLACES, mark)), None)
            old = self._describer.volume(volume_id)
            if old is None or old["State"] in ENDED:
                if new is None or not is_visible(new, self._settings.tag):
                    raise self._unknown(volume_id)
                return self._described(new)
            self._refuse_rollback(old, self._snapshot(snapshot_id))
            if new is not None and not _is_like(new, old):  # the old one has changed since that was made
                if tag_of(new, NAME):
                    raise AlreadyExists(
                        f"volume {new['VolumeId']!r} has the name of {volume_id!r} already and is not like it: "
                        "remove one of them"
                    )
                self._delete(VolumeId(new["VolumeId"]))
                new = None
            if new is None:
                self._until_completed(snapshot_id)
                new = self._replacement(old, snapshot_id, mark)
            new = self._until_made(new)
            if new["State"] != "available":
                raise Unavailable(f"volume {new['VolumeId']!r}, made to replace {volume_id!r}, is {new['State']!r}")
            faults.point("ec2-rollback-made")
            return self._described(self._replace(old, new, mark))

    def _replace(self, old: VolumeTypeDef, new: VolumeTypeDef, mark: str) -> VolumeTypeDef:
        """The new volume, called as the old one now, which is deleted if it is still attached nowhere."""
        _refuse_attached(self._volume(VolumeId(old["VolumeId"])))
        tags = {tag["Key"]: tag["Value"] for tag in old.get("Tags", []) if not tag["Key"].startswith("aws:")}
        tags |= {REPLACES: mark, LINEAGE: _lineage(old)}
        with self._api.calling("CreateTags", f"volume {new['VolumeId']!r}") as ec2:
            ec2.create_tags(Resources=[new["VolumeId"]], Tags=tags_for("volume", tags)["Tags"])
        faults.point("ec2-rollback-named")
        self.remove(VolumeId(old["VolumeId"]))
        faults.point("ec2-rollback-removed")
        return {**new, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _replacement(self, old: VolumeTypeDef, snapshot_id: SnapshotId, mark: str) -> VolumeTypeDef:
        """A volume like the old one, without its name for now."""
        request: CreateVolumeRequestTypeDef = {
            "AvailabilityZone": old["AvailabilityZone"],
            "Size": old["Size"],
            "VolumeType": old["VolumeType"],
            "SnapshotId": snapshot_id,
            "TagSpecifications": [tags_for("volume", {REPLACES: mark})],
        }
        if old["VolumeType"] in ADJUSTABLE:
            request["Iops"] = old["Iops"]
        if old.get("Throughput"):
            request["Throughput"] = old["Throughput"]
        if old.get("MultiAttachEnabled"):
            request["MultiAttachEnabled"] = True
        if old.get("Encrypted"):
            request["Encrypted"] = True
            request["KmsKeyId"] = old["KmsKeyId"]
        return self._make_once(
            mark,
            request,
            lambda: next(iter(self._describer.volumes_tagged(REPLACES, mark)), None),
            lambda item: tag_of(item, REPLACES) == mark,
        )

    def _refuse_rollback(self, old: VolumeTypeDef, snapshot: SnapshotTypeDef) -> None:
        """Refuse what would fail half way, before anything is made."""
        volume_id = VolumeId(old["VolumeId"])
        if not is_visible(old, self._settings.tag):
            raise self._unknown(volume_id)
        _refuse_attached(old)
        of = describe_snapshot(snapshot, tag=self._settings.tag, region=self._api.region).volume_id
        if of not in _lineage(old).split():
            raise InvalidRequest(f"snapshot {snapshot['SnapshotId']!r} is of volume {of!r}, not of {volume_id!r}")
        with suppress(_NotDry):  # another cloud may take a dry run for a wet one
            with _dry_run(), self._api.calling("DescribeVolumes") as ec2:
                ec2.describe_volumes(VolumeIds=[volume_id], DryRun=True)
            with _dry_run(), self._api.calling("DeleteVolume", f"volume {volume_id!r}") as ec2:
                ec2.delete_volume(VolumeId=volume_id, DryRun=True)


class _NotDry(Exception):
    """A call was carried out although it was to be a dry run."""


@contextmanager
def _dry_run() -> Iterator[None]:
    """EC2 answers each dry run by an error: ``DryRunOperation`` says that the call would be allowed."""
    try:
        yield
    except RexrayError as error:
        if code_of(error) != "DryRunOperation":
            raise
        return
    raise _NotDry


def _refuse_attached(item: VolumeTypeDef) -> None:
    if holders := holders_of(item):
        raise InUse(f"volume {item['VolumeId']!r} is attached to {holders}: detach it first")


def _is_like(new: VolumeTypeDef, old: VolumeTypeDef) -> bool:
    return new["State"] != "error" and (new["Size"], new["VolumeType"]) == (old["Size"], old["VolumeType"])


def _lineage(item: VolumeTypeDef) -> str:
    """The ids that the volume had before it was rolled back, and its own: its snapshots have any of them."""
    ids = [*tag_of(item, LINEAGE).split(), item["VolumeId"]]
    return " ".join(ids[-LONGEST_LINEAGE:])
