"""Volume drivers with one defect each, and the checks of the kit that have to catch them: making and looking."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from memory_host import PASSWORD, MemoryVolumes, MountingOS
from rexray import faults
from rexray.errors import Busy, InvalidRequest, NotFound, Unavailable
from rexray.types import (
    SHELL_HOLDER,
    Device,
    InstanceId,
    MountPoint,
    MountRequest,
    Viability,
    Volume,
    VolumeId,
)

M = TypeVar("M")
log = logging.getLogger(__name__)


class Turnstile:
    """Lets one caller in, and turns away whoever comes meanwhile; the first one waits for such a one, for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turned_away = threading.Event()

    @contextlib.contextmanager
    def pass_through(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            self._turned_away.set()
            raise Busy("somebody else is at it")
        try:
            self._turned_away.wait(2)
            self._turned_away.set()
            yield
        finally:
            self._lock.release()


@contextlib.contextmanager
def noted(home: Path, name: str) -> Iterator[None]:
    """Note on disk that something is done to a volume; nothing more is done to it if that is killed."""
    note = home / f"{name}.under-way"
    if note.exists():
        raise Busy(f"something is done to volume {name!r} already")
    note.touch()
    try:
        faults.point("broken-noted")
        yield
    finally:
        note.unlink()


class RenamesVolumes(MemoryVolumes):
    """The volume that ``create`` returns is called by its id."""

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        made = super().create(name, options)
        return replace(made, name=made.id)


class MakesAnother(MemoryVolumes):
    """``create`` of a volume that is there makes another one."""

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        known = len(list(self.list()))
        return super().create(f"{name}-{known}" if self._resolver.one(name) else name, options)


class TakesWhatIsThere(MemoryVolumes):
    """``create`` of a volume that is there does not look at the options."""

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        return self._resolver.one(name) or super().create(name, options)


class IgnoresOptions(MemoryVolumes):
    """``create`` leaves aside what it does not know."""

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        return super().create(name, {key: value for key, value in options.items() if key == "size"})


class CreatesOneAtATime(MemoryVolumes):
    """A ``create`` that meets another one fails."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._turnstile = Turnstile()

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        with self._turnstile.pass_through():
            return super().create(name, options)


class NotesCreate(MemoryVolumes):
    """A ``create`` that was killed stands in the way of its repetition."""

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        with noted(self.home, name):
            return super().create(name, options)


class CleansNames(MemoryVolumes):
    """``create`` makes something of every name."""

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        return super().create("".join(char if char.isalnum() else "_" for char in name) or "unnamed", options)


class FindsNoPathForAnything(MemoryVolumes):
    """``path`` of what cannot be a volume is None, as of one that is not mounted."""

    def path(self, name: str) -> Path | None:
        with contextlib.suppress(InvalidRequest, NotFound):
            return super().path(name)
        return None


class CutsNames(MemoryVolumes):
    """A name is cut after 63 characters."""

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        return super().create(name[:63], options)


class SpeaksAscii(MemoryVolumes):
    """What is not ASCII in a name becomes a question mark."""

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        return super().create(name.encode("ascii", "replace").decode(), options)


class RemovesFromSight(MemoryVolumes):
    """``remove`` hides the volume until the process ends."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._hidden: set[str] = set()

    def remove(self, name: str, *, force: bool = False) -> None:
        self._hidden.add(self.get(name).name)

    def get(self, name: str) -> Volume:
        found = super().get(name)
        if found.name in self._hidden:
            raise NotFound(f"volume {name!r} does not exist")
        return found

    def list(self) -> Iterator[Volume]:
        return (volume for volume in super().list() if volume.name not in self._hidden)


class RemovesAnything(MemoryVolumes):
    """``remove`` of a missing volume is success."""

    def remove(self, name: str, *, force: bool = False) -> None:
        with contextlib.suppress(NotFound):
            super().remove(name, force=force)


class RemovesMounted(MemoryVolumes):
    """``remove`` unmounts first, whoever holds the volume."""

    def remove(self, name: str, *, force: bool = False) -> None:
        self.unmount(name, SHELL_HOLDER)
        super().remove(name, force=force)


class RemovesAfterTheMount(MemoryVolumes):
    """``remove`` waits for a mount that is under way, and removes what it has mounted."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._mounted = threading.Event()

    def mount(self, request: MountRequest) -> MountPoint:
        found = super().mount(request)
        self._mounted.set()
        return found

    def remove(self, name: str, *, force: bool = False) -> None:
        self._mounted.wait(2)
        self.unmount(name, SHELL_HOLDER)
        super().remove(name, force=force)


class OneFolderForAll(MountingOS):
    """Every device has the same files."""

    def _folder(self, source: Device) -> Path:
        folder = super()._folder(source).parent.parent / "all"
        folder.mkdir(exist_ok=True)
        return folder


class KeepsFiles(MemoryVolumes):
    """What was written to one volume is in the next one."""

    os_driver = OneFolderForAll


class NotesRemove(MemoryVolumes):
    """A ``remove`` that was killed stands in the way of its repetition."""

    def remove(self, name: str, *, force: bool = False) -> None:
        with noted(self.home, name):
            super().remove(name, force=force)


class ListsBackwards(MemoryVolumes):
    """``list`` begins at the end."""

    def list(self) -> Iterator[Volume]:
        return iter(sorted(super().list(), key=lambda volume: volume.name, reverse=True))


class ListsLate(MemoryVolumes):
    """``list`` tells what there was when it was last asked."""

    _before: tuple[Volume, ...] = ()

    def list(self) -> Iterator[Volume]:
        before, self._before = self._before, tuple(super().list())
        return iter(before)


class ListsNoMounts(MemoryVolumes):
    """``list`` has no mount points."""

    def list(self) -> Iterator[Volume]:
        return (replace(volume, attachments=()) for volume in super().list())


class RemembersMounts(MemoryVolumes):
    """``get`` tells where a volume was mounted last."""

    _points: Mapping[str, Volume] = {}

    def get(self, name: str) -> Volume:
        found = super().get(name)
        if any(attachment.mount_point for attachment in found.attachments):
            self._points = {**self._points, name: found}
        return self._points.get(name, found)


class FindsAnyId(MemoryVolumes):
    """``volume_id`` takes what it does not find for an id."""

    def volume_id(self, name: str) -> VolumeId:
        with contextlib.suppress(NotFound):
            return super().volume_id(name)
        return VolumeId(name)


class KnowsNamesAlone(MemoryVolumes):
    """``volume_id`` does not look for ids."""

    def volume_id(self, name: str) -> VolumeId:
        for volume in self.list():
            if volume.name == name:
                return volume.id
        raise NotFound(f"volume {name!r} does not exist")


class AlwaysHasAPath(MemoryVolumes):
    """``path`` tells where the volume would be."""

    def path(self, name: str) -> Path | None:
        return super().path(name) or self.home / "volumes" / self.get(name).name


class NameOfTheMoment(MemoryVolumes):
    """Each driver of a host gives it another name."""

    def instance_id(self) -> InstanceId:
        return InstanceId(f"{super().instance_id()}-{id(self)}")


class NotViable(MemoryVolumes):
    """It cannot work here, and does not say why."""

    @classmethod
    def viable(cls) -> Viability:
        return Viability(ok=False)


class LogsThePassword(MemoryVolumes):
    """It is in the log."""

    def get(self, name: str) -> Volume:
        log.debug("asking with the password %s", PASSWORD)
        return super().get(name)


class HasNothingWhileAway(MemoryVolumes):
    """``list`` is empty while the platform cannot be reached."""

    def list(self) -> Iterator[Volume]:
        with contextlib.suppress(Unavailable):
            return super().list()
        return iter(())


BROKEN: Mapping[str, type[MemoryVolumes]] = {
    "create_makes_a_volume_that_can_be_found": RenamesVolumes,
    "create_said_ten_times_makes_one_volume": MakesAnother,
    "create_of_a_different_volume_is_refused": TakesWhatIsThere,
    "create_with_an_unknown_option_makes_nothing": IgnoresOptions,
    "create_at_once_by_eight_makes_one_volume": CreatesOneAtATime,
    "a_create_that_was_killed_and_said_again_leaves_one_volume": NotesCreate,
    "create_refuses_hostile_names": CleansNames,
    "a_hostile_name_is_an_error_to_every_verb": FindsNoPathForAnything,
    "a_name_of_128_bytes_works": CutsNames,
    "a_unicode_name_works": SpeaksAscii,
    "remove_deletes_the_volume": RemovesFromSight,
    "remove_said_twice_says_that_the_volume_is_missing": RemovesAnything,
    "remove_of_a_mounted_volume_is_refused": RemovesMounted,
    "a_volume_is_removed_or_mounted_but_not_both": RemovesAfterTheMount,
    "a_volume_that_is_made_again_is_a_new_one": KeepsFiles,
    "a_remove_that_was_killed_can_be_said_again": NotesRemove,
    "list_is_sorted_by_name": ListsBackwards,
    "list_has_every_new_volume_in_its_place": ListsLate,
    "get_and_list_tell_the_same": ListsNoMounts,
    "a_mount_point_is_told_while_there_is_one": RemembersMounts,
    "a_volume_that_is_not_there_is_not_found": FindsAnyId,
    "volume_id_takes_a_name_or_an_id": KnowsNamesAlone,
    "an_unmounted_volume_has_no_path": AlwaysHasAPath,
    "this_host_has_one_name": NameOfTheMoment,
    "viable_says_why_not": NotViable,
    "secrets_are_not_told": LogsThePassword,
    "a_platform_that_cannot_be_reached_is_told_in_time": HasNothingWhileAway,
}
"""The driver that each check catches."""
