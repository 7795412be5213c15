"""Taking snapshots. EC2 has no idempotency token for them: a call that may have taken effect is looked after."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from rexray import faults
from rexray.errors import InUse, InvalidRequest, NotFound, RexrayError, Unavailable
from rexray_driver_ec2.base import Ec2Calls
from rexray_driver_ec2.describing import Describer
from rexray_driver_ec2.refusals import code_of, is_unsure
from rexray_driver_ec2.words import can_be_id, tags_for

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import SnapshotTypeDef

LOOKS = 4
"""How often a snapshot that may have been taken is looked for, a second apart, before it is taken again."""
RATE_SECONDS = 5.0
"""How long to wait where EC2 takes no more snapshots of one volume: it allows one in 15 seconds."""


class SnappingCalls(Ec2Calls):
    """Snapshots of volumes, each made once."""

    def _snap(
        self, volume_id: str, tags: Mapping[str, str], description: str, find: Callable[[], Sequence[SnapshotTypeDef]]
    ) -> SnapshotTypeDef:
        """A new snapshot with those tags, by which ``find`` finds it."""

        def make() -> SnapshotTypeDef:
            with self._api.calling("CreateSnapshot", f"volume {volume_id!r}", once=True) as ec2:
                made = ec2.create_snapshot(
                    VolumeId=volume_id, Description=description, TagSpecifications=[tags_for("snapshot", tags)]
                )
                return cast("SnapshotTypeDef", {key: made[key] for key in made if key != "ResponseMetadata"})  # type: ignore[literal-required]

        return self._made_once(make, find)

    def _copy(
        self,
        source: SnapshotTypeDef,
        tags: Mapping[str, str],
        there: Describer,
        region: str,
        find: Callable[[], Sequence[SnapshotTypeDef]],
    ) -> SnapshotTypeDef:
        """A copy in another region with those tags, by which ``find`` finds it there; an encrypted one stays so."""
        encryption: dict[str, bool | str] = {"Encrypted": True} if source.get("Encrypted") else {}
        if encryption and _is_key_of(region, self._settings.kms_key_id, self._api.region):
            encryption["KmsKeyId"] = self._settings.kms_key_id

        def make() -> SnapshotTypeDef:
            what = f"snapshot {source['SnapshotId']!r} to {region}"
            with self._api.calling("CopySnapshot", what, region=region, once=True) as ec2:
                made = ec2.copy_snapshot(
                    SourceRegion=self._api.region,
                    SourceSnapshotId=source["SnapshotId"],
                    Description=source.get("Description", ""),
                    TagSpecifications=[tags_for("snapshot", tags)],
                    **encryption,  # type: ignore[arg-type]  # two optional parameters
                )
                return cast("SnapshotTypeDef", {"SnapshotId": made["SnapshotId"]})

        made = self._made_once(make, find)
        return made if "State" in made else self._known(there, made["SnapshotId"])

    def _made_once(
        self, make: Callable[[], SnapshotTypeDef], find: Callable[[], Sequence[SnapshotTypeDef]]
    ) -> SnapshotTypeDef:
        """What ``make`` makes, tried again after errors that pass, unless an earlier try has made it."""
        for tries_left in range(self._settings.max_retries, -1, -1):
            try:
                faults.point("ec2-snapshot-asking")
                made = make()
                faults.point("ec2-snapshot-asked")
                return made
            except RexrayError as error:
                unsure = is_unsure(error)
                too_fast = code_of(error) == "SnapshotCreationPerVolumeRateExceeded"
                if not tries_left or not (unsure or too_fast):
                    raise
            if unsure:
                for _ in range(LOOKS):
                    time.sleep(1.0)
                    if found := find():
                        return found[0]
            else:
                time.sleep(RATE_SECONDS)
        raise AssertionError("unreachable")

    def _known(self, describer: Describer, snapshot_id: str) -> SnapshotTypeDef:
        """A snapshot that was just taken, once EC2 knows it everywhere."""
        found = describer.snapshot(snapshot_id) or self._describer.until(
            f"snapshot {snapshot_id!r}", lambda: describer.snapshot(snapshot_id), lambda item: item is not None
        )
        assert found is not None
        return found

    def _until_completed(self, snapshot_id: str) -> SnapshotTypeDef:
        """The snapshot once volumes and copies can be made of it."""
        found = self._snapshot(snapshot_id)
        if found["State"] == "pending":
            found = self._describer.until(
                f"snapshot {snapshot_id!r}",
                lambda: self._snapshot(snapshot_id),
                lambda item: item["State"] != "pending",
                limit=(self._settings.snapshot_timeout, "ec2.snapshotTimeout"),
            )
        if found["State"] != "completed":
            raise Unavailable(f"snapshot {snapshot_id!r} is in state {found['State']!r}: nothing can be made of it")
        return found

    def _delete_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot; a missing one is gone, ``InUse`` if an image is made of it."""
        if not can_be_id(snapshot_id):
            return
        try:
            with self._api.calling("DeleteSnapshot", f"snapshot {snapshot_id!r}") as ec2:
                ec2.delete_snapshot(SnapshotId=snapshot_id)
        except InUse:
            raise InUse(f"snapshot {snapshot_id!r} is in use by a machine image (AMI): deregister that first") from None
        except (NotFound, InvalidRequest) as error:
            if code_of(error) not in ("InvalidSnapshot.NotFound", "InvalidSnapshotID.Malformed"):
                raise


def _is_key_of(region: str, key: str, home: str) -> bool:
    """Whether a KMS key can be there in a region: in its own, or where aliases and multi-Region keys bear its name."""
    word = key.rpartition(":")[2].rpartition("/")[2] if key.startswith("arn:") else key
    return bool(key) and (region == home or key.startswith("alias/") or word.startswith("mrk-"))
