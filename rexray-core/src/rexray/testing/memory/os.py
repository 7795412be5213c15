"""The OS driver."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rexray.drivers import OSDriver
from rexray.errors import NotFound, NotReady, Unavailable, Unsupported, WrongDevice
from rexray.testing.memory import filesystem
from rexray.testing.memory.base import PROVIDER
from rexray.testing.memory.copies import Array
from rexray.testing.memory.filesystem import Filesystem
from rexray.testing.memory.model import MountRecord, VolumeRecord
from rexray.testing.memory.osdevices import failure
from rexray.testing.memory.osmounts import MountCalls
from rexray.testing.memory.settings import MemorySettings
from rexray.types import Device, FilesystemStats

_HOST_BYTES = 1 << 40
"""The size of the filesystem that this host itself is on."""


class MemoryOS(MountCalls, OSDriver):
    """The operating system of the instance of the setting ``memory.instance``.

    Its devices are what :class:`~rexray.testing.memory.node.MemoryNode` connected there, the filesystems are in the
    volumes. No kernel knows of its mounts: files in them are written and read by :meth:`write_file` and
    :meth:`read_file`.
    """

    name = PROVIDER
    settings = MemorySettings

    def grow(self, device: Device, target: Path) -> None:
        """Grow the filesystem at the target to its device's size; ``NotReady`` where it is mounted read-only."""
        place = self._place(target)

        def work(array: Array) -> None:
            mount, volume = self._need_mount(array, place), self._held(array, device)
            if mount.volume_id != volume.id:
                raise WrongDevice(f"cannot grow the filesystem at {place!r}: it is {mount.source!r}, not on {device}")
            found = self._filesystem(array, mount)
            if found.size_bytes >= volume.size_bytes:
                return
            if mount.read_only:
                raise NotReady(f"cannot grow the filesystem at {place!r}: it is mounted read-only")
            array.write(volume.id, filesystem.save(volume.content, replace(found, size_bytes=volume.size_bytes)))

        self._change("grow", work)

    def filesystem_stats(self, target: Path) -> FilesystemStats:
        """How full the filesystem is that the target is on; ``NotFound`` without that path."""
        place = self._place(target)

        def work(array: Array) -> FilesystemStats:
            mount = self._mount_above(array, place)
            if not self._exists(array, mount, place):
                raise NotFound(f"{place!r} does not exist")
            if mount is None or not mount.volume_id:
                return FilesystemStats(total_bytes=_HOST_BYTES, used_bytes=0, available_bytes=_HOST_BYTES)
            found = self._filesystem(array, mount)
            free = found.size_bytes - found.used_bytes
            return FilesystemStats(total_bytes=found.size_bytes, used_bytes=found.used_bytes, available_bytes=free)

        return self._ask("filesystem_stats", work, about=repr(place))

    def freeze(self, target: Path) -> None:
        """Refuse all writes to the filesystem at the target; ``NotReady`` if nothing is mounted there."""
        self._set_frozen("freeze", target, frozen=True)

    def thaw(self, target: Path) -> None:
        """Let writes go on."""
        self._set_frozen("thaw", target, frozen=False)

    def trim(self, target: Path) -> int:
        """How many bytes the filesystem at the target does not use, which the platform has not kept anyway."""
        place = self._place(target)

        def work(array: Array) -> int:
            found = self._filesystem(array, self._need_mount(array, place))
            return found.size_bytes - found.used_bytes

        return self._ask("trim", work)

    # What processes on this host do

    def write_file(self, path: Path, data: bytes) -> None:
        """Write a file in a mounted filesystem; ``OSError`` as the kernel would raise it."""
        place = self._place(path)

        def work(array: Array) -> None:
            mount, name = self._file(array, place)
            found = self._filesystem_of_file(array, mount, place)
            if mount.read_only:
                raise failure(errno.EROFS, place)
            if self._is_frozen(array, mount):
                raise failure(errno.EAGAIN, place)
            files = {**found.files, name: base64.b64encode(data).decode()}
            try:
                content = filesystem.save(array.volume(mount.volume_id).content, replace(found, files=files))
            except ValueError:
                raise failure(errno.ENOSPC, place) from None
            array.write(mount.volume_id, content)

        self._change("write_file", work)

    def read_file(self, path: Path) -> bytes:
        """What :meth:`write_file` wrote, on whatever host; ``OSError`` as the kernel would raise it."""
        place = self._place(path)

        def work(array: Array) -> bytes:
            mount, name = self._file(array, place)
            files = self._filesystem_of_file(array, mount, place).files
            if name not in files:
                raise failure(errno.ENOENT, place)
            return base64.b64decode(files[name])

        return self._ask("read_file", work)

    @contextlib.contextmanager
    def using(self, path: Path) -> Iterator[None]:
        """Have a file open for writing in the mount that the path is on, which keeps it busy."""
        self._add_user(path, 1)
        try:
            yield
        finally:
            self._add_user(path, -1)

    def _add_user(self, path: Path, more: int) -> None:
        place = self._place(path)

        def work(array: Array) -> None:
            mount = self._mount_above(array, place)
            if mount is not None:
                self._put(array, replace(mount, users=max(mount.users + more, 0)))

        self._change("using", work)

    def _set_frozen(self, call: str, target: Path, *, frozen: bool) -> None:
        place = self._place(target)

        def work(array: Array) -> None:
            mount = self._need_mount(array, place)
            self._filesystem(array, mount)
            for other in list(self._host(array).mounts.values()):
                if other.token == mount.token:
                    self._put(array, replace(other, frozen=frozen))

        self._change(call, work)

    def _is_frozen(self, array: Array, mount: MountRecord) -> bool:
        return any(other.frozen for other in self._host(array).mounts.values() if other.token == mount.token)

    def _volume_below(self, array: Array, mount: MountRecord) -> VolumeRecord:
        """The volume that is mounted; ``Unavailable`` if it was taken from this host or is sick."""
        volume = array.state.volumes.get(mount.volume_id)
        if volume is None or volume not in self._connected(array) or self._token(volume) != mount.token:
            raise Unavailable(f"{mount.target!r}: its device {mount.source!r} is gone")
        if volume.sick:
            raise Unavailable(f"{mount.target!r}: its device {mount.source!r} cannot be read: {volume.sick}")
        return volume

    def _filesystem(self, array: Array, mount: MountRecord) -> Filesystem:
        """The filesystem of a mount; ``Unsupported`` where none of a volume is mounted."""
        if not mount.volume_id or mount.fs_type not in filesystem.KINDS:
            raise Unsupported(f"{mount.target!r} shows {mount.source!r}, which is no filesystem of a volume")
        found = filesystem.load(self._volume_below(array, mount).content)
        if found is None:
            raise Unavailable(f"{mount.target!r}: the filesystem on {mount.source!r} was overwritten")
        return found

    def _filesystem_of_file(self, array: Array, mount: MountRecord, place: str) -> Filesystem:
        try:
            return self._filesystem(array, mount)
        except (Unavailable, Unsupported):
            raise failure(errno.EIO, place) from None

    def _file(self, array: Array, place: str) -> tuple[MountRecord, str]:
        """The mount that a path is on, and the path within its filesystem."""
        mount = self._mount_above(array, place)
        if mount is None:
            raise failure(errno.ENOENT, place)
        return mount, os.path.normpath(os.path.join(mount.root, os.path.relpath(place, mount.target)))

    def _exists(self, array: Array, mount: MountRecord | None, place: str) -> bool:
        if mount is not None and mount.target != place and mount.volume_id:
            return self._file(array, place)[1] in self._filesystem(array, mount).files
        return mount is not None or os.path.exists(place)
