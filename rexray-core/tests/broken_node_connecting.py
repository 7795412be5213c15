"""Node drivers with one defect each, and the checks of the kit that have to catch them: connecting volumes."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from broken_node import Tampering, caught_by
from rexray import faults
from rexray.errors import Busy, InUse, NotReady, RexrayError, TimedOut
from rexray.testing.memory.model import VolumeRecord
from rexray.testing.memory.node import MemoryNode
from rexray.testing.memory.settings import MemorySettings
from rexray.types import Attachment, Device, DeviceIdentity, InstanceId


@caught_by("connect_said_ten_times_gives_one_device")
class ConnectsAnew(MemoryNode):
    """Each ``connect`` makes another device."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._numbers = itertools.count()

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        found = super().connect(attachment, deadline=deadline)
        return replace(found, path=Path(f"{found.path}.{next(self._numbers)}"))


@caught_by("connect_gives_two_volumes_two_devices")
class ConnectsAllAsOne(MemoryNode):
    """Every volume has the same device."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        super().connect(attachment, deadline=deadline)
        return Device(path=Path("/dev/memory0"), identity=DeviceIdentity(serial="MEM"))


@caught_by("connect_says_the_same_after_a_restart")
class ProvesByProcess(MemoryNode):
    """The identity is the process's, and not the volume's."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        found = super().connect(attachment, deadline=deadline)
        return replace(found, identity=DeviceIdentity(serial=f"{found.identity.serial}-{id(self)}"))


@caught_by("connect_after_disconnect_is_the_same_volume")
class ProvesBySession(MemoryNode):
    """The identity is another one after each ``disconnect``."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._session = 0

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        found = super().connect(attachment, deadline=deadline)
        return replace(found, identity=DeviceIdentity(serial=f"{found.identity.serial}-{self._session}"))

    def disconnect(self, attachment: Attachment) -> None:
        self._session += 1
        super().disconnect(attachment)


@caught_by("connects_of_one_volume_at_once_give_one_device", "connects_of_several_volumes_at_once_all_succeed")
class ConnectsOneAtATime(MemoryNode):
    """Who connects while another one does is turned away."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._lock = threading.Lock()

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        if not self._lock.acquire(blocking=False):
            raise Busy("another volume is being connected")
        try:
            time.sleep(0.2)  # so that the others, who began at the same moment, come meanwhile
            return super().connect(attachment, deadline=deadline)
        finally:
            self._lock.release()


@caught_by("the_device_is_as_large_as_the_volume")
class CutsTheDevice(Tampering):
    """The device ends before the volume does."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        self.change_volume(attachment.volume_id, lambda volume: replace(volume, size_bytes=volume.size_bytes - 4096))
        return super().connect(attachment, deadline=deadline)


@caught_by("the_device_shows_what_is_on_the_volume")
class ConnectsBlank(Tampering):
    """The device is blank, whatever is on the volume."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        self.change_volume(attachment.volume_id, lambda volume: replace(volume, content={}))
        return super().connect(attachment, deadline=deadline)


@caught_by("what_is_written_to_the_device_is_on_the_volume")
class LosesWrites(Tampering):
    """What was written is lost when the volume is disconnected."""

    def disconnect(self, attachment: Attachment) -> None:
        super().disconnect(attachment)
        self.change_volume(attachment.volume_id, lambda volume: replace(volume, content={}))


@caught_by("connect_keeps_what_is_on_the_volume")
class LabelsVolumes(Tampering):
    """``connect`` writes a label to the beginning of the volume."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        self.platform.write(attachment.volume_id, 0, b"connected by us")
        return super().connect(attachment, deadline=deadline)


@caught_by("a_volume_attached_read_only_cannot_be_written_to")
class ConnectsWritable(Tampering):
    """The device can be written to, however the volume is attached."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        def open_up(volume: VolumeRecord) -> VolumeRecord:
            return replace(volume, links={name: replace(link, read_only=False) for name, link in volume.links.items()})

        self.change_volume(attachment.volume_id, open_up)
        return super().connect(attachment, deadline=deadline)


