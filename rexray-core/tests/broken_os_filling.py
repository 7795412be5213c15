"""OS drivers with one defect each, and the checks of the kit that have to catch them: filesystems, and odd places."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from broken_os import Tampering, caught_by
from broken_os_mounts import around
from rexray.errors import InvalidRequest, NotFound, RexrayError
from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import MountRecord
from rexray.testing.memory.os import MemoryOS
from rexray.testing.memory.settings import MemorySettings
from rexray.types import Device, Directory, FilesystemStats, MountPoint

T = TypeVar("T")


@caught_by("the_stats_of_a_filesystem_add_up")
class CountsBlocks(MemoryOS):
    """The statistics are in KiB."""

    def filesystem_stats(self, target: Path) -> FilesystemStats:
        found = super().filesystem_stats(target)
        return FilesystemStats(
            total_bytes=found.total_bytes >> 10,
            used_bytes=found.used_bytes >> 10,
            available_bytes=found.available_bytes >> 10,
        )


@caught_by("the_stats_count_what_is_written")
class RemembersStats(MemoryOS):
    """The statistics are what they were at first."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._known: dict[Path, FilesystemStats] = {}

    def filesystem_stats(self, target: Path) -> FilesystemStats:
        return self._known.setdefault(target, super().filesystem_stats(target))


@caught_by("the_stats_of_a_missing_path_are_not_found")
class CountsTheParent(MemoryOS):
    """The statistics of what does not exist are those of the folder that it would be in."""

    def filesystem_stats(self, target: Path) -> FilesystemStats:
        try:
            return super().filesystem_stats(target)
        except NotFound:
            return super().filesystem_stats(target.parent)


@caught_by("grow_makes_the_filesystem_as_large_as_its_device")
class GrowsNothing(MemoryOS):
    """``grow`` says that it did."""

    def grow(self, device: Device, target: Path) -> None:
        pass


@caught_by("grow_said_ten_times_is_success")
class WantsToGrow(MemoryOS):
    """A filesystem that is as large as its device is an error."""

    def grow(self, device: Device, target: Path) -> None:
        if self.filesystem_stats(target).total_bytes >= self.device_size(device):
            raise InvalidRequest(f"the filesystem at {str(target)!r} is as large as its device")
        super().grow(device, target)


@caught_by("grow_of_another_device_is_refused")
class GrowsWhatIsThere(MemoryOS):
    """``grow`` grows what is mounted, whatever device it was told."""

    def grow(self, device: Device, target: Path) -> None:
        for point in self.mounts(target=target):
            super().grow(Device(path=Path(point.source)), target)


@caught_by("grow_of_what_is_not_mounted_is_refused")
class GrowsNowhere(MemoryOS):
    """A filesystem that is not mounted is as large as its device."""

    def grow(self, device: Device, target: Path) -> None:
        if self.mounted(target):
            super().grow(device, target)


@caught_by("freeze_holds_up_writes_until_thaw")
class FreezesNothing(MemoryOS):
    """``freeze`` says that it did."""

    def freeze(self, target: Path) -> None:
        pass


@caught_by("freeze_and_thaw_said_ten_times_are_success")
class CountsFreezes(MemoryOS):
    """What was frozen several times has to be thawed as often."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._times: dict[Path, int] = {}

    def freeze(self, target: Path) -> None:
        self._times[target] = self._times.get(target, 0) + 1
        super().freeze(target)

    def thaw(self, target: Path) -> None:
        self._times[target] = max(self._times.get(target, 0) - 1, 0)
        if not self._times[target]:
            super().thaw(target)


@caught_by("freeze_puts_the_data_on_the_device")
class WritesBackLate(Tampering):
    """Data reaches the device a moment after ``freeze`` has returned."""

    def freeze(self, target: Path) -> None:
        super().freeze(target)
        [point] = self.mounts(target=target)
        device = Device(path=Path(point.source))
        volume_id, last = self.id_of(device), self.device_size(device) - 4
        threading.Timer(0.1, lambda: self.platform.write(volume_id, last, b"late")).start()


@caught_by("freeze_leaves_other_filesystems")
class FreezesAll(Tampering):
    """``freeze`` freezes whatever is mounted."""

    def freeze(self, target: Path) -> None:
        super().freeze(target)
        self.change_mounts(lambda mount: replace(mount, frozen=True))


@caught_by("freeze_of_what_is_not_mounted_is_refused")
class FreezesAround(MemoryOS):
    """The filesystem that the folder is on is frozen."""

    def freeze(self, target: Path) -> None:
        super().freeze(around(target, self))


@caught_by("thaw_works_after_a_restart")
class ThawsItsOwn(MemoryOS):
    """``thaw`` thaws what this process has frozen."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._mine: set[Path] = set()

    def freeze(self, target: Path) -> None:
        self._mine.add(target)
        super().freeze(target)

    def thaw(self, target: Path) -> None:
        if target in self._mine:
            super().thaw(target)


