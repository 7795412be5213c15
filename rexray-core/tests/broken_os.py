"""OS drivers with one defect each, and the checks of the kit that have to catch them: devices."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from rexray import faults
from rexray.errors import (
    AlreadyExists,
    Busy,
    NotFound,
    TimedOut,
    Unavailable,
)
from rexray.testing.memory import filesystem
from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import MountRecord, VolumeRecord
from rexray.testing.memory.os import MemoryOS
from rexray.testing.memory.settings import MemorySettings
from rexray.types import Device, Directory, MountPoint, Viability

C = TypeVar("C", bound=type[MemoryOS])

BROKEN: dict[str, type[MemoryOS]] = {}
"""A driver that the check of that name has to catch."""


def caught_by(*checks: str) -> Callable[[C], C]:
    """Note the checks that have to catch the driver."""

    def note(driver: C) -> C:
        BROKEN.update(dict.fromkeys(checks, driver))
        return driver

    return note


class Tampering(MemoryOS):
    """What the drivers below do to the platform, which no driver should."""

    def change_mounts(self, change: Callable[[MountRecord], MountRecord | None]) -> None:
        """Replace every mount of this host, or drop it."""
        with self.platform.array() as array:
            host = self._host(array)
            changed = {target: change(mount) for target, mount in host.mounts.items()}
            kept = {target: mount for target, mount in changed.items() if mount is not None}
            array.state.hosts[self._settings.instance] = replace(host, mounts=kept)

    def change_mount(self, target: Path, change: Callable[[MountRecord], MountRecord | None]) -> None:
        """The same for the one at a target."""
        place = self._place(target)
        self.change_mounts(lambda mount: change(mount) if mount.target == place else mount)

    def id_of(self, device: Device) -> str:
        with self.platform.looking() as array:
            return self._held(array, device).id

    @contextlib.contextmanager
    def locked(self, what: Path) -> Iterator[None]:
        """Keep everybody else away, also from a process that was killed."""
        lock = f"{self._settings.file}.{what.name}.lock"
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            raise Busy(f"{lock} is there: somebody else is at it") from None
        faults.point("broken-os-locked")
        try:
            yield
        finally:
            os.unlink(lock)


@caught_by("viable_says_why_not")
class SaysNoMore(MemoryOS):
    """It is not viable, for no reason."""

    @classmethod
    def viable(cls) -> Viability:
        return Viability(ok=False)


@caught_by("viable_is_a_quick_look")
class LooksLong(MemoryOS):
    """``viable`` waits for something."""

    @classmethod
    def viable(cls) -> Viability:
        time.sleep(1.1)
        return Viability(ok=True)


@caught_by("making_the_driver_has_no_effect")
class UnmountsFirst(Tampering):
    """A driver that is made unmounts what an earlier one has mounted."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self.change_mounts(lambda _: None)


@caught_by("locate_finds_a_device_by_its_identity", "locate_of_nothing_is_refused")
class LocatesTheFirst(MemoryOS):
    """A device without a path is the first one that is there."""

    def locate(self, device: Device, *, deadline: float) -> Device:
        if device.path != Path():
            return super().locate(device, deadline=deadline)
        with self.platform.looking() as array:
            first = self._connected(array)[0]
        return replace(device, path=Path(first.links[self._settings.instance].device))


@caught_by("locate_takes_a_device_that_has_its_path")
class LocatesPartitions(MemoryOS):
    """A device that has a path gets another one."""

    def locate(self, device: Device, *, deadline: float) -> Device:
        found = super().locate(device, deadline=deadline)
        return found if device.path == Path() else replace(found, path=Path(f"{found.path}p1"))


@caught_by("locate_refuses_a_device_of_another_identity", "no_step_is_done_to_the_wrong_device")
class TrustsThePath(MemoryOS):
    """No step looks at the identity of a device that has a path."""

    def _prove(self, volume: VolumeRecord, device: Device) -> None:
        pass


@caught_by("locate_gives_up_after_its_deadline")
class FindsNothing(MemoryOS):
    """A device that is not there is an error at once, and another one than the contract says."""

    def locate(self, device: Device, *, deadline: float) -> Device:
        try:
            return super().locate(device, deadline=0.01)
        except TimedOut as error:
            raise NotFound(str(error)) from None


@caught_by("locate_waits_for_a_device_that_appears_late")
class LooksOnce(MemoryOS):
    """``locate`` does not wait."""

    def locate(self, device: Device, *, deadline: float) -> Device:
        return super().locate(device, deadline=0.01)


@caught_by("every_step_on_a_device_that_is_gone_fails_in_time")
class SizesWhatIsGone(MemoryOS):
    """A device that is gone has a size of nothing."""

    def device_size(self, device: Device) -> int:
        try:
            return super().device_size(device)
        except NotFound:
            return 0