@caught_by(
    "a_connect_that_was_killed_and_said_again_connects", "a_disconnect_that_was_killed_and_said_again_disconnects"
)
class LeavesItsLock(MemoryNode):
    """What was begun and not ended keeps everybody away, also from a process that was killed."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        with self._locked(attachment):
            return super().connect(attachment, deadline=deadline)

    def disconnect(self, attachment: Attachment) -> None:
        with self._locked(attachment):
            super().disconnect(attachment)

    @contextlib.contextmanager
    def _locked(self, attachment: Attachment) -> Iterator[None]:
        lock = f"{self._settings.file}.{attachment.volume_id}.lock"
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            raise Busy(f"{lock} is there: somebody else connects {attachment.volume_id!r}") from None
        faults.point("broken-node-locked")
        try:
            yield
        finally:
            os.unlink(lock)


@caught_by(
    "connect_of_a_volume_that_is_attached_no_more_is_refused",
    "connect_of_a_volume_that_was_removed_is_refused",
    "connect_of_another_hosts_attachment_is_refused",
    "connect_of_a_volume_that_another_host_took_is_refused",
)
class TrustsTheAttachment(MemoryNode):
    """``connect`` gives a device for every attachment, and does not look whether the volume is here."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        try:
            return super().connect(attachment, deadline=deadline)
        except RexrayError:
            return Device(path=Path("/dev/memory0"), identity=DeviceIdentity(serial=attachment.volume_id))


@caught_by("connect_with_another_hosts_name_is_refused")
class ConnectsForOthers(MemoryNode):
    """``connect`` does not look whose attachment it is."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        mine = replace(attachment, instance_id=InstanceId(self._settings.instance))
        return super().connect(mine, deadline=deadline)


@caught_by("connect_keeps_to_its_deadline")
class TakesItsTime(MemoryNode):
    """``connect`` waits longer than it was told to."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        return super().connect(attachment, deadline=deadline + 1.5)


@caught_by("connect_waits_for_a_device_as_long_as_its_deadline")
class GivesUpEarly(MemoryNode):
    """``connect`` looks once, and does not wait."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        return super().connect(attachment, deadline=0.05)


@caught_by("a_connect_that_timed_out_succeeds_when_it_is_said_again")
class GivesUpForGood(MemoryNode):
    """A volume that did not appear once is never looked for again."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._given_up: set[str] = set()

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        if attachment.volume_id in self._given_up:
            raise TimedOut(f"volume {attachment.volume_id!r} did not appear")
        try:
            return super().connect(attachment, deadline=deadline)
        except TimedOut:
            self._given_up.add(attachment.volume_id)
            raise


@caught_by(
    "disconnect_said_ten_times_is_success",
    "disconnect_of_what_was_never_connected_is_success",
    "disconnect_of_what_is_not_attached_is_success",
)
class WantsToBeConnected(MemoryNode):
    """``disconnect`` of what is not connected is an error."""

    def disconnect(self, attachment: Attachment) -> None:
        if all(found.volume_id != attachment.volume_id for found in self.devices()):
            raise NotReady(f"volume {attachment.volume_id!r} is not connected")
        super().disconnect(attachment)


@caught_by("disconnect_lets_the_volume_be_detached_and_removed")
class LetsNothingGo(MemoryNode):
    """``disconnect`` says that the device is in use, and nobody uses it."""

    def disconnect(self, attachment: Attachment) -> None:
        raise InUse(f"volume {attachment.volume_id!r} is in use")


@caught_by("disconnect_leaves_other_volumes_connected", "disconnect_leaves_the_data_of_other_volumes")
class DisconnectsAll(Tampering):
    """``disconnect`` lets every device of this host go."""

    def disconnect(self, attachment: Attachment) -> None:
        with self.platform.array() as array:
            self.drop_everything(array)


@caught_by("disconnect_of_another_hosts_attachment_changes_nothing")
class DisconnectsForOthers(MemoryNode):
    """``disconnect`` does not look whose attachment it is."""

    def disconnect(self, attachment: Attachment) -> None:
        super().disconnect(replace(attachment, instance_id=InstanceId(self._settings.instance)))


@caught_by("disconnect_of_a_device_in_use_is_refused")
class PullsTheDevice(Tampering):
    """``disconnect`` takes the device from whoever uses it."""

    def disconnect(self, attachment: Attachment) -> None:
        with self.platform.array() as array:
            self.drop_everything(array)
