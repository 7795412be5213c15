"""OS drivers with one defect each, and the checks of the kit that have to catch them: mounting."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

from broken_os import Tampering, caught_by
from rexray.errors import (
    Busy,
    InUse,
    NotFound,
    Unsupported,
)
from rexray.testing.memory import filesystem
from rexray.testing.memory.os import MemoryOS
from rexray.testing.memory.settings import MemorySettings
from rexray.types import Device, Directory, MountPoint


@caught_by("mount_says_what_is_mounted_where")
class MountSaysLittle(MemoryOS):
    """``mount`` does not say what it mounted."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        return replace(super().mount(source, target, fs_type=fs_type, options=options), source="")


@caught_by("mount_makes_the_target")
class WantsTheTarget(MemoryOS):
    """A target that is missing is an error."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        if not target.exists():
            raise NotFound(f"{str(target)!r} does not exist")
        return super().mount(source, target, fs_type=fs_type, options=options)


@caught_by("what_is_written_to_a_mount_is_on_the_device")
class LosesFiles(Tampering):
    """What was written is not on the device when it is unmounted."""

    def unmount(self, target: Path) -> None:
        found = self.mounts(target=target)
        super().unmount(target)
        for point in found:
            with self.platform.array() as array:
                volume = self._held(array, Device(path=Path(point.source)))
                array.write(volume.id, filesystem.make(point.fs_type, volume.size_bytes))


@caught_by("mount_said_ten_times_mounts_once")
class MountsOnce(MemoryOS):
    """What is mounted already is an error."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        if self.mounted(target):
            raise InUse(f"something is mounted at {str(target)!r}")
        return super().mount(source, target, fs_type=fs_type, options=options)


@caught_by("mounts_of_one_device_at_once_mount_once")
class MountsOneAtATime(MemoryOS):
    """Who mounts while another one does is turned away."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._lock = threading.Lock()

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        if not self._lock.acquire(blocking=False):
            raise Busy("something else is being mounted")
        try:
            time.sleep(0.2)  # so that the others, who began at the same moment, come meanwhile
            return super().mount(source, target, fs_type=fs_type, options=options)
        finally:
            self._lock.release()


@caught_by("mount_over_another_device_is_refused")
class CoversMounts(MemoryOS):
    """What is mounted at the target makes room."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        try:
            return super().mount(source, target, fs_type=fs_type, options=options)
        except InUse:
            self.unmount(target)
            return super().mount(source, target, fs_type=fs_type, options=options)


@caught_by("mount_in_another_mode_is_refused")
class ForgetsTheMode(MemoryOS):
    """What is mounted there is success, in whatever mode."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        found = self.mounts(target=target)
        if isinstance(source, Device) and found and found[0].source == str(source.path):
            return found[0]
        return super().mount(source, target, fs_type=fs_type, options=options)


@caught_by("mount_honours_its_options")
class DropsOptions(MemoryOS):
    """``mount`` knows no options but the mode."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        kept = tuple(option for option in options if option in ("ro", "rw"))
        return super().mount(source, target, fs_type=fs_type, options=kept)


@caught_by("mount_read_only_refuses_writes")
class MountsWritable(MemoryOS):
    """``mount`` says that what it mounts is read-only, and it is not."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        kept = tuple(option for option in options if option != "ro")
        found = super().mount(source, target, fs_type=fs_type, options=kept)
        return replace(found, read_only="ro" in options)


@caught_by("mount_of_a_blank_device_is_refused")
class FormatsToMount(MemoryOS):
    """A blank device is formatted by ``mount``."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        if isinstance(source, Device) and not self.probe(source):
            self.format(source, fs_type or "ext4")
        return super().mount(source, target, fs_type=fs_type, options=options)


@caught_by("mount_as_another_type_is_refused")
class IgnoresTheType(MemoryOS):
    """``mount`` mounts what there is, whatever was asked for."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        return super().mount(source, target, options=options)


@caught_by("mounts_of_two_devices_are_side_by_side")
class MountsTheFirst(MemoryOS):
    """Each target shows the device that was mounted first."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._first: Device | Directory | None = None

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        self._first = self._first or source
        return super().mount(self._first, target, fs_type=fs_type, options=options)


@caught_by("mount_of_a_directory_shows_it")
class MountsNoDirectory(MemoryOS):
    """Directories are not mounted."""

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        if isinstance(source, Directory):
            raise Unsupported(f"{source.source!r} is a directory")
        return super().mount(source, target, fs_type=fs_type, options=options)


@caught_by("a_mount_outlives_the_driver")
class KnowsItsOwnMounts(MemoryOS):
    """``mounted`` knows what this process has mounted."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._mine: set[Path] = set()
        self._guard = threading.Lock()

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        with self._guard:
            self._mine.add(target)
        return super().mount(source, target, fs_type=fs_type, options=options)

    def mounted(self, target: Path) -> bool:
        return target in self._mine and super().mounted(target)