@caught_by("device_size_is_the_devices")
class RemembersSizes(MemoryOS):
    """``device_size`` is what it was at first."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._sizes: dict[Path, int] = {}

    def device_size(self, device: Device) -> int:
        return self._sizes.setdefault(device.path, super().device_size(device))


@caught_by("probe_of_a_blank_device_is_empty")
class KnowsNoBlank(MemoryOS):
    """``probe`` says a word for a blank device."""

    def probe(self, device: Device) -> str:
        return super().probe(device) or "blank"


@caught_by("probe_names_a_filesystem")
class KnowsOneType(MemoryOS):
    """Whatever filesystem there is, ``probe`` calls it ext4."""

    def probe(self, device: Device) -> str:
        found = super().probe(device)
        return "ext4" if found in filesystem.KINDS else found


@caught_by("probe_names_an_encrypted_device")
class KnowsNoEncryption(MemoryOS):
    """What is no filesystem is blank to ``probe``."""

    def probe(self, device: Device) -> str:
        found = super().probe(device)
        return found if found in filesystem.KINDS else ""


@caught_by("probe_of_unknown_data_is_an_error")
class CallsTheUnknownBlank(MemoryOS):
    """What ``probe`` does not recognise is blank to it."""

    def probe(self, device: Device) -> str:
        try:
            return super().probe(device)
        except AlreadyExists:
            return ""


@caught_by("probe_sees_what_was_written_last")
class RemembersProbes(MemoryOS):
    """``probe`` says what it said at first."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._known: dict[Path, str] = {}

    def probe(self, device: Device) -> str:
        return self._known.setdefault(device.path, super().probe(device))


@caught_by("probe_of_a_device_that_cannot_be_read_is_an_error")
class CallsTheUnreadableBlank(MemoryOS):
    """A device that cannot be read is blank to ``probe``."""

    def probe(self, device: Device) -> str:
        try:
            return super().probe(device)
        except Unavailable:
            return ""


@caught_by("probe_changes_nothing")
class ProbesByWriting(Tampering):
    """``probe`` writes to the last block, to see whether it can."""

    def probe(self, device: Device) -> str:
        found = super().probe(device)
        self.platform.write(self.id_of(device), self.device_size(device) - 4, b"test")
        return found


@caught_by("format_makes_a_filesystem_that_can_be_mounted")
class MakesOneType(MemoryOS):
    """``format`` makes ext4, whatever was asked for."""

    def format(self, device: Device, fs_type: str, *, overwrite: bool = False) -> None:
        super().format(device, "ext4" if fs_type in filesystem.KINDS else fs_type, overwrite=overwrite)


@caught_by(
    "format_of_a_filesystem_is_refused",
    "format_of_an_encrypted_device_is_refused",
    "format_of_unknown_data_is_refused",
)
class AlwaysOverwrites(MemoryOS):
    """``format`` does not look at what there is."""

    def format(self, device: Device, fs_type: str, *, overwrite: bool = False) -> None:
        super().format(device, fs_type, overwrite=True)


@caught_by("format_with_overwrite_makes_a_new_filesystem", "format_with_overwrite_takes_any_content")
class NeverOverwrites(MemoryOS):
    """``format`` of what is not blank does nothing, and says that it did, where it was to overwrite."""

    def format(self, device: Device, fs_type: str, *, overwrite: bool = False) -> None:
        try:
            super().format(device, fs_type)
        except AlreadyExists:
            if not overwrite:
                raise


@caught_by("format_as_an_unknown_type_is_refused")
class MakesSomething(MemoryOS):
    """A type that ``format`` does not know is ext4 to it."""

    def format(self, device: Device, fs_type: str, *, overwrite: bool = False) -> None:
        super().format(device, fs_type if fs_type in filesystem.KINDS else "ext4", overwrite=overwrite)


@caught_by("format_of_a_mounted_device_is_refused", "format_of_a_claimed_device_is_refused")
class FormatsWhatIsUsed(MemoryOS):
    """``format`` does not ask who uses the device."""

    def _refuse_used(self, array: Array, volume: VolumeRecord, device: Device) -> None:
        pass


@caught_by("format_of_a_device_that_cannot_be_read_is_refused")
class FormatsUnread(MemoryOS):
    """``format`` says that it made a filesystem on a device that cannot be read."""

    def format(self, device: Device, fs_type: str, *, overwrite: bool = False) -> None:
        with contextlib.suppress(Unavailable):
            super().format(device, fs_type, overwrite=overwrite)


@caught_by("of_two_formats_at_once_one_is_refused")
class FormatsAgain(MemoryOS):
    """A device that has such a filesystem was formatted already, whoever did that."""

    def format(self, device: Device, fs_type: str, *, overwrite: bool = False) -> None:
        try:
            super().format(device, fs_type, overwrite=overwrite)
        except AlreadyExists:
            if self.probe(device) != fs_type:
                raise


@caught_by(
    "a_format_that_was_killed_can_be_said_again",
    "a_mount_that_was_killed_and_said_again_mounts_once",
    "an_unmount_that_was_killed_and_said_again_unmounts",
)
class LeavesItsLock(Tampering):
    """What was begun and not ended keeps everybody away, also from a process that was killed."""

    def format(self, device: Device, fs_type: str, *, overwrite: bool = False) -> None:
        with self.locked(device.path):
            super().format(device, fs_type, overwrite=overwrite)

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        with self.locked(target):
            return super().mount(source, target, fs_type=fs_type, options=options)

    def unmount(self, target: Path) -> None:
        with self.locked(target):
            super().unmount(target)
