"""Storage drivers with one defect each, and the checks that have to catch them: attaching and detaching."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from rexray import faults
from rexray.errors import Busy, InUse, NotFound, NotReady, OutOfCapacity, Unavailable
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Attachment, InstanceId, Volume, VolumeId, VolumeSpec


@contextlib.contextmanager
def noted(settings: MemorySettings, word: str) -> Iterator[None]:
    """Note on disk that something is under way; whoever comes while there is a note is turned away for ever."""
    note = Path(f"{settings.file}.{word}")
    if note.exists():
        raise Busy(f"{word} is under way already")
    note.touch()
    faults.point("broken-noted")
    yield
    note.unlink()


class AttachesNothing(MemoryStorage):
    """``attach`` says that it did, and nothing is attached."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        return Attachment(volume_id=volume_id, instance_id=instance_id, token="link-0")


class AttachesAnew(MemoryStorage):
    """Each ``attach`` makes another attachment."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        self.detach(volume_id, instance_id)
        return super().attach(volume_id, instance_id, **how)


class HidesTheHolder(MemoryStorage):
    """``InUse`` does not say by whom."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        try:
            return super().attach(volume_id, instance_id, **how)
        except InUse:
            raise InUse(f"volume {volume_id!r} is attached elsewhere") from None


class SharesByForce(MemoryStorage):
    """``force`` gives the volume to the instance as well, and leaves it where it was."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, *, force: bool = False, **how: Any) -> Attachment:
        if force:
            with self.platform.array() as array:
                array.state.volumes[volume_id] = replace(array.volume(volume_id), multiattach=True)
        return super().attach(volume_id, instance_id, force=force, **how)


class ForcesWhatIsHeld(MemoryStorage):
    """``force`` is an error where there is nobody to take the volume from."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, *, force: bool = False, **how: Any) -> Attachment:
        if force and not self.attachments(volume_id):
            raise NotReady(f"volume {volume_id!r} is attached nowhere: there is nothing to force")
        return super().attach(volume_id, instance_id, force=force, **how)


class TakesBeforeItLooks(MemoryStorage):
    """``force`` detaches first, from whoever has the volume, and then sees who wants it."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, *, force: bool = False, **how: Any) -> Attachment:
        if force:
            self.detach(volume_id)
        return super().attach(volume_id, instance_id, force=force, **how)


class VagueAboutVolumes(MemoryStorage):
    """``NotFound`` of ``attach`` does not name the volume."""

    message = "the volume does not exist"

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        try:
            return super().attach(volume_id, instance_id, **how)
        except NotFound:
            raise NotFound(self.message.format(volume_id, instance_id)) from None


class VagueAboutInstances(VagueAboutVolumes):
    """``NotFound`` of ``attach`` does not name the instance."""

    message = "volume {0!r} cannot be attached there: the instance does not exist"


class SaysEither(VagueAboutVolumes):
    """``NotFound`` of ``attach`` says that the volume or the instance does not exist."""

    message = "volume {0!r} or instance {1!r} does not exist"


class LooksAndThenTakes(MemoryStorage):
    """``attach`` looks whether the volume is free, and takes it a moment later whoever has it then."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, *, force: bool = False, **how: Any) -> Attachment:
        free = not self.attachments(volume_id)
        time.sleep(0.1)
        return super().attach(volume_id, instance_id, force=force or free, **how)


class AttachesOneAtATime(MemoryStorage):
    """While one caller attaches, the others are told that the volume is in use, whoever they attach it for."""

    _lock: ClassVar[threading.Lock] = threading.Lock()

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        if not self._lock.acquire(blocking=False):
            raise InUse(f"volume {volume_id!r} was just attached")
        try:
            time.sleep(0.1)
            return super().attach(volume_id, instance_id, **how)
        finally:
            self._lock.release()


class NotesAttach(MemoryStorage):
    """An ``attach`` that was killed keeps the volume from being attached."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        with noted(self._settings, f"attach-{volume_id}"):
            return super().attach(volume_id, instance_id, **how)


class SharesAll(MemoryStorage):
    """Every volume is made for several instances."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, options={**spec.options, "multiattach": "true"}))


