"""The OS driver ``linux``: the contract's methods, each with its deadline, over the modules that do the work."""

from __future__ import annotations

import os
from pathlib import Path

from rexray.deadlines import within
from rexray.drivers import OSDriver
from rexray.errors import InUse, InvalidRequest, NotReady, RexrayError
from rexray.mounts import Mount, mount_table
from rexray.types import Device, Directory, FilesystemStats, MountPoint
from rexray_os_linux import (
    blockdev,
    filesystems,
    formatting,
    growing,
    helpers,
    mounting,
    options,
    probing,
    table,
    unmounting,
)
from rexray_os_linux.deadlines import Deadlines
from rexray_os_linux.devices import Devices
from rexray_os_linux.guard import ThawGuards
from rexray_os_linux.held import Held
from rexray_os_linux.viability import viability

_GRACE = 1.0
"""Seconds beyond a deadline that the waiting itself looks after, for the kernel to hang in."""


class LinuxOS(OSDriver):
    """This Linux host's devices, filesystems and mounts.

    Mounts are made by system call; blkid, mkfs, resize2fs and mount helpers are programs. What hangs in the kernel is
    given up at its deadline, and asking again is ``Busy`` at once until the kernel lets go.
    """

    name = "linux"
    viable = staticmethod(viability)

    def __init__(self, deadlines: Deadlines | None = None, devices: Devices | None = None) -> None:
        self._deadlines = deadlines or Deadlines()
        self._devices = devices or Devices()
        self._guards = ThawGuards()

    def locate(self, device: Device, *, deadline: float) -> Device:
        """The device with its node's path, its identity proven."""
        return within(deadline + _GRACE, f"locate {device!r}", lambda: self._devices.locate(device, deadline=deadline))

    def mounts(self, *, source: str = "", target: Path | None = None) -> tuple[MountPoint, ...]:
        """The mounts of this host; of one source by any of its names, or at one target with the one on top last."""
        if source and target is not None:
            raise InvalidRequest("mounts are listed by source or by target, not by both")
        found: list[Mount]
        if target is not None:
            found = table.stacked(self._place(target))
        elif source:
            found = within(self._deadlines.system_call, f"look up {source!r}", lambda: table.of_source(source))
        else:
            found = list(mount_table())
        return tuple(table.mount_point(mount) for mount in found)

    def mounted(self, target: Path) -> bool:
        """Whether something is mounted at exactly that path, told without touching it."""
        return table.top(self._place(target)) is not None

    def mount(
        self,
        source: Device | Directory,
        target: Path,
        *,
        fs_type: str = "",
        options: tuple[str, ...] = (),
    ) -> MountPoint:
        """Mount a device, an export, or a directory of this host (which is bound); see the contract.

        Without ``fs_type`` the device is probed. A source mounted at the target in the other mode, read-only or
        writable, is ``InUse``.
        """
        place = self._place(target)
        if isinstance(source, Device):
            mount = self._mount_device(source, place, fs_type, options)
        else:
            mount = self._mount_directory(source, place, fs_type or source.fs_type, options)
        return table.mount_point(mount)

    def _mount_device(self, device: Device, place: str, fs_type: str, wanted: tuple[str, ...]) -> Mount:
        parsed = options.parse(wanted)
        with self._held(device) as held:
            node = held.node
            if there := mounting.already(place, str(node), held.number, parsed):
                return there
            kind = fs_type or probing.probe(node, self._deadlines.probe)
            if not kind:
                raise NotReady(f"cannot mount device {str(node)!r}: it is blank, a filesystem has to be made first")

            same = Device(path=node, identity=device.identity)

            def mount() -> Mount:
                with self._devices.hold(same) as again:  # for as long as the kernel takes, be it beyond the deadline
                    return mounting.mount_device(again, place, kind, parsed)

            return within(
                self._deadlines.system_call,
                f"mount {str(node)!r} at {place!r}",
                mount,
                undo=lambda _: unmounting.unmount(place, self._deadlines.busy),
            )

    def _mount_directory(self, directory: Directory, place: str, fs_type: str, wanted: tuple[str, ...]) -> Mount:
        source = directory.source
        if helpers.needs_helper(source, fs_type):
            return helpers.mount_by_helper(source, place, fs_type, options.parse(wanted), self._deadlines.helper)
        if not fs_type:
            self.bind(Path(source), Path(place), options=wanted)
            return table.need_top(place)
        parsed = options.parse(wanted)
        return within(
            self._deadlines.system_call,
            f"mount {source!r} at {place!r}",
            lambda: mounting.mount(source, None, place, fs_type, parsed),
            undo=lambda _: unmounting.unmount(place, self._deadlines.busy),
        )

    def unmount(self, target: Path) -> None:
        """Unmount everything that is stacked at the target, whose directory stays; ``InUse`` says who uses it."""
        place = self._place(target)
        seconds = self._deadlines.system_call
        try:
            within(seconds, f"unmount {place!r}", lambda: unmounting.unmount(place, self._deadlines.busy))
        except InUse as error:
            user = self._user_of(place)
            raise InUse(f"cannot unmount {place!r}: {user}") if user else error from None

    def _user_of(self, place: str) -> str:
        try:
            return within(self._deadlines.busy * 2, f"look for users of {place!r}", lambda: unmounting.user_of(place))
        except RexrayError:
            return ""

    def bind(self, source: Path, target: Path, *, options: tuple[str, ...] = ()) -> None:
        """Bind a directory or a device node; ``ro`` does not keep a device node from being written to."""
        place = self._place(target)
        within(
            self._deadlines.system_call,
            f"bind {str(source)!r} at {place!r}",
            lambda: mounting.bind(str(source), place, options),
            undo=lambda _: unmounting.unmount(place, self._deadlines.busy),
        )

    def remount(self, target: Path, *, read_only: bool) -> None:
        """Make the one mount read-only or writable; ``InUse`` while files are open for writing."""
        place = self._place(target)
        within(
            self._deadlines.system_call,
            f"remount {place!r}",
            lambda: mounting.remount(place, read_only=read_only),
        )

    def probe(self, device: Device) -> str:
        """What the device holds, empty only when it is proven blank."""
        with self._held(device) as held:
            found = probing.probe(held.node, self._deadlines.probe)
            self._check(held)
            return found

    def format(self, device: Device, fs_type: str, *, overwrite: bool = False) -> None:
        """Make a filesystem; a device that is mounted or held is ``InUse`` whatever was asked."""
        with self._held(device) as held:
            formatting.make_filesystem(
                held.node,
                fs_type,
                overwrite=overwrite,
                deadlines=self._deadlines,
                check=lambda: self._check(held),
            )

    def grow(self, device: Device, target: Path) -> None:
        """Grow the filesystem at the target to its device's size; a network filesystem has nothing to grow."""
        place = self._place(target)
        if device.path == Path():
            table.need_top(place)
            return
        with self._held(device) as held:
            growing.grow(held.node, place, self._deadlines)
            self._check(held)

    def filesystem_stats(self, target: Path) -> FilesystemStats:
        """How full the filesystem is that the target is on; a directory inside of a mount is as good as the mount."""
        path = os.path.abspath(target)
        return within(self._deadlines.system_call, f"tell how full {path!r} is", lambda: filesystems.stats(path))

    def device_size(self, device: Device) -> int:
        """The size of the device in bytes."""
        with self._held(device) as held:
            return blockdev.size(held.fd)

    def freeze(self, target: Path) -> None:
        """Freeze the filesystem mounted at the target until :meth:`thaw`, or until this process ends."""
        place = self._place(target)
        fresh = self._guards.set(place)
        try:
            within(
                self._deadlines.system_call,
                f"freeze {place!r}",
                lambda: filesystems.freeze(place),
                undo=lambda _: filesystems.thaw(place),
            )
        except BaseException:
            if fresh:
                self._guards.dismiss(place)
            raise

    def thaw(self, target: Path) -> None:
        """Thaw the filesystem mounted at the target."""
        place = self._place(target)
        within(self._deadlines.system_call, f"thaw {place!r}", lambda: filesystems.thaw(place))
        self._guards.dismiss(place)

    def trim(self, target: Path) -> int:
        """Trim the filesystem mounted at the target."""
        place = self._place(target)
        return within(self._deadlines.trim, f"trim {place!r}", lambda: filesystems.trim(place))

    def _place(self, target: Path) -> str:
        return within(
            self._deadlines.system_call, f"look up the directory of {str(target)!r}", lambda: table.canonical(target)
        )

    def _held(self, device: Device) -> Held:
        """The device, its identity proven and open until the step that reads or writes it is over."""
        return within(
            self._deadlines.system_call, f"look at {device!r}", lambda: self._devices.hold(device), undo=Held.close
        )

    def _check(self, held: Held) -> None:
        within(self._deadlines.system_call, f"look at {str(held.node)!r}", held.check)
