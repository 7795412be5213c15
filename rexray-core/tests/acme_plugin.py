"""A plug-in for tests: the platform ``acme``, also called ``anvil``, whose volumes are entries of the file ``$ACME``.

Every call of the storage driver is noted in ``$ACME.calls``. ``$ACME_DOWN`` says that the platform cannot be reached.
What the node sees is :data:`SEEN`, what is mounted is :data:`MOUNTED`.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rexray import hookimpl
from rexray.drivers import NodeDriver, OSDriver, StorageDriver
from rexray.errors import NotFound, Unavailable
from rexray.mixins import HasPolicy
from rexray.settings import Sources, setting
from rexray.types import (
    Attachment,
    BlockDevice,
    Device,
    Directory,
    FilesystemStats,
    Instance,
    InstanceId,
    MountPoint,
    Volume,
    VolumeId,
    VolumeSpec,
)
from rexray.volumes.settings import VolumeSettings

HERE = InstanceId("here")
SEEN: list[BlockDevice] = []
MOUNTED: list[MountPoint] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeSettings:
    """Settings of the platform."""

    key: str = setting("", key="acme.key", older=("anvil.key",), help="The key")


def volumes() -> dict[VolumeId, Volume]:
    """What the platform has, by id."""
    path = Path(os.environ["ACME"])
    found: dict[VolumeId, Volume] = pickle.loads(path.read_bytes()) if path.exists() else {}
    return found


def have(*wanted: Volume) -> None:
    """Let the platform have just these volumes."""
    Path(os.environ["ACME"]).write_bytes(pickle.dumps({volume.id: volume for volume in wanted}))


def calls() -> list[str]:
    """The calls of the storage driver so far."""
    path = Path(os.environ["ACME"] + ".calls")
    return path.read_text().split() if path.exists() else []


class Acme:
    """What the drivers have in common."""

    def __init__(self, settings: AcmeSettings) -> None:
        self.key = settings.key

    def note(self, call: str) -> None:
        with Path(os.environ["ACME"] + ".calls").open("a") as log:
            print(call, file=log)
        if os.environ.get("ACME_DOWN"):
            raise Unavailable("acme cannot be reached")


class AcmeStorage(Acme, HasPolicy, StorageDriver):
    """Volumes without any platform."""

    name = "acme"
    aliases = ("anvil",)
    settings = AcmeSettings
    create_options = {"throughput": "MiB a second", "multiattach": "true: several instances can have it"}

    @classmethod
    def policy(cls, sources: Sources) -> Mapping[str, object]:
        may = ["CreateVolume"] if not sources.load(VolumeSettings).create_disable else []
        return {"Version": "1", "May": [*may, "AttachVolume"]}

    def instances(self) -> Iterator[Instance]:
        yield Instance(id=HERE, provider=self.name)

    def volumes(self) -> Iterator[Volume]:
        self.note("volumes")
        return iter(volumes().values())

    def volumes_named(self, name: str) -> Iterator[Volume]:
        self.note("volumes_named")
        return (volume for volume in volumes().values() if volume.name == name)

    def attached(self, instance_id: InstanceId) -> Iterator[Volume]:
        self.note("attached")
        return (item for item in volumes().values() if any(at.instance_id == instance_id for at in item.attachments))

    def volume(self, volume_id: VolumeId) -> Volume:
        self.note("volume")
        if volume_id not in volumes():
            raise NotFound(f"volume {volume_id!r} does not exist")
        return volumes()[volume_id]

    def create(self, spec: VolumeSpec) -> Volume:
        known = volumes()
        made = next((volume for volume in known.values() if volume.name == spec.name), None)
        if made is None:
            new = VolumeId(f"vol-{len(known) + 1}")
            made = Volume(id=new, name=spec.name, size_bytes=spec.size_bytes, fields=dict(spec.options))
            have(*known.values(), made)
        return made

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        have(*(volume for volume in volumes().values() if volume.id != volume_id))

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        attachment = Attachment(volume_id=volume_id, instance_id=instance_id)
        others = [volume for volume in volumes().values() if volume.id != volume_id]
        have(*others, replace(volumes()[volume_id], attachments=(attachment,)))
        return attachment

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        others = [volume for volume in volumes().values() if volume.id != volume_id]
        have(*others, replace(volumes()[volume_id], attachments=()))

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        found = volumes()[volume_id].attachments
        return tuple(attachment for attachment in found if instance_id in (None, attachment.instance_id))


class AcmeNode(Acme, NodeDriver):
    """A host that the platform knows."""

    name = "acme"
    aliases = ("anvil",)
    settings = AcmeSettings

    def instance(self) -> Instance:
        return Instance(id=HERE, provider=self.name, region="moon")

    def devices(self) -> tuple[BlockDevice, ...]:
        return tuple(SEEN)

    def next_device(self) -> str:
        return ""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        raise NotImplementedError

    def disconnect(self, attachment: Attachment) -> None: ...


class AcmeOS(OSDriver):
    """An operating system that mounts nothing."""

    name = "acme"

    def locate(self, device: Device, *, deadline: float) -> Device:
        return device

    def mounts(self, *, source: str = "", target: Path | None = None) -> tuple[MountPoint, ...]:
        return tuple(mount for mount in MOUNTED if target in (None, mount.path))

    def mounted(self, target: Path) -> bool:
        return bool(self.mounts(target=target))

    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        raise NotImplementedError

    def unmount(self, target: Path) -> None: ...
    def bind(self, source: Path, target: Path, *, options: tuple[str, ...] = ()) -> None: ...
    def remount(self, target: Path, *, read_only: bool) -> None: ...

    def probe(self, device: Device) -> str:
        return ""

    def format(self, device: Device, fs_type: str, *, overwrite: bool = False) -> None: ...
    def grow(self, device: Device, target: Path) -> None: ...

    def filesystem_stats(self, target: Path) -> FilesystemStats:
        raise NotImplementedError

    def device_size(self, device: Device) -> int:
        return 0

    def freeze(self, target: Path) -> None: ...
    def thaw(self, target: Path) -> None: ...

    def trim(self, target: Path) -> int:
        return 0


@hookimpl
def rexray_storage_drivers() -> Sequence[type[StorageDriver]]:
    return [AcmeStorage]


@hookimpl
def rexray_node_drivers() -> Sequence[type[NodeDriver]]:
    return [AcmeNode]


@hookimpl
def rexray_os_drivers() -> Sequence[type[OSDriver]]:
    return [AcmeOS]
