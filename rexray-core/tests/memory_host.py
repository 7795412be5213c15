"""A host of the platform in memory whose mounts are real, and the workflow on it: what volume drivers are tested on."""

from __future__ import annotations

import base64
import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

from rexray import mounts
from rexray.csi.bridge.plugin import Bridge
from rexray.csi.local import LocalCaller, handlers_of
from rexray.csi.settings import CSISettings
from rexray.csi.volumes import CSIVolumes
from rexray.drivers import NodeDriver, OSDriver, StorageDriver, VolumeDriver
from rexray.paths import find_paths
from rexray.settings import Sources
from rexray.testing.kit.volume_rig import VolumeRig
from rexray.testing.memory import filesystem
from rexray.testing.memory.node import MemoryNode
from rexray.testing.memory.os import MemoryOS
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Device, Directory, MountPoint, VolumeSpec
from rexray.volumes.driver import DefaultVolumes
from rexray.volumes.platform import Platform
from rexray.volumes.settings import VolumeSettings

OTHERS = ("other-a", "other-b")
PASSWORD = "canary-of-the-platform"


class MountingOS(MemoryOS):
    """What is mounted is a directory, bound by the kernel where the platform has the filesystem mounted.

    It has the filesystem's files while that is mounted; then they are in the volume again, as the platform keeps them.
    """

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        found = super().mount(source, target, fs_type=fs_type, options=options)
        if isinstance(source, Device):
            mounts.bind(self._folder(source), target, options=("ro",) if found.read_only else ())
        return found

    def unmount(self, target: Path) -> None:
        if mounts.is_mount_point(target) and not mounts.is_read_only(target):
            for file in target.iterdir():
                self.write_file(file, file.read_bytes())
        mounts.unmount(target)
        super().unmount(target)

    def bind(self, source: Path, target: Path, *, options: tuple[str, ...] = ()) -> None:
        super().bind(source, target, options=options)
        if source.is_dir():
            mounts.bind(source, target, options=("ro",) if "ro" in options else ())

    def _folder(self, source: Device) -> Path:
        """The directory that stands for the filesystem on the device, with its files."""
        with self.platform.looking() as array:
            volume = self._held(array, source)
        found = filesystem.load(volume.content)
        assert found is not None
        assert self._settings.path is not None
        folder = self._settings.path.parent / "filesystems" / volume.id / found.id
        if not folder.exists():
            folder.mkdir(parents=True)
            for name, data in found.files.items():
                (folder / name.lstrip("/")).write_bytes(base64.b64decode(data))
        return folder


def platform_of(sources: Sources) -> Platform:
    """The three drivers."""
    return Platform(
        storage=MemoryStorage.make(sources),
        node=MemoryNode.make(sources),
        make_os=lambda: MountingOS.make(sources),
    )


class MemoryVolumes(DefaultVolumes):
    """The volume driver ``docker`` over them; other processes can make it as well."""

    os_driver: ClassVar[type[OSDriver]] = MountingOS
    home: Path
    """Where all of it is kept."""

    @classmethod
    def make(cls, sources: Sources) -> Self:
        platform = replace(platform_of(sources), make_os=lambda: cls.os_driver.make(sources))
        driver = cls(sources.load(VolumeSettings), platform, find_paths(sources.environ))
        driver.home = Path(sources.environ["REXRAY_HOME"])
        return driver


class MemoryBridge(Bridge):
    """The CSI plug-in ``libstorage`` over them."""

    @classmethod
    def make(cls, sources: Sources) -> Self:
        return cls(sources, find_paths(sources.environ))

    def node(self) -> tuple[NodeDriver, OSDriver]:
        return MemoryNode.make(self._sources), MountingOS.make(self._sources)

    @property
    def _storage_class(self) -> type[StorageDriver]:
        return MemoryStorage


class VolumesOfCSI(CSIVolumes):
    """The volume driver ``csi`` over that plug-in, called in this process."""

    @classmethod
    def make(cls, sources: Sources) -> Self:
        plugin = MemoryBridge.make(sources)
        plugin.start()
        caller = LocalCaller(handlers_of(plugin))
        return cls(sources.load(CSISettings), caller=caller, paths=find_paths(sources.environ))


def sources_below(home: Path, **environ: str) -> Sources:
    """Settings of a host and a platform that are kept below the home."""
    return Sources(
        environ={
            "REXRAY_HOME": str(home),
            "REXRAY_STORAGEDRIVERS": "memory",
            "REXRAY_DOCKER_SIZE": "64MiB",
            "MEMORY_FILE": str(home / "platform"),
            "MEMORY_PASSWORD": PASSWORD,
            **environ,
        }
    )


def with_others(sources: Sources) -> Sources:
    """The same settings, with volumes on the platform that are somebody else's."""
    for name in OTHERS:
        MemoryStorage.make(sources).create(VolumeSpec(name=name, size_bytes=1 << 26))
    return sources


def away(home: Path) -> Sources:
    """Settings that lead to a platform that cannot be reached."""
    sources = sources_below(home, MEMORY_FILE=str(home / "away"))
    MemoryStorage.make(sources).platform.go_down()
    return sources


def volume_rig(home: Path, driver: type[VolumeDriver] = MemoryVolumes) -> VolumeRig:
    """The rig of a volume driver over the host of that home."""
    return VolumeRig(
        driver,
        with_others(sources_below(home)),
        composed=(MemorySettings,),
        different={"size": "128MiB"},
        files=True,
        other_filesystem="xfs",
        troubles={"unreachable": away(home)},
    )


@contextlib.contextmanager
def quick_home() -> Iterator[Path]:
    """A directory in memory where nothing is mounted at the end."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="rexray-", dir=shared if shared.is_dir() else None) as name:
        home = Path(name).resolve()
        try:
            yield home
        finally:
            for mount in reversed([each for each in mounts.mount_table() if each.target.startswith(f"{home}/")]):
                mounts.unmount(mount.target)
