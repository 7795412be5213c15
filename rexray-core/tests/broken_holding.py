"""Storage drivers with one defect each, and the checks that have to catch them: how attachments are told."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from rexray.drivers import StorageDriver
from rexray.errors import AlreadyExists, NotFound, Unsupported
from rexray.testing.memory.array import next_device
from rexray.testing.memory.model import VolumeRecord
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Attachment, AttachmentState, Instance, InstanceId, Volume, VolumeId, VolumeSpec


class ListsWithoutAttachments(MemoryStorage):
    """The list of volumes has no attachments, as if that were another question."""

    def volumes(self) -> Iterator[Volume]:
        return (replace(volume, attachments=()) for volume in super().volumes())


class TellsAllAttachments(MemoryStorage):
    """``attachments`` has those of every instance, whichever was asked for."""

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        return super().attachments(volume_id)


class KnowsEveryVolume(MemoryStorage):
    """A volume that there is not has no attachments."""

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        try:
            return super().attachments(volume_id, instance_id)
        except NotFound:
            return ()


class ListsAllAttached(MemoryStorage):
    """``attached`` has whatever is attached anywhere."""

    def attached(self, instance_id: InstanceId) -> Iterator[Volume]:
        return (volume for volume in self.volumes() if volume.attachments)


class ListsAttachmentsOfOthers(MemoryStorage):
    """The list gives each volume the attachments of the one before."""

    def volumes(self) -> Iterator[Volume]:
        before: tuple[Attachment, ...] = ()
        for volume in super().volumes():
            yield replace(volume, attachments=before)
            before = volume.attachments


class ForgetsDevices(MemoryStorage):
    """A driver that has just been started has other names for the devices."""

    def _attachments(self, record: VolumeRecord) -> tuple[Attachment, ...]:
        return tuple(replace(each, device=f"{each.device}-{id(self)}") for each in super()._attachments(record))


class HasOneToken(MemoryStorage):
    """All attachments have the same token."""

    def _attachments(self, record: VolumeRecord) -> tuple[Attachment, ...]:
        return tuple(replace(each, token="link") for each in super()._attachments(record))


class _NamesDevices(MemoryStorage):
    """It names devices itself."""

    def _named(self, made: Attachment, name: str) -> Attachment:
        with self.platform.array() as array:
            volume = array.volume(made.volume_id)
            link = replace(volume.links[made.instance_id], device=name)
            array.state.volumes[volume.id] = replace(volume, links={**volume.links, made.instance_id: link})
        return replace(made, device=name)


class ChoosesDevicesEarly(_NamesDevices):
    """The device name is chosen a moment before it is used."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        taken = [each.device for volume in self.attached(instance_id) for each in volume.attachments]
        time.sleep(0.1)
        return self._named(super().attach(volume_id, instance_id, **how), next_device(taken))


class ObeysProposals(_NamesDevices):
    """A proposed device name is taken, whoever has it."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        made = super().attach(volume_id, instance_id, **how)
        return self._named(made, how.get("device") or made.device)


class TellsWrongSizes(MemoryStorage):
    """Attachments tell a size that the volume does not have."""

    def _attachments(self, record: VolumeRecord) -> tuple[Attachment, ...]:
        return tuple(replace(each, fields={"sizeBytes": "512"}) for each in super()._attachments(record))


class AlwaysAvailable(MemoryStorage):
    """Every volume says that it is available."""

    def _state(self, record: VolumeRecord) -> AttachmentState:
        return AttachmentState.AVAILABLE


class ForgetsReadOnly(MemoryStorage):
    """No attachment says that it is read-only."""

    def _attachments(self, record: VolumeRecord) -> tuple[Attachment, ...]:
        return tuple(replace(each, read_only=False) for each in super()._attachments(record))


class AttachesReadOnly(MemoryStorage):
    """Every attachment is read-only."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        return super().attach(volume_id, instance_id, **{**how, "read_only": True})


class AttachesReadOnlyOnce(MemoryStorage):
    """A read-only attach that is said again is an error."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        if how.get("read_only") and self.attachments(volume_id, instance_id):
            raise AlreadyExists(f"volume {volume_id!r} is attached to {instance_id!r}")
        return super().attach(volume_id, instance_id, **how)


class ChangesTheAccess(MemoryStorage):
    """``attach`` makes a read-only attachment writable, and the reverse."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        try:
            return super().attach(volume_id, instance_id, **how)
        except AlreadyExists:
            self.detach(volume_id, instance_id)
            return super().attach(volume_id, instance_id, **how)


class KeepsTheAccess(MemoryStorage):
    """A volume that was once attached read-only is attached so ever after."""

    _first: ClassVar[dict[VolumeId, bool]] = {}

    def attach(
        self, volume_id: VolumeId, instance_id: InstanceId, *, read_only: bool = False, **how: Any
    ) -> Attachment:
        wanted = self._first.setdefault(volume_id, read_only)
        return super().attach(volume_id, instance_id, read_only=wanted, **how)


class Plain(StorageDriver):
    """A driver without any capability, which has no defect."""

    name = "memory"
    settings = MemorySettings

    def __init__(self, settings: MemorySettings) -> None:
        self._whole = MemoryStorage(settings)

    def instances(self) -> Iterator[Instance]:
        return self._whole.instances()

    def volumes(self) -> Iterator[Volume]:
        return self._whole.volumes()

    def volume(self, volume_id: VolumeId) -> Volume:
        return self._whole.volume(volume_id)

    def create(self, spec: VolumeSpec) -> Volume:
        return self._whole.create(spec)

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        self._whole.remove(volume_id, force=force)

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        if read_only:
            raise Unsupported("attachments are writable here")
        return self._whole.attach(volume_id, instance_id, device=device, force=force)

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        self._whole.detach(volume_id, instance_id, force=force)

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        return self._whole.attachments(volume_id, instance_id)


class IgnoresReadOnly(Plain):
    """``read_only`` is ignored, and the instance can write."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        return super().attach(volume_id, instance_id, **{**how, "read_only": False})


BROKEN_HOLDING: Mapping[str, type[StorageDriver]] = {
    "attachments_agree_wherever_they_are_told": ListsWithoutAttachments,
    "attachments_of_an_instance_are_those_alone": TellsAllAttachments,
    "attachments_of_an_unknown_volume_are_not_found": KnowsEveryVolume,
    "attached_has_the_volumes_of_the_instance_alone": ListsAllAttached,
    "attachments_in_the_list_are_of_their_volumes": ListsAttachmentsOfOthers,
    "an_attachment_stays_the_same_while_it_lasts": ForgetsDevices,
    "volumes_of_one_instance_are_told_apart": HasOneToken,
    "volumes_that_are_attached_at_one_moment_are_told_apart": ChoosesDevicesEarly,
    "a_proposed_device_is_not_given_twice": ObeysProposals,
    "sizes_that_attachments_tell_are_the_volumes": TellsWrongSizes,
    "a_volume_says_whether_it_is_attached": AlwaysAvailable,
    "a_read_only_attachment_is_refused_where_there_are_none": IgnoresReadOnly,
    "a_read_only_attachment_says_so_everywhere": ForgetsReadOnly,
    "an_attachment_is_writable_unless_it_was_asked_for": AttachesReadOnly,
    "a_read_only_attach_said_ten_times_is_one": AttachesReadOnlyOnce,
    "a_read_only_attachment_does_not_become_writable": ChangesTheAccess,
    "a_writable_attachment_does_not_become_read_only": ChangesTheAccess,
    "after_detach_the_access_is_chosen_anew": KeepsTheAccess,
}
"""The driver that each check catches."""
