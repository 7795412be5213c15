"""Node drivers with one defect each, and the checks of the kit that have to catch them: this host and its devices."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from rexray.errors import Busy, OutOfCapacity, Unauthorized
from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import VolumeRecord
from rexray.testing.memory.node import MemoryNode
from rexray.testing.memory.settings import MemorySettings
from rexray.types import Attachment, BlockDevice, Device, Instance, InstanceId, Viability, VolumeId

log = logging.getLogger(__name__)

C = TypeVar("C", bound=type[MemoryNode])

BROKEN: dict[str, type[MemoryNode]] = {}
"""A driver that the check of that name has to catch."""


def caught_by(*checks: str) -> Callable[[C], C]:
    """Note the checks that have to catch the driver."""

    def note(driver: C) -> C:
        BROKEN.update(dict.fromkeys(checks, driver))
        return driver

    return note


def entry(volume_id: str, device: str = "/dev/memory0") -> BlockDevice:
    return BlockDevice(
        provider="memory", instance_id=InstanceId("host-1"), volume_id=VolumeId(volume_id), device=device
    )


class Tampering(MemoryNode):
    """What the drivers below do to the platform, which no driver should."""

    def change_volume(self, volume_id: str, change: Callable[[VolumeRecord], VolumeRecord]) -> None:
        with self.platform.array() as array:
            if volume_id in array.state.volumes:
                array.state.volumes[volume_id] = change(array.volume(volume_id))

    def drop_everything(self, array: Array) -> None:
        here = self._settings.instance
        array.state.hosts[here] = replace(array.host(here), connected=(), mounts={})


@caught_by("instance_has_an_id_and_a_provider")
class HasNoProvider(MemoryNode):
    """``instance`` does not say whose it is."""

    def instance(self) -> Instance:
        return replace(super().instance(), provider="")


@caught_by("instance_said_ten_times_is_the_same", "attach_takes_the_id_that_instance_says")
class TakesTurns(MemoryNode):
    """This host is now one, now another instance."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._turns = itertools.cycle(("host-1", "host-2"))

    def instance(self) -> Instance:
        return replace(super().instance(), id=InstanceId(next(self._turns)))


@caught_by("instance_is_the_same_after_a_restart")
class IsNewEachTime(MemoryNode):
    """Each process is an instance of its own."""

    def instance(self) -> Instance:
        return replace(super().instance(), id=InstanceId(f"host-1-{id(self)}"))


@caught_by("instance_is_one_that_the_storage_driver_lists")
class SaysItsHostName(MemoryNode):
    """``instance`` has an id that the platform does not know."""

    def instance(self) -> Instance:
        return replace(super().instance(), id=InstanceId("localhost"))


@caught_by("viable_says_why_not")
class SaysNoMore(MemoryNode):
    """It is not viable, for no reason."""

    @classmethod
    def viable(cls) -> Viability:
        return Viability(ok=False)


@caught_by("viable_is_a_quick_look")
class LooksLong(MemoryNode):
    """``viable`` waits for something."""

    @classmethod
    def viable(cls) -> Viability:
        time.sleep(1.1)
        return Viability(ok=True)


@caught_by("making_the_driver_has_no_effect")
class TidiesUpFirst(Tampering):
    """A driver that is made disconnects what an earlier one has connected."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        with self.platform.array() as array:
            self.drop_everything(array)


@caught_by("it_works_without_the_platforms_credentials")
class AsksForCredentials(MemoryNode):
    """``connect`` logs in to the platform."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        if not self._settings.password:
            raise Unauthorized("memory.password is missing")
        return super().connect(attachment, deadline=deadline)


@caught_by("no_secret_shows")
class LogsCredentials(MemoryNode):
    """``connect`` logs the settings that it works with, with the password."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        log.debug("connecting %s with %s", attachment.volume_id, self._settings.password.reveal())
        return super().connect(attachment, deadline=deadline)


@caught_by("connect_gives_an_identity_or_a_directory")
class GivesABarePath(MemoryNode):
    """``connect`` says where the device is, and nothing that proves it."""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        return Device(path=super().connect(attachment, deadline=deadline).path)


@caught_by("devices_has_a_connected_volume")
class MapsNothing(MemoryNode):
    """``devices`` is always empty."""

    def devices(self) -> tuple[BlockDevice, ...]:
        return ()


@caught_by("devices_leaves_out_a_volume_that_is_not_attached", "devices_leaves_out_a_volume_of_another_host")
class MapsEveryVolume(MemoryNode):
    """``devices`` has the volumes of the platform, and not those of this host alone."""

    def devices(self) -> tuple[BlockDevice, ...]:
        with self.platform.looking() as array:
            return tuple(
                entry(volume.id, f"/dev/memory{number}") for number, volume in enumerate(array.state.volumes.values())
            )


@caught_by("devices_forgets_a_detached_volume")
class NeverForgets(MemoryNode):
    """``devices`` has what was ever connected."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._known: dict[str, BlockDevice] = {}

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        device = super().connect(attachment, deadline=deadline)
        self._known[attachment.volume_id] = entry(attachment.volume_id, str(device.path))
        return device

    def devices(self) -> tuple[BlockDevice, ...]:
        return tuple(self._known.values())


@caught_by("devices_names_every_device_once")
class MapsAllToOne(MemoryNode):
    """Every volume is said to be the first device."""

    def devices(self) -> tuple[BlockDevice, ...]:
        return tuple(replace(found, device="/dev/memory0") for found in super().devices())


@caught_by("devices_is_the_same_after_a_restart")
class MapsItsOwn(MemoryNode):
    """``devices`` has what this process has connected."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._mine: set[str] = set()

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        self._mine.add(attachment.volume_id)
        return super().connect(attachment, deadline=deadline)

    def devices(self) -> tuple[BlockDevice, ...]:
        return tuple(found for found in super().devices() if found.volume_id in self._mine)


@caught_by("devices_said_ten_times_is_the_same")
class InventsDevices(MemoryNode):
    """``devices`` has another device each time."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._numbers = itertools.count()

    def devices(self) -> tuple[BlockDevice, ...]:
        return (*super().devices(), entry("phantom", f"/dev/phantom{next(self._numbers)}"))


@caught_by("devices_agrees_with_connect")
class MapsPartitions(MemoryNode):
    """``devices`` names another device than ``connect`` does."""

    def devices(self) -> tuple[BlockDevice, ...]:
        return tuple(replace(found, device=f"{found.device}p1") for found in super().devices())


@caught_by("next_device_is_free")
class ProposesTheFirst(MemoryNode):
    """``next_device`` proposes the first name, used or not."""

    def next_device(self) -> str:
        return "/dev/memory0"


@caught_by("next_device_changes_nothing")
class RunsOutOfNames(MemoryNode):
    """Each proposal uses a name up."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._names = iter([f"/dev/memory{number}" for number in range(5)])

    def next_device(self) -> str:
        try:
            return next(self._names)
        except StopIteration:
            raise OutOfCapacity("every device name is in use") from None


@caught_by("two_proposals_in_a_row_can_both_be_used")
class AwaitsItsProposal(MemoryNode):
    """Until a proposal was used there is no other one."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._proposed = ""

    def next_device(self) -> str:
        name = super().next_device()
        if name == self._proposed:
            raise Busy(f"{name} was proposed and is not used yet")
        self._proposed = name
        return name