class SaysFullWrongly(MemoryStorage):
    """That an instance is full is told as if trying again would help."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        try:
            return super().attach(volume_id, instance_id, **how)
        except OutOfCapacity as error:
            raise Unavailable(str(error)) from None


class DetachesOnce(MemoryStorage):
    """``detach`` of what is not attached is an error."""

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        if not self.attachments(volume_id, instance_id):
            raise NotReady(f"volume {volume_id!r} is not attached")
        super().detach(volume_id, instance_id)


class DetachesFromAnybody(MemoryStorage):
    """``detach`` takes the volume from whoever has it, whatever instance it was to be taken from."""

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        super().detach(volume_id)


class DetachesFromWhatItKnows(MemoryStorage):
    """``detach`` from an instance that there is not is an error."""

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        if instance_id is not None and instance_id not in [instance.id for instance in self.instances()]:
            raise NotFound(f"instance {instance_id!r} does not exist")
        super().detach(volume_id, instance_id)


class DetachesWhereTold(MemoryStorage):
    """``detach`` does nothing unless it is told from where."""

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        if instance_id is not None:
            super().detach(volume_id, instance_id)


class DetachesWhatItKnows(MemoryStorage):
    """``detach`` of an unknown volume is an error."""

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        self.volume(volume_id)
        super().detach(volume_id, instance_id)


class DetachesAll(MemoryStorage):
    """``detach`` takes everything from the instance that has the volume."""

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        for attachment in self.attachments(volume_id, instance_id):
            for volume in list(self.attached(attachment.instance_id)):
                super().detach(volume.id, attachment.instance_id)


class KeepsReservations(MemoryStorage):
    """A volume stays reserved for the instance that had it last."""

    _last: ClassVar[dict[VolumeId, InstanceId]] = {}

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, *, force: bool = False, **how: Any) -> Attachment:
        if not force and self._last.setdefault(volume_id, instance_id) != instance_id:
            raise InUse(f"volume {volume_id!r} is reserved for {self._last[volume_id]!r}")
        return super().attach(volume_id, instance_id, force=force, **how)


class WipesByForce(MemoryStorage):
    """A volume that is taken by force has lost its data."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, *, force: bool = False, **how: Any) -> Attachment:
        if force:
            with self.platform.array() as array:
                array.write(volume_id, {})
        return super().attach(volume_id, instance_id, force=force, **how)


class RemovesAttached(MemoryStorage):
    """``remove`` detaches what it is to delete."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        self.detach(volume_id)
        super().remove(volume_id)


class NotesDetach(MemoryStorage):
    """A ``detach`` that was killed keeps the volume from being detached."""

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        with noted(self._settings, f"detach-{volume_id}"):
            super().detach(volume_id, instance_id)


BROKEN_ATTACHING: Mapping[str, type[MemoryStorage]] = {
    "attach_gives_the_volume_to_the_instance": AttachesNothing,
    "attach_said_ten_times_is_one_attachment": AttachesAnew,
    "attach_elsewhere_names_the_holder_and_changes_nothing": HidesTheHolder,
    "attach_by_force_takes_the_volume_from_its_holder": SharesByForce,
    "attach_by_force_of_a_free_volume_attaches_it": ForcesWhatIsHeld,
    "attach_by_force_where_it_is_already_changes_nothing": TakesBeforeItLooks,
    "attach_by_force_to_an_unknown_instance_leaves_the_holder": TakesBeforeItLooks,
    "attach_of_an_unknown_volume_names_it": VagueAboutVolumes,
    "attach_to_an_unknown_instance_names_it": VagueAboutInstances,
    "attach_tells_an_unknown_volume_from_an_unknown_instance": SaysEither,
    "two_instances_that_race_for_a_volume_do_not_share_it": LooksAndThenTakes,
    "attaches_at_one_moment_to_one_instance_are_one": AttachesOneAtATime,
    "an_attach_that_was_killed_and_said_again_is_one_attachment": NotesAttach,
    "a_volume_is_shared_only_where_that_was_asked": SharesAll,
    "an_instance_takes_no_more_volumes_than_it_says": SaysFullWrongly,
    "detach_said_ten_times_succeeds": DetachesOnce,
    "detach_from_another_instance_leaves_the_holder": DetachesFromAnybody,
    "detach_from_an_unknown_instance_leaves_the_holder": DetachesFromWhatItKnows,
    "detach_that_names_no_instance_is_from_all": DetachesWhereTold,
    "detach_of_an_unknown_volume_succeeds": DetachesWhatItKnows,
    "detach_of_one_volume_leaves_the_others": DetachesAll,
    "a_detached_volume_can_be_attached_elsewhere": KeepsReservations,
    "data_stays_while_a_volume_moves": WipesByForce,
    "an_attached_volume_is_not_removed": RemovesAttached,
    "a_detach_that_was_killed_and_said_again_frees_the_volume": NotesDetach,
}
"""The driver that each check catches."""
