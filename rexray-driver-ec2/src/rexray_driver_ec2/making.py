"""Making volumes and removing them: one volume for each name, whenever the process is killed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from rexray import faults
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, RexrayError, SettingsError, Unavailable
from rexray.types import Volume, VolumeId, VolumeSpec
from rexray_driver_ec2.refusals import code_of
from rexray_driver_ec2.snapping import SnappingCalls
from rexray_driver_ec2.wishes import Wanted
from rexray_driver_ec2.words import CLONE, NAME, SOURCE, tag_of

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import SnapshotTypeDef, VolumeTypeDef

SETTLED_SECONDS = 10.0
"""An age at which a volume is known everywhere in EC2: one that is not known by then has been deleted."""
REPLAY_SECONDS = 2.0
"""An age at which a volume that CreateVolume answers with was made by an earlier call with the same token."""
GENERATIONS = 50


class MakingCalls(SnappingCalls):
    """``create`` and ``remove`` of the contract."""

    def create(self, spec: VolumeSpec) -> Volume:
        """The volume of that name, made if it is missing, and available when this returns.

        The sizes are whole GiB; ``gp3`` is the type where none is asked for. ``AlreadyExists`` lists the ids if
        several volumes have the name. A clone is made through a snapshot that is there only meanwhile.
        """
        wanted = Wanted(spec, self._settings.kms_key_id)
        tag = self._tag(spec.name)
        found = self._find(tag)
        if found is None:
            found = self._make(spec, wanted, tag)
        elif found["State"] == "creating":
            found = self._until_made(found)
        wanted.refuse_other(found)
        if spec.source_volume:
            self._drop_clone_snapshots(tag)
        if found["State"] not in ("available", "in-use"):
            raise Unavailable(f"volume {spec.name!r} ({found['VolumeId']}) is in state {found['State']!r}: remove it")
        return self._described(found)

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        """Delete the volume; an attached one is ``InUse`` with its holders, ``force`` or not. A missing one is gone."""
        try:
            self._check_mine(volume_id)
            with self._api.calling("DeleteVolume", f"volume {volume_id!r}") as ec2:
                ec2.delete_volume(VolumeId=volume_id)
        except NotFound:
            return
        except InvalidRequest as error:
            if code_of(error) == "InvalidVolumeID.Malformed":
                return
            raise
        except InUse:
            held = self._describer.volume(volume_id) or {}
            raise InUse(f"volume {volume_id!r} is attached to {_holders(held)}: detach it first") from None

    def _find(self, tag: str) -> VolumeTypeDef | None:
        found = self._describer.volumes_named(tag)
        if len(found) > 1:
            raise AlreadyExists(f"several volumes are called {tag!r}: {', '.join(item['VolumeId'] for item in found)}")
        return found[0] if found else None

    def _make(self, spec: VolumeSpec, wanted: Wanted, tag: str) -> VolumeTypeDef:
        """Call CreateVolume with a token of the name's, and with the next one where that is a deleted volume's."""
        like = self._volume(spec.source_volume) if spec.source_volume else None
        request = wanted.request(self._zone(spec, like), tag, like)
        if spec.source_snapshot:
            snapshot = self._until_completed(spec.source_snapshot)
            wanted.refuse_source(snapshot["VolumeSize"], f"snapshot {spec.source_snapshot!r}")
        if like is not None:
            wanted.refuse_source(like["Size"], f"volume {spec.source_volume!r}")
            request["SnapshotId"] = self._clone_snapshot(VolumeId(like["VolumeId"]), tag)
        for token in _tokens(tag, request["AvailabilityZone"]):
            request["ClientToken"] = token
            faults.point("ec2-create-asking")
            try:
                with self._api.calling("CreateVolume", f"volume {spec.name!r}") as ec2:
                    answer = ec2.create_volume(**request)
            except RexrayError as error:
                if (found := self._made_before(error, tag)) is not None:
                    return found
                continue
            faults.point("ec2-create-asked")
            if (made := self._settled(answer, tag)) is not None:
                return made
        raise RexrayError(f"volume {spec.name!r}: EC2 remembers {GENERATIONS} deleted volumes of that name: try later")

    def _made_before(self, error: RexrayError, tag: str) -> VolumeTypeDef | None:
        """The volume of that name where the token was used for it before; None if it was a deleted one's.

        Any other error is raised. At the quota's edge, EC2 forgets what it has made for a token.
        """
        code = code_of(error)
        if code == "VolumeLimitExceeded" and (found := self._find(tag)) is not None:
            return self._until_made(found)
        if code != "IdempotentParameterMismatch":
            raise error
        until = time.monotonic() + SETTLED_SECONDS
        while (found := self._find(tag)) is None and time.monotonic() < until:
            time.sleep(1.0)
        return None if found is None else self._until_made(found)

    def _settled(self, answer: Mapping[str, Any], tag: str) -> VolumeTypeDef | None:
        """The volume that CreateVolume answered with, when it is made; None if it was deleted or renamed since.

        For a token that it knows, EC2 repeats its answer, whatever has become of the volume.
        """
        volume_id, age, answered = answer["VolumeId"], _age(answer), time.monotonic()
        found = self._describer.volume(volume_id) if age > REPLAY_SECONDS else None
        delay = self._settings.status_initial_delay
        while found is None or found["State"] == "creating":
            waited = time.monotonic() - answered
            if found is None and waited + age > SETTLED_SECONDS:
                if age > REPLAY_SECONDS:
                    return None
                raise Unavailable(f"volume {volume_id!r} is gone although EC2 had made it: is the KMS key usable?")
            if waited > self._settings.status_timeout:
                raise Unavailable(f"volume {volume_id!r} is still being made after {waited:.0f} s: try again")
            time.sleep(delay)
            delay = min(delay * 2, 4.0)
            found = self._describer.volume(volume_id)
        if found["State"] in ("deleting", "deleted") or (age > REPLAY_SECONDS and tag_of(found, NAME) != tag):
            return None
        if found["State"] == "error":
            with self._api.calling("DeleteVolume", f"volume {volume_id!r}") as ec2:
                ec2.delete_volume(VolumeId=volume_id)
            raise Unavailable(
                f"volume {volume_id!r} ended as 'error' after EC2 had accepted it, and was deleted: a KMS key that "
                "cannot be used is the usual reason (encryptionkey, ec2.kmsKeyID)"
            )
        return found

    def _until_made(self, item: VolumeTypeDef) -> VolumeTypeDef:
        if item["State"] != "creating":
            return item
        volume_id = VolumeId(item["VolumeId"])
        return self._describer.until(
            f"making volume {volume_id!r}", lambda: self._volume(volume_id), lambda found: found["State"] != "creating"
        )

    def _zone(self, spec: VolumeSpec, like: VolumeTypeDef | None) -> str:
        """Where to make it: where it is asked for, else this host's zone, else that of what it is a clone of."""
        if spec.zone:
            return spec.zone
        try:
            zone = self._host.identity.zone
        except Unavailable:
            zone = ""
        zone = zone or (like["AvailabilityZone"] if like else "")
        if not zone:
            raise SettingsError(
                f"volume {spec.name!r}: this host has no zone of its own: say which by availabilityzone or "
                "rexray.docker.availabilityZone ($REXRAY_DOCKER_AVAILABILITYZONE)"
            )
        return zone

    def _clone_snapshot(self, source: VolumeId, tag: str) -> str:
        """A snapshot of the source that is only there until the clone is made; a killed clone's is used again."""
        for item in self._clone_snapshots(tag):
            fresh = (datetime.now(UTC) - item["StartTime"]).total_seconds() < self._settings.snapshot_timeout
            if item["VolumeId"] == source and item["State"] != "error" and fresh:
                made = item
                break
        else:
            tags = {CLONE: tag, SOURCE: source}
            made = self._snap(source, tags, f"for a clone of {source}", lambda: self._clone_snapshots(tag))
        faults.point("ec2-clone-snapshot")
        self._until_completed(made["SnapshotId"])
        return made["SnapshotId"]

    def _clone_snapshots(self, tag: str) -> Sequence[SnapshotTypeDef]:
        return self._describer.snapshots_tagged(CLONE, tag)

    def _drop_clone_snapshots(self, tag: str) -> None:
        for item in self._clone_snapshots(tag):
            faults.point("ec2-clone-made")
            self._delete_snapshot(item["SnapshotId"])


def _tokens(tag: str, zone: str) -> Iterator[str]:
    """Idempotency tokens of a name: the first one, and those after volumes of that name were deleted."""
    for generation in range(GENERATIONS):
        yield hashlib.sha256(f"{tag}\0{zone}\0{generation}".encode()).hexdigest()


def _age(answer: Mapping[str, Any]) -> float:
    """How long before its answer EC2 made the volume, by EC2's own clock."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    now = parsedate_to_datetime(date) if date else datetime.now(UTC)
    made: datetime = answer["CreateTime"]
    return (now - made).total_seconds()


def _holders(item: Mapping[str, Any]) -> str:
    found = [raw.get("InstanceId") or "another AWS service" for raw in item.get("Attachments", [])]
    return ", ".join(found) or "an instance"
