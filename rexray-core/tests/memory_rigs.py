"""Rigs of the conformance kit for the node and OS drivers in memory: their platform, its hosts and their devices."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rexray.drivers import NodeDriver, OSDriver
from rexray.settings import Sources
from rexray.testing.kit.node_rig import NodeRig
from rexray.testing.kit.os_rig import OSRig
from rexray.testing.kit.rig import StorageRig
from rexray.testing.memory.devices import MemoryDevices
from rexray.testing.memory.node import MemoryNode
from rexray.testing.memory.os import MemoryOS
from rexray.testing.memory.platform import MemoryPlatform
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Attachment, Device, InstanceId, VolumeId, VolumeSpec

MIB = 1 << 20
HERE = InstanceId("host-1")
ANSWER = 0.3


def sources(folder: Path, **environ: str) -> Sources:
    """A platform of its own, in a file that other processes can use."""
    return Sources(environ={"MEMORY_FILE": str(folder / "platform.json"), **environ})


def platform_of(found: Sources) -> MemoryPlatform:
    """The platform that the sources name."""
    return MemoryPlatform.of(found.load(MemorySettings))


class MemoryContents:
    """Volumes as the platform has them."""

    def __init__(self, platform: MemoryPlatform) -> None:
        self._platform = platform

    def write(self, volume_id: VolumeId, offset: int, data: bytes) -> None:
        self._platform.write(volume_id, offset, data)

    def read(self, volume_id: VolumeId, offset: int, length: int) -> bytes:
        return self._platform.read(volume_id, offset, length)


def node_rig(folder: Path, driver: type[NodeDriver] = MemoryNode) -> NodeRig:
    """A node driver on a platform with a password, whose devices are those of its host."""
    found = sources(folder, MEMORY_PASSWORD="of the platform")
    platform = platform_of(found)
    platform.set_password("of the platform")

    @contextlib.contextmanager
    def stall(attachment: Attachment) -> Iterator[None]:
        platform.hang("connect")
        try:
            yield
        finally:
            platform.clear_faults()

    storage = StorageRig(MemoryStorage, found, size_bytes=2 * MIB, step_bytes=MIB, contents=MemoryContents(platform))
    return NodeRig(
        driver,
        found,
        storage,
        os=MemoryOS.make(found),
        devices=MemoryDevices(found.load(MemorySettings)),
        stall=stall,
        deadline=2.0,
        slack=1.0,
        patience=30.0,
    )


class MemoryDisks(MemoryDevices):
    """Volumes of the platform that are connected to this host."""

    def __init__(self, found: Sources) -> None:
        super().__init__(found.load(MemorySettings))
        self._storage, self._node = MemoryStorage.make(found), MemoryNode.make(found)
        self._made: dict[str, VolumeId] = {}
        """The volumes by their serial number."""

    def make(self, size_bytes: int) -> Device:
        spec = VolumeSpec(name=f"disk{len(self._made)}", size_bytes=size_bytes)
        volume = self._storage.create(spec)
        device = self._node.connect(self._storage.attach(volume.id, HERE), deadline=10)
        self._made[device.identity.serial] = volume.id
        return device

    def grow(self, device: Device, size_bytes: int) -> None:
        self._storage.expand(self._made[device.identity.serial], size_bytes)

    def remove(self, device: Device) -> None:
        self._storage.detach(self._made[device.identity.serial], HERE)

    def restore(self, device: Device) -> Device:
        return self._node.connect(self._storage.attach(self._made[device.identity.serial], HERE), deadline=10)

    def damage(self, device: Device) -> None:
        self.platform.set_health(self._made[device.identity.serial], "no sector answers")

    def close(self) -> None:
        for volume_id in self._made.values():
            self._storage.detach(volume_id, force=True)
            self._storage.remove(volume_id)
        self._made.clear()


class MemoryFiles:
    """The files of the host, as its processes see them: by the healthy driver, whichever is being checked."""

    def __init__(self, found: Sources) -> None:
        self._os = MemoryOS.make(found)

    def write(self, path: Path, data: bytes) -> None:
        self._os.write_file(path, data)

    def read(self, path: Path) -> bytes:
        return self._os.read_file(path)

    def using(self, path: Path) -> contextlib.AbstractContextManager[None]:
        return self._os.using(path)

    def clear(self, folder: Path) -> None:
        self._os.platform.reboot(HERE)
        shutil.rmtree(folder, ignore_errors=True)


def os_rig(folder: Path, driver: type[OSDriver] = MemoryOS) -> OSRig:
    """An OS driver of a host whose disks are the platform's volumes."""
    found = sources(folder)

    @contextlib.contextmanager
    def hung() -> Iterator[tuple[OSDriver, Path]]:
        impatient = driver.make(replace(found, environ={**found.environ, "MEMORY_TIMEOUT": f"{ANSWER}s"}))
        _, target = rig.mounted()
        platform_of(found).hang("filesystem_stats", times=100)
        try:
            yield impatient, target
        finally:
            platform_of(found).clear_faults()

    rig = OSRig(
        driver,
        found,
        MemoryDisks(found),
        folder,
        files=MemoryFiles(found),
        size_bytes=4 * MIB,
        hung=hung,
        answer=ANSWER,
        slack=1.0,
        patience=30.0,
    )
    return rig
