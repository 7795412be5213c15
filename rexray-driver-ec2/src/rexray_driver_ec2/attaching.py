"""Attaching volumes to instances and detaching them."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rexray import faults
from rexray.errors import (
    Busy,
    InUse,
    InvalidRequest,
    NotFound,
    NotReady,
    RexrayError,
    TimedOut,
    Unavailable,
    Unsupported,
)
from rexray.types import Attachment, Instance, InstanceId, Volume, VolumeId
from rexray_driver_ec2.base import Ec2Calls
from rexray_driver_ec2.refusals import code_of, text_of
from rexray_driver_ec2.slots import Slots
from rexray_driver_ec2.words import describe_attachment, describe_instance, held, holders_of, is_root_of

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import VolumeAttachmentTypeDef, VolumeTypeDef

log = logging.getLogger(__name__)

TRIES = 5
"""How many device names are tried, or how often a volume is tried that is on its way somewhere."""
VISIBLE_SECONDS = 10.0
"""How long an attachment that was accepted may be missing from what EC2 tells of the volume."""


class AttachCalls(Ec2Calls):
    """``instances``, ``attach``, ``detach`` and ``attachments`` of the contract."""

    _slots: Slots

    def instances(self) -> Iterator[Instance]:
        """The region's instances, all that are not terminated."""
        region = self._api.region
        return (describe_instance(item, region) for item in self._describer.instances())

    def attached(self, instance_id: InstanceId) -> Iterator[Volume]:
        """The volumes that an instance has, its root volume too; EC2 is asked for no others."""
        return map(self._described, self._describer.volumes(instance=instance_id))

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        """Give the volume to the instance and wait until it is there.

        ``InUse`` names the holder, ``force`` takes it from there without asking that. A name that EC2 refuses is left
        for a while, and a volume that stays ``attaching`` is detached and attached by another one. ``Unsupported`` for
        ``read_only``, which EC2 has not.
        """
        if read_only:
            raise Unsupported(f"volume {volume_id!r}: EC2 attaches no volume read-only: mount it so")
        self._refuse_foreign(volume_id)
        failed: RexrayError | None = None
        for _ in range(TRIES):
            with self._slots.taken(instance_id, device) as name:
                faults.point("ec2-attach-asking")
                try:
                    self._ask_to_attach(volume_id, instance_id, name)
                except _NameRefused as error:
                    log.info("device name %s of %s: %s", name, instance_id, error)
                    self._slots.refused(instance_id, name)
                    continue
                except (InUse, NotReady) as error:
                    found = self._attached_already(volume_id, instance_id, error, force=force)
                    if found is None:
                        failed = error
                        continue
                    name = found
                faults.point("ec2-attach-asked")
                attachment = self._until_attached(volume_id, instance_id)
                if attachment is not None:
                    return attachment
                self._slots.refused(instance_id, name)
                log.warning("volume %s was stuck attaching to %s as %s", volume_id, instance_id, name)
                try:
                    self.detach(volume_id, instance_id)
                except TimedOut:  # not for InUse: then the instance has got it after all, and may have it mounted
                    self.detach(volume_id, instance_id, force=True)
        raise failed or Unavailable(f"volume {volume_id!r} cannot be attached to {instance_id!r}: {TRIES} tries failed")

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        """Take the volume from the instance, or from all that have it, and wait until it is gone there.

        Not attached, or no such volume, is success. ``InUse`` while the instance's system holds it: unmount it there;
        ``force`` takes it all the same, as pulling out a disk would.
        """
        self._refuse_foreign(volume_id)
        item = self._describer.volume(volume_id)
        if item is not None and (holder := is_root_of(item)) and instance_id in (None, holder):
            raise InUse(f"volume {volume_id!r} is the root volume of instance {holder!r}, and stays there")
        holders = [raw["InstanceId"] for raw in held(item or {}) if raw.get("InstanceId")]
        if instance_id is None and not holders and held(item or {}):
            raise InUse(f"volume {volume_id!r} is attached to another AWS service, which has to let it go")
        for holder in [instance_id] if instance_id else holders:
            self._detach(volume_id, holder, force=force)

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        """Where the volume is attached; raises ``NotFound``."""
        item = self._volume(volume_id)
        found = (describe_attachment(item, raw) for raw in held(item))
        return tuple(attachment for attachment in found if instance_id in (None, attachment.instance_id))

    def _ask_to_attach(self, volume_id: VolumeId, instance_id: InstanceId, name: str) -> None:
        try:
            with self._api.calling("AttachVolume", f"volume {volume_id!r} to {instance_id!r} as {name}") as ec2:
                ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=name)
        except InvalidRequest as error:
            if code_of(error) == "InvalidVolumeID.Malformed":
                raise self._unknown(volume_id) from None
            if code_of(error) == "InvalidInstanceID.Malformed":
                raise NotFound(f"instance {instance_id!r} does not exist") from None
            if code_of(error).startswith("InvalidParameter") and _is_about_name(text_of(error), name):
                raise _NameRefused(text_of(error)) from None
            raise

    def _attached_already(
        self, volume_id: VolumeId, instance_id: InstanceId, error: RexrayError, *, force: bool
    ) -> str | None:
        """The device name by which the instance has the volume already; None to ask again.

        The error is raised where asking again would not help.
        """
        item = self._volume(volume_id)
        mine = [raw for raw in held(item) if raw.get("InstanceId") == instance_id]
        if mine and mine[0]["State"] in ("attaching", "attached"):
            return mine[0].get("Device", "")
        if mine:
            self._until_detached(volume_id, instance_id)
            return None
        if held(item) and force and isinstance(error, InUse):
            self._refuse_unattachable(item, instance_id)
            self._take(volume_id)
            return None
        if held(item):
            raise InUse(f"volume {volume_id!r} is attached to {holders_of(item)}, not to {instance_id!r}") from None
        if item["State"] == "creating":
            self._describer.until(
                f"making volume {volume_id!r}",
                lambda: self._volume(volume_id),
                lambda found: found["State"] != "creating",
            )
            return None
        if item["State"] == "available":
            time.sleep(1.0)  # it has just been made or detached, or attached by a call whose answer was lost
            return None
        raise error

    def _refuse_unattachable(self, item: VolumeTypeDef, instance_id: InstanceId) -> None:
        """Nothing is taken from where it is for an instance that cannot have it."""
        target = self._describer.instance(instance_id)
        if target is None:
            raise NotFound(f"instance {instance_id!r} does not exist in region {self._api.region!r}")
        state, zone = target["State"]["Name"], target.get("Placement", {}).get("AvailabilityZone")
        if state not in ("running", "stopped"):
            raise NotReady(f"instance {instance_id!r} is {state}: nothing can be attached to it now")
        if zone != item["AvailabilityZone"]:
            raise InvalidRequest(
                f"volume {item['VolumeId']!r} is in zone {item['AvailabilityZone']}, instance {instance_id!r} in {zone}"
            )

    def _take(self, volume_id: VolumeId) -> None:
        """Detach from whoever has it; like pulling out a disk only where the instance does not let it go."""
        try:
            self.detach(volume_id)
        except (InUse, TimedOut):
            self.detach(volume_id, force=True)

    def _until_attached(self, volume_id: VolumeId, instance_id: InstanceId) -> Attachment | None:
        """The attachment once the volume is there, None if it is stuck on its way."""
        since = time.monotonic()

        def ask() -> VolumeTypeDef:
            return self._volume(volume_id)

        def done(item: VolumeTypeDef) -> bool:
            mine = [raw for raw in held(item) if raw.get("InstanceId") == instance_id]
            states, waited = [raw["State"] for raw in mine], time.monotonic() - since
            if not states and waited > VISIBLE_SECONDS:
                raise Unavailable(f"volume {volume_id!r}: EC2 began to attach it to {instance_id!r} and gave up")
            if states and states[0] in ("detaching", "busy") and waited > VISIBLE_SECONDS:
                raise Busy(f"volume {volume_id!r} is being detached from {instance_id!r} by somebody else")
            if states == ["attaching"]:  # by another process maybe, which has given up
                return max(waited, _age(mine[0])) > self._settings.stuck_attach_timeout
            return states == ["attached"]

        item = self._describer.until(
            f"attaching volume {volume_id!r} to {instance_id!r}",
            ask,
            done,
            limit=(self._settings.stuck_attach_timeout + VISIBLE_SECONDS, "ec2.stuckAttachTimeout"),
        )
        for raw in held(item):
            if raw.get("InstanceId") == instance_id and raw["State"] == "attached":
                return describe_attachment(item, raw)
        return None

    def _detach(self, volume_id: VolumeId, instance_id: str, *, force: bool) -> None:
        faults.point("ec2-detach-asking")
        try:
            with self._api.calling("DetachVolume", f"volume {volume_id!r} from {instance_id!r}") as ec2:
                ec2.detach_volume(VolumeId=volume_id, InstanceId=instance_id, Force=force)
        except (NotFound, NotReady, InvalidRequest) as error:
            code = code_of(error)
            if code not in _DETACHED:
                raise
            if code != "IncorrectState":
                return
            now = held(self._describer.volume(volume_id) or {})
            if any(raw.get("InstanceId") == instance_id and raw["State"] == "attached" for raw in now):
                raise
        faults.point("ec2-detach-asked")
        self._until_detached(volume_id, instance_id)
        self._slots.freed(instance_id)

    def _until_detached(self, volume_id: VolumeId, instance_id: str) -> None:
        seen: dict[str, str] = {}

        def ask() -> list[str]:
            now = held(self._describer.volume(volume_id) or {})
            return [raw["State"] for raw in now if raw.get("InstanceId") == instance_id]

        def done(states: list[str]) -> bool:
            seen["state"] = states[0] if states else ""
            return not states

        try:
            self._describer.until(f"detaching volume {volume_id!r} from {instance_id!r}", ask, done)
        except TimedOut:
            if seen.get("state") == "busy":
                raise InUse(
                    f"volume {volume_id!r} is still in use on {instance_id!r}: unmount it there, or detach it by force"
                ) from None
            if seen.get("state") == "attached":
                raise Busy(f"volume {volume_id!r} is attached to {instance_id!r} again") from None
            raise

    def _names_in_use(self, instance_id: str) -> Collection[str]:
        item = self._describer.instance(instance_id)
        if item is None:
            raise NotFound(f"instance {instance_id!r} does not exist in region {self._api.region!r}")
        return [mapping["DeviceName"] for mapping in item.get("BlockDeviceMappings", [])]


class _NameRefused(Exception):
    """EC2 does not attach by this device name."""


_DETACHED = frozenset(
    {
        "IncorrectState",
        "InvalidAttachment.NotFound",
        "InvalidInstanceID.Malformed",
        "InvalidInstanceID.NotFound",
        "InvalidVolume.NotFound",
        "InvalidVolumeID.Malformed",
    }
)
"""What EC2 answers when there is nothing to detach; IncorrectState also while it is being detached."""


def _age(attachment: VolumeAttachmentTypeDef) -> float:
    """How long ago EC2 began to attach, in seconds."""
    since = attachment.get("AttachTime")
    return (datetime.now(UTC) - since).total_seconds() if since else 0.0


def _is_about_name(text: str, name: str) -> bool:
    lowered = text.lower()
    return "already in use" in lowered or "device name" in lowered or name in text