@caught_by("trim_says_how_much_is_unused")
class TrimsNothing(MemoryOS):
    """``trim`` does not say how much it was."""

    def trim(self, target: Path) -> int:
        super().trim(target)
        return 0


@caught_by("trim_of_what_is_not_mounted_is_refused")
class TrimsNowhere(MemoryOS):
    """Where nothing is mounted nothing had to be trimmed."""

    def trim(self, target: Path) -> int:
        return super().trim(target) if self.mounted(target) else 0


@caught_by("targets_with_odd_names_are_places_as_any", "directories_with_odd_names_are_bound_as_any")
class SplitsAtBlanks(MemoryOS):
    """The table of mounts is read as words with blanks between them."""

    def _mount_point(self, mount: MountRecord) -> MountPoint:
        return replace(super()._mount_point(mount), path=Path(mount.target.split()[0]))


@caught_by("errors_about_odd_names_are_one_line")
class RepeatsThePath(MemoryOS):
    """Errors have paths in them as they are."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        try:
            return super().mount(source, target, fs_type=fs_type, options=options)
        except RexrayError as error:
            raise type(error)(f"cannot mount at {target}: {error}") from None


@caught_by("a_relative_target_is_refused_or_right")
class StartsElsewhere(MemoryOS):
    """A relative path begins in a folder of the driver's own."""

    def _place(self, path: Path) -> str:
        return super()._place(
            Path(self._settings.file).parent / "mounts" / path.name if not path.is_absolute() else path
        )


@caught_by("a_target_with_dots_is_refused_or_right")
class CollapsesDots(MemoryOS):
    """``..`` takes the folder before it away, be that a link."""

    def _place(self, path: Path) -> str:
        return super()._place(Path(os.path.abspath(path)))


@caught_by("a_target_in_a_folder_that_is_a_link_is_where_the_link_leads")
class SpellsPlaces(MemoryOS):
    """A place is what its path spells, whatever links are in it."""

    def _place(self, path: Path) -> str:
        return str(path)


@caught_by("a_target_that_is_a_link_is_refused", "unmount_of_a_link_leaves_what_it_leads_to")
class FollowsLinks(MemoryOS):
    """A link in the target's place is followed."""

    def _place(self, path: Path) -> str:
        return os.path.realpath(path)


@caught_by("a_target_that_is_a_file_is_refused")
class ReplacesFiles(MemoryOS):
    """A file in the target's place makes room."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        if target.is_file():
            target.unlink()
        return super().mount(source, target, fs_type=fs_type, options=options)


@caught_by("what_is_in_the_target_is_there_again")
class EmptiesTheTarget(MemoryOS):
    """The folder is emptied before anything is mounted at it."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        shutil.rmtree(target, ignore_errors=True)
        return super().mount(source, target, fs_type=fs_type, options=options)


@caught_by("a_filesystem_that_hangs_is_given_up")
class WaitsTooLong(MemoryOS):
    """A filesystem that hangs is waited for beyond the deadline."""

    def _ask(self, call: str, work: Callable[[Array], T], *, deadline: float | None = None, about: str = "") -> T:
        patience = 2.0 if call == "filesystem_stats" else deadline
        return super()._ask(call, work, deadline=patience, about=about)


@caught_by("a_filesystem_that_hangs_is_listed_at_once")
class AsksEachFilesystem(MemoryOS):
    """To list the mounts, each of them is asked how full it is."""

    def mounts(self, *, source: str = "", target: Path | None = None) -> tuple[MountPoint, ...]:
        found = super().mounts(source=source, target=target)
        for point in found:
            self.filesystem_stats(point.path)
        return found
