"""The contracts of the four kinds of driver.

Each contract is a small abstract base class; what only some platforms can do is a mixin of :mod:`rexray.mixins`.
Every method is idempotent: saying it twice is saying it once, "already so" is success, and "so, but differently" is
:class:`~rexray.errors.AlreadyExists` or :class:`~rexray.errors.InUse`.
Every method may raise any :class:`~rexray.errors.RexrayError`; a docstring names those with a meaning of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from rexray.errors import InvalidRequest, OutOfRange, Unsupported
from rexray.mixins import Clone, Encrypted, Snapshots
from rexray.types import (
    Attachment,
    BlockDevice,
    Device,
    Directory,
    FilesystemStats,
    Instance,
    InstanceId,
    MountPoint,
    MountRequest,
    Viability,
    Volume,
    VolumeId,
    VolumeSpec,
)

if TYPE_CHECKING:
    from rexray.settings import Sources

M = TypeVar("M")


class Driver(ABC):
    """What every driver class tells about itself before it is made."""

    name: ClassVar[str]
    """The word that users type; the entry point bears the same name."""
    aliases: ClassVar[tuple[str, ...]] = ()
    """Further words for the driver, each with an entry point of its own that points to the same module."""
    settings: ClassVar[type | None] = None
    """The dataclass of its settings (see :mod:`rexray.settings`), or None; an instance goes to the constructor."""

    @classmethod
    def viable(cls) -> Viability:
        """Whether the driver can work on this host: a quick look that calls no platform."""
        return Viability(ok=True)

    @classmethod
    def make(cls, sources: Sources) -> Self:
        """The driver as the sources configure it; ``SettingsError`` if they are wrong."""
        return cls(*([sources.load(cls.settings)] if cls.settings is not None else []))


class StorageDriver(Driver):
    """The storage platform's side; it holds the credentials and never touches this host's devices."""

    create_options: ClassVar[Mapping[str, str]] = {}
    """What a new volume can be asked beyond a spec's fields: words in lower case, each with what it says.

    Those that were given are in ``VolumeSpec.options``.
    """

    @abstractmethod
    def instances(self) -> Iterator[Instance]:
        """The hosts that the platform knows."""

    @abstractmethod
    def volumes(self) -> Iterator[Volume]:
        """Every volume with its attachments, page by page; no call is made per volume."""

    @abstractmethod
    def volume(self, volume_id: VolumeId) -> Volume:
        """One volume with its attachments; raises ``NotFound``."""

    def volumes_named(self, name: str) -> Iterator[Volume]:
        """The volumes of exactly that name; a driver whose platform can look one up by its name does so here."""
        return (volume for volume in self.volumes() if volume.name == name)

    def attached(self, instance_id: InstanceId) -> Iterator[Volume]:
        """The volumes that are attached to the instance; a driver whose platform can filter by it does so here."""
        return (
            volume
            for volume in self.volumes()
            if any(attachment.instance_id == instance_id for attachment in volume.attachments)
        )

    def check_spec(self, spec: VolumeSpec) -> None:
        """Refuse a wish that makes no sense, or that the class does not say it honours: ``create`` begins with it.

        ``InvalidRequest`` for an empty name, sizes below 0, two sources, or an option that is not among the
        ``create_options``; ``OutOfRange`` for 8 EiB or more; ``Unsupported`` for a source or encryption without the
        mixin for it.
        """
        if not spec.name:
            raise InvalidRequest("volume name is empty")
        what = f"volume {spec.name!r}"
        if min(spec.size_bytes, spec.limit_bytes, spec.iops) < 0:
            raise InvalidRequest(f"{what}: a size, a limit or a number of IOPS is below 0")
        if spec.size_bytes >= 2**63:
            raise OutOfRange(f"{what}: {spec.size_bytes} bytes are more than any platform's volume can have")
        if spec.source_volume and spec.source_snapshot:
            raise InvalidRequest(f"{what}: it cannot be a copy of a volume and of a snapshot")
        unknown = sorted(set(spec.options) - set(self.create_options))
        if unknown:
            known = ", ".join(sorted(self.create_options)) or "none"
            raise InvalidRequest(f"{what}: the driver {self.name!r} has no option {unknown[0]!r}; it has: {known}")
        for asked, mixin in (
            (spec.source_volume, Clone),
            (spec.source_snapshot, Snapshots),
            (spec.encrypted or spec.encryption_key, Encrypted),
        ):
            if asked and not isinstance(self, mixin):
                raise Unsupported(f"{what}: the driver {self.name!r} cannot make that: it has no {mixin.__name__}")

    @abstractmethod
    def create(self, spec: VolumeSpec) -> Volume:
        """The volume of that name, made if it is missing; ``AlreadyExists`` if it differs from the spec.

        ``OutOfRange``, with nothing made, for a size that cannot be had within ``VolumeSpec.limit_bytes``.
        """

    @abstractmethod
    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        """Delete the volume and its data; a missing one is success, an attached one ``InUse``."""

    @abstractmethod
    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        """Connect the volume to the instance; ``InUse`` names the holder, ``force`` takes it from there.

        ``device`` is what :meth:`NodeDriver.next_device` proposed. ``read_only`` is only asked of a driver that is
        :class:`ReadOnlyAttach`; attached to the instance otherwise is ``AlreadyExists``. ``NotFound`` says whether
        it is the volume or the instance that is unknown, ``OutOfCapacity`` that the instance can have no more volumes.
        """

    @abstractmethod
    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        """Disconnect the volume from the instance, or from all of them; not attached is success."""

    @abstractmethod
    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        """Where the volume is attached."""


class NodeDriver(Driver):
    """The same platform's side on this host; it holds no credentials."""

    @abstractmethod
    def instance(self) -> Instance:
        """This host as the platform knows it."""

    @abstractmethod
    def devices(self) -> tuple[BlockDevice, ...]:
        """The block devices of this host as the platform knows them."""

    @abstractmethod
    def next_device(self) -> str:
        """The next device name that an attach may ask for; empty where the platform chooses."""

    @abstractmethod
    def connect(self, attachment: Attachment, *, deadline: float) -> Device | Directory:
        """Make the attachment usable here and say where it is, or by what :meth:`OSDriver.locate` finds it.

        ``TimedOut`` after ``deadline`` seconds. The device's identity is what the platform knows of the volume.
        """

    @abstractmethod
    def disconnect(self, attachment: Attachment) -> None:
        """Undo :meth:`connect`; not connected is success."""


