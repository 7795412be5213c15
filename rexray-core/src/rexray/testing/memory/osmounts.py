"""The OS driver's part that is about mounts. Mount points are real directories; what is mounted there is not."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from rexray.errors import AlreadyExists, Forbidden, InUse, InvalidRequest, NotFound, NotReady, RexrayError
from rexray.testing.memory import filesystem
from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import HostRecord, MountRecord, VolumeRecord
from rexray.testing.memory.mountpoints import is_read_only, made, parse_options, rest
from rexray.testing.memory.osdevices import DeviceCalls
from rexray.types import Device, Directory, MountPoint


class MountCalls(DeviceCalls):
    """``mounts``, ``mounted``, ``mount``, ``unmount``, ``bind`` and ``remount`` of the contract."""

    def mounts(self, *, source: str = "", target: Path | None = None) -> tuple[MountPoint, ...]:
        """The mounts of this host, in the order of their targets, all or those of one source or at one target."""
        if source and target is not None:
            raise InvalidRequest("mounts are listed by source or by target, not by both")
        place = None if target is None else self._place(target)

        def work(array: Array) -> tuple[MountPoint, ...]:
            found = sorted(self._host(array).mounts.items())
            return tuple(
                self._mount_point(mount)
                for path, mount in found
                if place in (None, path) and source in ("", mount.source, mount.origin)
            )

        return self._ask("mounts", work)

    def mounted(self, target: Path) -> bool:
        """Whether something is mounted at exactly that path."""
        place = self._place(target)
        return self._ask("mounted", lambda array: place in self._host(array).mounts)

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        """Mount a device, an export, or a directory of this host (which is bound).

        ``NotReady`` for a blank device, ``AlreadyExists`` if it holds another filesystem than ``fs_type``,
        ``Forbidden`` to mount writable what is attached read-only.
        """
        place, words = self._place(target), parse_options(options)
        if isinstance(source, Directory) and not (fs_type or source.fs_type):
            self.bind(Path(source.source), target, options=options)
            return self.mounts(target=target)[-1]

        def work(array: Array) -> MountRecord:
            wanted = self._wanted(array, source, place, fs_type, words)
            return self._already(array, wanted) or self._put(array, self._checked(array, wanted, fs_type))

        with made(place, directory=True):
            return self._mount_point(self._change("mount", work))

    def unmount(self, target: Path) -> None:
        """Unmount what is at the target, whose directory stays; ``InUse`` says what is in the way."""
        place = self._place(target)

        def work(array: Array) -> None:
            there = self._host(array).mounts.get(place)
            if there is not None:
                self._refuse_busy(array, there)
                self._drop(array, place)

        self._change("unmount", work)

    def bind(self, source: Path, target: Path, *, options: tuple[str, ...] = ()) -> None:
        """Bind a directory or a device node; bound there already is success, in the mode that is asked for now."""
        origin, place, words = self._place(source), self._place(target), parse_options(options)
        is_file = self._ask("stat", lambda array: self._is_file(array, origin))

        def work(array: Array) -> None:
            wanted = self._bound(array, origin, place, words)
            there = self._host(array).mounts.get(place)
            if there is not None and there.origin != origin:
                raise InUse(f"cannot bind {origin!r} at {place!r}: {there.source!r} is mounted there")
            self._put(array, wanted if there is None else replace(wanted, users=there.users))

        with made(place, directory=not is_file):
            self._change("bind", work)

    def remount(self, target: Path, *, read_only: bool) -> None:
        """Make the mount read-only or writable; ``NotReady`` without one, ``InUse`` while files are open in it."""
        place = self._place(target)

        def work(array: Array) -> None:
            there = self._need_mount(array, place)
            if there.read_only == read_only:
                return
            if read_only and there.users:
                raise InUse(f"cannot remount {place!r} read-only: files are open for writing")
            if not read_only:
                self._refuse_writing(array, there)
            self._put(array, replace(there, read_only=read_only))

        self._change("remount", work)

    def _host(self, array: Array) -> HostRecord:
        return array.host(self._settings.instance)

    def _place(self, path: Path) -> str:
        """The path without links, but for the last part: a link there is no mount point."""
        whole = os.path.join(os.getcwd(), path)  # with its "..", which a link may be before
        if os.path.basename(whole) == "..":
            raise InvalidRequest(f"{str(path)!r} is no path to mount at: it ends in '..'")
        return os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))

    def _mount_point(self, mount: MountRecord) -> MountPoint:
        return MountPoint(
            path=Path(mount.target),
            source=mount.source,
            fs_type=mount.fs_type,
            read_only=mount.read_only,
            options=("ro" if mount.read_only else "rw", *mount.options),
            propagation="private",
        )

    def _wanted(
        self, array: Array, source: Device | Directory, place: str, fs_type: str, words: tuple[str, ...]
    ) -> MountRecord:
        """The mount that is asked for; the source is there, but it need not be fit for it."""
        plain = MountRecord(
            target=place, source="", fs_type=fs_type, read_only=is_read_only(words), options=rest(words)
        )
        if isinstance(source, Directory):
            return replace(plain, source=source.source, fs_type=fs_type or source.fs_type)
        volume = self._held(array, source)
        link = volume.links[self._settings.instance]
        return replace(plain, source=str(source.path), volume_id=volume.id, token=link.token)

    def _already(self, array: Array, wanted: MountRecord) -> MountRecord | None:
        """The mount if it is there, None if nothing is; ``InUse`` for anything else."""
        there = self._host(array).mounts.get(wanted.target)
        if there is None:
            return None
        if (there.source, there.token) != (wanted.source, wanted.token):
            raise InUse(f"cannot mount {wanted.source!r} at {wanted.target!r}: {there.source!r} is mounted there")
        if there.read_only != wanted.read_only:
            is_so, asked = ("read-only" if mode else "writable" for mode in (there.read_only, wanted.read_only))
            raise InUse(f"{wanted.source!r} is mounted at {wanted.target!r} {is_so}, not {asked} as asked")
        return there

    def _checked(self, array: Array, wanted: MountRecord, fs_type: str) -> MountRecord:
        """The mount with the filesystem that the device holds, if that can be mounted so."""
        if not wanted.volume_id:
            return wanted
        volume = array.volume(wanted.volume_id)
        if wanted.token in self._host(array).claimed:
            raise InUse(f"cannot mount {wanted.source!r}: a process has it open for itself")
        found = self._mountable(volume, wanted)
        if fs_type not in ("", found):
            raise AlreadyExists(f"cannot mount {wanted.source!r} as {fs_type}: it holds {found}; nothing was done")
        if not wanted.read_only:
            self._refuse_writing(array, wanted)
        return replace(wanted, fs_type=found)

    def _mountable(self, volume: VolumeRecord, wanted: MountRecord) -> str:
        found = self._probed(volume, Device(path=Path(wanted.source)))
        if not found:
            raise NotReady(f"cannot mount {wanted.source!r}: it is blank, a filesystem has to be made first")
        if found not in filesystem.KINDS:
            raise RexrayError(f"cannot mount {wanted.source!r}: {found} is no filesystem")
        return found

    def _refuse_writing(self, array: Array, mount: MountRecord) -> None:
        volume = array.state.volumes.get(mount.volume_id)
        link = volume.links.get(self._settings.instance) if volume else None
        if link is not None and link.read_only:
            raise Forbidden(f"cannot mount {mount.source!r} writable: volume {mount.volume_id!r} is attached read-only")

    def _is_file(self, array: Array, origin: str) -> bool:
        """Whether a path that is to be bound is a device node or a file; ``NotFound``."""
        if any(volume.links[self._settings.instance].device == origin for volume in self._connected(array)):
            return True
        if self._mount_above(array, origin) is not None:
            return False
        if not os.path.exists(origin):
            raise NotFound(f"cannot bind {origin!r}: no such file or directory")
        return not os.path.isdir(origin)

    def _bound(self, array: Array, origin: str, place: str, words: tuple[str, ...]) -> MountRecord:
        plain = MountRecord(
            target=place,
            source=origin,
            fs_type="none",
            read_only=is_read_only(words),
            options=rest(words),
            origin=origin,
        )
        for volume in self._connected(array):
            link = volume.links[self._settings.instance]
            if link.device == origin:
                return replace(plain, fs_type="devtmpfs", volume_id=volume.id, token=link.token)
        above = self._mount_above(array, origin)
        if above is None:
            return plain
        inside = os.path.relpath(origin, above.target)
        return replace(
            plain,
            source=above.source,
            fs_type=above.fs_type,
            volume_id=above.volume_id,
            token=above.token,
            root=os.path.normpath(os.path.join(above.root, inside)),
        )

    def _mount_above(self, array: Array, path: str) -> MountRecord | None:
        """The mount that a path is on, None if that is no mount of ours."""
        found = [
            mount
            for target, mount in self._host(array).mounts.items()
            if path == target or path.startswith(target.rstrip("/") + "/")
        ]
        return max(found, key=lambda mount: len(mount.target), default=None)

    def _need_mount(self, array: Array, place: str) -> MountRecord:
        there = self._host(array).mounts.get(place)
        if there is None:
            raise NotReady(f"nothing is mounted at {place!r}")
        return there

    def _refuse_busy(self, array: Array, mount: MountRecord) -> None:
        if mount.users:
            raise InUse(f"cannot unmount {mount.target!r}: {mount.users} files are open in it")
        inside = [path for path in self._host(array).mounts if path.startswith(mount.target.rstrip("/") + "/")]
        if inside:
            raise InUse(f"cannot unmount {mount.target!r}: {inside[0]!r} is mounted inside of it")

    def _put(self, array: Array, mount: MountRecord) -> MountRecord:
        host = self._host(array)
        array.state.hosts[self._settings.instance] = replace(host, mounts={**host.mounts, mount.target: mount})
        return mount

    def _drop(self, array: Array, place: str) -> None:
        host = self._host(array)
        mounts = {target: mount for target, mount in host.mounts.items() if target != place}
        array.state.hosts[self._settings.instance] = replace(host, mounts=mounts)
