"""OS drivers with one defect each, and the checks of the kit that have to catch them: what is done with mounts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from broken_os import Tampering, caught_by
from rexray.errors import InUse, InvalidRequest, NotReady
from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import MountRecord
from rexray.testing.memory.os import MemoryOS
from rexray.testing.memory.settings import MemorySettings
from rexray.types import MountPoint


@caught_by("every_mount_has_a_place_and_a_source")
class ListsGhosts(MemoryOS):
    """``mounts`` has one that is nowhere."""

    def mounts(self, *, source: str = "", target: Path | None = None) -> tuple[MountPoint, ...]:
        return (*super().mounts(source=source, target=target), MountPoint(path=Path("nowhere"), source=""))


@caught_by("mounts_has_what_was_mounted")
class ListsNothing(MemoryOS):
    """The list of all mounts is empty."""

    def mounts(self, *, source: str = "", target: Path | None = None) -> tuple[MountPoint, ...]:
        return super().mounts(source=source, target=target) if source or target is not None else ()


@caught_by("mounts_at_a_target_are_those_alone")
class IgnoresTheTarget(MemoryOS):
    """``mounts`` lists all, whatever target it was asked for."""

    def mounts(self, *, source: str = "", target: Path | None = None) -> tuple[MountPoint, ...]:
        return super().mounts(source=source)


@caught_by("mounts_of_a_source_are_those_alone")
class IgnoresTheSource(MemoryOS):
    """``mounts`` lists all, whatever source it was asked for."""

    def mounts(self, *, source: str = "", target: Path | None = None) -> tuple[MountPoint, ...]:
        return super().mounts(target=target)


@caught_by("mounted_is_about_exactly_that_path")
class IsMountedBelow(MemoryOS):
    """``mounted`` says yes of everything in a mount."""

    def mounted(self, target: Path) -> bool:
        return any(target.is_relative_to(point.path) for point in self.mounts())


@caught_by("what_is_unmounted_is_not_listed")
class RemembersMounts(MemoryOS):
    """``mounts`` lists what it listed before."""

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._known: dict[tuple[str, Path | None], tuple[MountPoint, ...]] = {}

    def mounts(self, *, source: str = "", target: Path | None = None) -> tuple[MountPoint, ...]:
        return self._known.setdefault((source, target), super().mounts(source=source, target=target))


@caught_by("unmount_takes_the_mount_away")
class UnmountsNothing(MemoryOS):
    """``unmount`` says that it did."""

    def unmount(self, target: Path) -> None:
        pass


@caught_by("unmount_said_ten_times_is_success", "unmount_of_what_was_never_mounted_is_success")
class WantsAMount(MemoryOS):
    """``unmount`` of what is not mounted is an error."""

    def unmount(self, target: Path) -> None:
        if not self.mounted(target):
            raise NotReady(f"nothing is mounted at {str(target)!r}")
        super().unmount(target)


@caught_by("unmount_of_a_busy_mount_is_refused", "unmount_with_a_mount_inside_is_refused")
class UnmountsLazily(MemoryOS):
    """``unmount`` takes the mount from whoever uses it."""

    def _refuse_busy(self, array: Array, mount: MountRecord) -> None:
        pass


@caught_by("unmount_leaves_other_mounts")
class UnmountsTheDevice(Tampering):
    """``unmount`` unmounts the device, wherever it is mounted."""

    def unmount(self, target: Path) -> None:
        sources = {point.source for point in self.mounts(target=target)}
        super().unmount(target)
        self.change_mounts(lambda mount: None if mount.source in sources else mount)


@caught_by("an_unmounted_device_is_free")
class KeepsTheDevice(Tampering):
    """What is unmounted is mounted elsewhere, where nobody sees it."""

    def unmount(self, target: Path) -> None:
        hidden = f"/hidden{self._place(target)}"
        with self.platform.array() as array:
            host = self._host(array)
            there = host.mounts.get(self._place(target))
            if there is not None:
                mounts = {**host.mounts, hidden: replace(there, target=hidden)}
                array.state.hosts[self._settings.instance] = replace(host, mounts=mounts)
        super().unmount(target)


@caught_by("bind_shows_a_directory_at_another_place")
class BindsNothing(Tampering):
    """What is bound shows another directory than the source."""

    def bind(self, source: Path, target: Path, *, options: tuple[str, ...] = ()) -> None:
        super().bind(source, target, options=options)
        self.change_mount(target, lambda mount: replace(mount, root="/elsewhere"))


@caught_by("bind_shows_a_device_node_at_another_place")
class BindsDirectories(MemoryOS):
    """Device nodes are not bound."""

    def bind(self, source: Path, target: Path, *, options: tuple[str, ...] = ()) -> None:
        if source.is_relative_to("/dev"):
            raise InvalidRequest(f"{str(source)!r} is no directory")
        super().bind(source, target, options=options)


@caught_by("bind_said_ten_times_binds_once")
class BindsOnce(MemoryOS):
    """What is bound already is an error."""

    def bind(self, source: Path, target: Path, *, options: tuple[str, ...] = ()) -> None:
        if self.mounted(target):
            raise InUse(f"something is bound at {str(target)!r}")
        super().bind(source, target, options=options)


@caught_by("bind_read_only_refuses_writes_there")
class BindsWritable(MemoryOS):
    """``bind`` knows no mode."""

    def bind(self, source: Path, target: Path, *, options: tuple[str, ...] = ()) -> None:
        super().bind(source, target)


@caught_by("bind_over_another_mount_is_refused")
class BindsOver(MemoryOS):
    """What is mounted at the target makes room."""

    def bind(self, source: Path, target: Path, *, options: tuple[str, ...] = ()) -> None:
        self.unmount(target)
        super().bind(source, target, options=options)


@caught_by("bind_of_what_does_not_exist_is_refused")
class MakesTheSource(MemoryOS):
    """A source that is missing is made."""

    def bind(self, source: Path, target: Path, *, options: tuple[str, ...] = ()) -> None:
        if not source.is_relative_to("/dev"):
            source.mkdir(parents=True, exist_ok=True)
        super().bind(source, target, options=options)


@caught_by("remount_makes_a_mount_read_only_and_writable", "remount_makes_a_read_only_mount_writable")
class RemountsOneWay(MemoryOS):
    """What is read-only stays so."""

    def remount(self, target: Path, *, read_only: bool) -> None:
        if read_only:
            super().remount(target, read_only=True)


@caught_by("remount_keeps_the_other_options")
class RemountsPlainly(Tampering):
    """A remount drops the options that it was not told again."""

    def remount(self, target: Path, *, read_only: bool) -> None:
        super().remount(target, read_only=read_only)
        self.change_mount(target, lambda mount: replace(mount, options=()))


@caught_by("remount_read_only_of_a_busy_mount_is_refused")
class RemountsByForce(Tampering):
    """A remount takes the mode from whoever uses it."""

    def remount(self, target: Path, *, read_only: bool) -> None:
        self.change_mount(target, lambda mount: replace(mount, read_only=read_only))


@caught_by("remount_leaves_other_mounts")
class RemountsTheFilesystem(Tampering):
    """A remount changes every mount of the device."""

    def remount(self, target: Path, *, read_only: bool) -> None:
        sources = {point.source for point in self.mounts(target=target)}
        super().remount(target, read_only=read_only)
        self.change_mounts(lambda mount: replace(mount, read_only=read_only) if mount.source in sources else mount)


def around(target: Path, driver: MemoryOS) -> Path:
    """The mount that a path is in, or the path itself."""
    return next((path for path in (target, *target.parents) if driver.mounted(path)), target)


@caught_by("remount_of_what_is_not_mounted_is_refused")
class RemountsAround(MemoryOS):
    """A remount is done to the mount that the folder is in."""

    def remount(self, target: Path, *, read_only: bool) -> None:
        super().remount(around(target, self), read_only=read_only)