class OSDriver(Driver):
    """This host's devices, filesystems and mounts.

    Every method has a deadline of its own, after which it raises ``TimedOut`` whatever the kernel does.
    """

    @abstractmethod
    def locate(self, device: Device, *, deadline: float) -> Device:
        """The device node of a connected device, once it is there: ``TimedOut`` after ``deadline`` seconds.

        ``WrongDevice`` if what is there does not have the identity that was given.
        """

    @abstractmethod
    def mounts(self, *, source: str = "", target: Path | None = None) -> tuple[MountPoint, ...]:
        """The mounts of this host, all or those of one source or at one target."""

    @abstractmethod
    def mounted(self, target: Path) -> bool:
        """Whether something is mounted at exactly that path."""

    @abstractmethod
    def mount(
        self, source: Device | Directory, target: Path, *, fs_type: str = "", options: tuple[str, ...] = ()
    ) -> MountPoint:
        """Mount the source at the target, which is made if it is missing; mounted there already is success.

        ``options`` are mount(8)'s. ``InUse`` if something else is mounted at the target.
        """

    @abstractmethod
    def unmount(self, target: Path) -> None:
        """Unmount what is mounted at the target; nothing mounted there is success, ``InUse`` if it is busy."""

    @abstractmethod
    def bind(self, source: Path, target: Path, *, options: tuple[str, ...] = ()) -> None:
        """Make the source, a directory or a device node, visible at the target as well, ``ro`` if the options say so.

        The target is made if it is missing. Bound there already is success.
        """

    @abstractmethod
    def remount(self, target: Path, *, read_only: bool) -> None:
        """Make what is mounted at the target read-only or writable; so already is success."""

    @abstractmethod
    def probe(self, device: Device) -> str:
        """What the device holds (``ext4``, ``crypto_LUKS``, …), empty only when it is proven blank.

        A device that cannot be read, or that has data but nothing known, is an error.
        """

    @abstractmethod
    def format(self, device: Device, fs_type: str, *, overwrite: bool = False) -> None:
        """Make a filesystem; a device that is not blank is ``AlreadyExists`` unless ``overwrite``."""

    @abstractmethod
    def grow(self, device: Device, target: Path) -> None:
        """Grow the mounted filesystem to its device's size; as large already is success."""

    @abstractmethod
    def filesystem_stats(self, target: Path) -> FilesystemStats:
        """How full the filesystem at the target is; ``NotFound`` without that path."""

    @abstractmethod
    def device_size(self, device: Device) -> int:
        """The size of the device in bytes."""

    @abstractmethod
    def freeze(self, target: Path) -> None:
        """Hold up all writes to the filesystem at the target, with its data on the device; frozen is success."""

    @abstractmethod
    def thaw(self, target: Path) -> None:
        """Let writes go on; not frozen is success."""

    @abstractmethod
    def trim(self, target: Path) -> int:
        """Tell the device which blocks the filesystem does not use; how many bytes those were."""


