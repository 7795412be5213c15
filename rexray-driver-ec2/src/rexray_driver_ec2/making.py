"""Making volumes and removing them: one volume for each name, whenever the process is killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from rexray import faults
from rexray.errors import (
    AlreadyExists,
    InUse,
    InvalidRequest,
    NotFound,
    RexrayError,
    SettingsError,
    TimedOut,
    Unavailable,
)
from rexray.types import Volume, VolumeId, VolumeSpec
from rexray_driver_ec2.cloning import CloneCalls
from rexray_driver_ec2.refusals import code_of, is_unsure
from rexray_driver_ec2.tokens import Tokens
from rexray_driver_ec2.wishes import Wanted
from rexray_driver_ec2.words import ENDED, NAME, can_be_id, holders_of, is_root_of, names_only, tag_of

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import CreateVolumeRequestTypeDef, VolumeTypeDef

SETTLED_SECONDS = 10.0
"""An age at which a volume is known everywhere in EC2: one that is not known by then has been deleted."""
REPLAY_SECONDS = 3.0
"""An age at which a volume that CreateVolume answers with was made by an earlier call with the same token."""
CREATE_SECONDS = 300.0
"""How long the tokens of a name are tried."""


class MakingCalls(CloneCalls):
    """``create`` and ``remove`` of the contract."""

    _tokens: Tokens

    def create(self, spec: VolumeSpec) -> Volume:
        """The volume of that name, made if it is missing, and available when this returns.

        The sizes are whole GiB; ``gp3`` is the type where none is asked for. ``AlreadyExists`` lists the ids if
        several volumes have the name. A clone is made through a snapshot that is there only meanwhile.
        """
        wanted = Wanted(spec, self._settings.kms_key_id)
        tag = self._tag(spec.name)
        with self._making(tag):
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
        self._refuse_foreign(volume_id)
        self._delete(volume_id)

    def _delete(self, volume_id: VolumeId) -> None:
        """Delete a volume, whatever it is called."""
        if not can_be_id(volume_id):
            return
        try:
            with self._api.calling("DeleteVolume", f"volume {volume_id!r}") as ec2:
                ec2.delete_volume(VolumeId=volume_id)
            self._tokens.removed(volume_id)
        except (NotFound, InvalidRequest) as error:
            if code_of(error) not in ("InvalidVolume.NotFound", "InvalidVolumeID.Malformed"):
                raise
            self._tokens.removed(volume_id)  # maybe by this call, whose first answer was lost
        except InUse:
            item = self._describer.volume(volume_id) or {}
            raise InUse(
                f"volume {volume_id!r} is attached to {holders_of(item) or 'an instance'}: detach it first"
            ) from None

    def _find(self, tag: str) -> VolumeTypeDef | None:
        """The one volume of that name; an instance's root volume is not one that may be used as such."""
        named = names_only(self._describer.volumes_named(tag))
        found = [item for item in named if not self._tokens.is_dying(item["VolumeId"])]
        if len(found) > 1:
            raise AlreadyExists(f"several volumes are called {tag!r}: {', '.join(item['VolumeId'] for item in found)}")
        if found and (holder := is_root_of(found[0])):
            raise AlreadyExists(f"volume {tag!r} ({found[0]['VolumeId']}) is the root volume of instance {holder}")
        return found[0] if found else None

    def _make(self, spec: VolumeSpec, wanted: Wanted, tag: str) -> VolumeTypeDef:
        like = self._volume(spec.source_volume) if spec.source_volume else None
        request = wanted.request(self._zone(spec, like), tag, like)
        if spec.source_snapshot:
            snapshot = self._until_completed(spec.source_snapshot)
            wanted.refuse_source(snapshot["VolumeSize"], f"snapshot {spec.source_snapshot!r}")
        if like is None:
            return self._make_once(tag, request, lambda: self._find(tag), lambda item: tag_of(item, NAME) == tag)
        wanted.refuse_source(like["Size"], f"volume {spec.source_volume!r}")
        request["SnapshotId"] = self._clone_snapshot(VolumeId(like["VolumeId"]), tag)
        try:
            return self._make_once(tag, request, lambda: self._find(tag), lambda item: tag_of(item, NAME) == tag)
        except RexrayError as error:
            if not is_unsure(error):
                self._drop_clone_snapshots(tag)
            raise

    def _make_once(
        self,
        key: str,
        request: CreateVolumeRequestTypeDef,
        find: Callable[[], VolumeTypeDef | None],
        is_it: Callable[[VolumeTypeDef], bool],
    ) -> VolumeTypeDef:
        """Call CreateVolume with a token of the key's, and with the next one where that is a deleted volume's.

        ``find`` looks for what may have been made before, ``is_it`` says whether what EC2 remembers still is that.
        """
        until = time.monotonic() + CREATE_SECONDS
        patient, vanished = True, 0
        for token in self._tokens.of(key):
            if time.monotonic() > until:
                break
            request["ClientToken"] = token
            faults.point("ec2-create-asking")
            try:
                with self._api.calling("CreateVolume", f"volume {key!r}") as ec2:
                    answer = ec2.create_volume(**request)
            except RexrayError as error:
                found = self._made_before(error, find, patient=patient)
                patient = False
                if found is not None:
                    return self._until_made(found)
                continue
            faults.point("ec2-create-asked")
            self._tokens.made(answer["VolumeId"], token)
            try:
                if (made := self._settled(answer, is_it)) is not None:
                    return made
            except _Vanished:
                vanished += 1
                if vanished > 1:
                    raise Unavailable(
                        f"volume {key!r}: EC2 makes it and it is gone: can the KMS key be used?"
                    ) from None
        raise TimedOut(f"volume {key!r}: EC2 remembers too many deleted volumes of that name: take another, or wait")

    def _made_before(
        self, error: RexrayError, find: Callable[[], VolumeTypeDef | None], *, patient: bool
    ) -> VolumeTypeDef | None:
        """What was made before, where that is why EC2 refused; None if the token was a deleted volume's.

        Any other error is raised. At the quota's edge, EC2 forgets what it has made for a token.
        """
        code = code_of(error)
        if code == "VolumeLimitExceeded" and (found := find()) is not None:
            return found
        if code != "IdempotentParameterMismatch":
            raise error
        until = time.monotonic() + (SETTLED_SECONDS if patient else REPLAY_SECONDS)
        while (found := find()) is None and time.monotonic() < until:
            time.sleep(1.0)
        return found

    def _settled(self, answer: Mapping[str, Any], is_it: Callable[[VolumeTypeDef], bool]) -> VolumeTypeDef | None:
        """The volume that CreateVolume answered with, when it is made; None if it was deleted or renamed since.

        For a token that it knows, EC2 repeats its answer, whatever has become of the volume. ``_Vanished`` if it was
        just made and is not to be seen.
        """
        volume_id, age, answered = answer["VolumeId"], _age(answer), time.monotonic()
        found = self._describer.volume(volume_id) if age > REPLAY_SECONDS else None
        delay = self._settings.status_initial_delay
        while found is None or found["State"] == "creating":
            waited = time.monotonic() - answered
            if found is None and waited + age > SETTLED_SECONDS:
                if age > REPLAY_SECONDS:
                    return None
                raise _Vanished
            if waited > self._settings.status_timeout:
                raise TimedOut(f"volume {volume_id!r} is still being made after {waited:.0f} s (ec2.statusTimeout)")
            time.sleep(delay)
            delay = min(delay * 2, 4.0)
            found = self._describer.volume(volume_id)
        if found["State"] in ENDED or (age > REPLAY_SECONDS and not is_it(found)):
            return None
        if found["State"] == "error":
            self._delete(VolumeId(volume_id))
            raise Unavailable(
                f"volume {volume_id!r} ended as 'error' after EC2 had accepted it, and was deleted: a KMS key that "
                "cannot be used is the usual reason (encryptionkey, ec2.kmsKeyID)"
            )
        return found

    def _until_made(self, item: VolumeTypeDef) -> VolumeTypeDef:
        """A volume that is there, once it is made."""
        if item["State"] != "creating":
            return item
        volume_id, seen = item["VolumeId"], time.monotonic()

        def is_made(now: VolumeTypeDef | None) -> bool:
            if now is None:  # what one of EC2's servers tells of it, another may not know yet
                return time.monotonic() - seen > SETTLED_SECONDS
            return now["State"] != "creating"

        found = self._describer.until(
            f"making volume {volume_id!r}", lambda: self._describer.volume(volume_id), is_made
        )
        if found is None:
            raise self._unknown(volume_id)
        return found

    def _zone(self, spec: VolumeSpec, like: VolumeTypeDef | None) -> str:
        """Where to make it: where it is asked for, else this host's zone, else that of what it is a clone of."""
        if spec.zone:
            return spec.zone
        try:
            here = self._host.identity
            zone = here.zone if here.region == self._api.region else ""
        except Unavailable:
            zone = ""
        zone = zone or (like["AvailabilityZone"] if like else "")
        if not zone:
            raise SettingsError(
                f"volume {spec.name!r}: this host has no zone in region {self._api.region!r}: say which by "
                "availabilityzone or rexray.docker.availabilityZone ($REXRAY_DOCKER_AVAILABILITYZONE)"
            )
        return zone


class _Vanished(Exception):
    """EC2 said that it had made a volume, and does not know it."""


def _age(answer: Mapping[str, Any]) -> float:
    """How long before its answer EC2 made the volume, by EC2's own clock."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    now = parsedate_to_datetime(date) if date else datetime.now(UTC)
    made: datetime = answer["CreateTime"]
    return (now - made).total_seconds()