class VolumeDriver(Driver):
    """What orchestrators talk to: volumes by name, mounted for holders. It composes the other drivers."""

    @abstractmethod
    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        """The volume of that name, made if it is missing; an unknown option is ``InvalidRequest``."""

    @abstractmethod
    def remove(self, name: str, *, force: bool = False) -> None:
        """Delete the volume and its data; a missing one is ``NotFound``, a mounted one ``InUse``."""

    @abstractmethod
    def get(self, name: str) -> Volume:
        """One volume; a mounted one has an attachment with its ``mount_point``. Raises ``NotFound``."""

    @abstractmethod
    def list(self) -> Iterator[Volume]:
        """Every volume, sorted by name; mounted ones have an attachment with their ``mount_point``."""

    @abstractmethod
    def mount(self, request: MountRequest) -> MountPoint:
        """Attach, prepare and mount the volume for the request's holder."""

    @abstractmethod
    def unmount(self, name: str, holder: str) -> None:
        """Let the holder's mount go; the last one unmounts and detaches. An unknown holder is success."""

    @abstractmethod
    def unmount_all(self) -> Iterator[str]:
        """Unmount every volume of this host, whoever holds it; the name of each as it is done."""

    @abstractmethod
    def path(self, name: str) -> Path | None:
        """Where the volume is mounted, None while it is not. Raises ``NotFound``."""

    @abstractmethod
    def attach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> Attachment:
        """Attach without mounting; ``force`` takes the volume from the instance that has it."""

    @abstractmethod
    def detach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> None:
        """Detach; a mounted volume is ``InUse``."""

    @abstractmethod
    def network_name(self, name: str, instance_id: InstanceId) -> str:
        """What correlates a local device with the volume on that instance; empty while not attached."""

    @abstractmethod
    def instance_id(self) -> InstanceId:
        """This host as the platform knows it."""

    @abstractmethod
    def devices(self) -> tuple[BlockDevice, ...]:
        """The volumes that are attached to this host, with their devices."""

    @abstractmethod
    def volume_id(self, name: str) -> VolumeId:
        """The id of a volume that is given by its exact name or id; raises ``NotFound``."""

    @abstractmethod
    def recover(self) -> Iterator[str]:
        """Finish what a crash or a reboot interrupted, and say what was done, a line each."""

    def capability(self, mixin: type[M]) -> M:
        """What offers an optional capability such as :class:`Snapshots`; ``Unsupported`` where nothing does."""
        if isinstance(self, mixin):
            return self
        raise Unsupported(f"volume driver {self.name!r} cannot do that: it has no {mixin.__name__}")
