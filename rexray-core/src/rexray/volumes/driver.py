"""The default volume driver: volumes of any storage platform, by name, for Docker, the shell and whoever else asks.

Its name ``docker`` is the original's; nothing in it is Docker's alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeVar

from rexray.drivers import VolumeDriver
from rexray.errors import InUse, NotFound, NotReady, Unsupported
from rexray.holding import Holding, count
from rexray.locks import Locks
from rexray.mixins import Expand, Snapshots
from rexray.names import check_volume_name
from rexray.paths import Paths, find_paths
from rexray.registry import registry
from rexray.settings import Sources
from rexray.state import Record, Records
from rexray.types import (
    Attachment,
    BlockDevice,
    Device,
    InstanceId,
    MountPoint,
    MountRequest,
    Volume,
    VolumeId,
)
from rexray.volumes.claims import Claims
from rexray.volumes.creating import UNFORMATTED, Creator
from rexray.volumes.extras import GrowingExpand, QuietSnapshots
from rexray.volumes.mapping import block_devices
from rexray.volumes.platform import Platform, find_service, service_platform
from rexray.volumes.preparing import undone_on_error
from rexray.volumes.publishing import BlockPublisher
from rexray.volumes.quiet import QuietVolumes
from rexray.volumes.resolving import Resolver
from rexray.volumes.settings import VolumeSettings

M = TypeVar("M")


class DefaultVolumes(VolumeDriver):
    """The volume workflow over one platform."""

    name = "docker"
    settings = VolumeSettings

    def __init__(self, settings: VolumeSettings, platform: Platform, paths: Paths | None = None) -> None:
        paths = paths or find_paths()
        self._settings = settings
        self._platform = platform
        self._storage = platform.storage
        own = paths.of_service(platform.service)
        mount_root = settings.mount_path / platform.service if settings.mount_path != Path() else own.lib / "volumes"
        claims = Claims(own.lib / "csi" / f"{platform.storage.name}-claims")
        self._publisher = BlockPublisher(platform, settings, mount_root, Locks(paths.run / "device-locks"), claims)
        self._records = Records(own.lib / "docker" / platform.storage.name)
        locks = Locks(paths.run / "locks")
        self._resolver = Resolver(platform.storage, self._records, locks)
        self._quiet = QuietVolumes(platform, locks)
        self._creator = Creator(settings, platform, self._publisher, self._records, self._quiet)
        self._holding = Holding(self.name, self._publisher, self._records, locks)

    @classmethod
    def make(cls, sources: Sources) -> Self:
        """The driver over the platform that the sources configure."""
        service = find_service(sources)
        return cls(service.sources.load(VolumeSettings), service_platform(service))

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        """The options are :data:`rexray.volumes.options.OPTIONS`."""
        wishes = self._creator.read(check_volume_name(name), options)
        with self._holding.lock(name, "Create"):
            volume = self._creator.create(wishes, lambda: self._resolver.one(name))
        registry().tell("rexray_volume_created", driver=self.name, volume=volume)
        return volume

    def remove(self, name: str, *, force: bool = False) -> None:
        """A mount that nobody uses is undone first; ``force`` is the platform's to understand."""
        if self._settings.remove_disable:
            return
        try:
            key, volume = self._resolver.locate(name)
        except NotFound:
            if not self._forget_gone(name):
                raise
            return
        with self._holding.lock(key, "Remove"):
            record = self._resolver.record(key, volume)
            with self._holding.removal(record):
                self._storage.remove(volume.id, force=force or self._settings.remove_force)
        registry().tell("rexray_volume_removed", driver=self.name, name=key)

    def get(self, name: str) -> Volume:
        """One volume by its name or id, with its mount point on this host."""
        return self._described(self._resolver.volume(name))

    def list(self) -> Iterator[Volume]:
        """Every volume, page by page from the platform."""
        return iter(sorted(map(self._described, self._storage.volumes()), key=lambda volume: volume.name))

    def mount(self, request: MountRequest) -> MountPoint:
        """The first holder attaches, formats what is blank, and mounts; the others share the mount."""
        if self._settings.create_implicit and self._resolver.one(request.name) is None:
            self.create(request.name, {})
        key, volume = self._resolver.locate(request.name)
        with self._resolver.naming(key, volume) as key:
            request = replace(request, name=key)
            target = self._holding.mount(request, lambda: self._mountable(request, volume))
        if request.overwrite_fs:
            self._creator.is_formatted(key)
        return MountPoint(path=self._publisher.visible(target), source=key, read_only=request.read_only)

    def unmount(self, name: str, holder: str) -> None:
        """The last holder unmounts and detaches; ``rexray.volume.unmount.ignoreUsedCount`` lets the first one do so."""
        self._holding.unmount(self._resolver.held_name(name), None if self._settings.ignore_used_count else holder)

    def unmount_all(self) -> Iterator[str]:
        """Unmount and detach every volume of this host, whoever holds it; the name of each as it is done."""
        return self._holding.unmount_all()

    def path(self, name: str) -> Path | None:
        """Where the volume is mounted; a volume without a mount is asked for, to tell if it exists."""
        found = self._holding.mounted_at(self._resolver.held_name(name))
        if found is None:
            self._resolver.volume(name)
            return None
        return self._publisher.visible(found)

    def attach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> Attachment:
        """Attach to any instance; to this one it is also connected, which tells the device.

        By force it is not taken from this host while it is mounted here.
        """
        key, volume = self._resolver.locate(name)
        with self._holding.lock(key, "Attach"):
            record = self._resolver.record(key, volume)
            if self._platform.remote or instance_id != self.instance_id():
                if force:
                    self._refuse_mounted(record, name)
                elsewhere = self._storage.attach(volume.id, instance_id, force=force)
                registry().tell("rexray_volume_attached", driver=self._storage.name, attachment=elsewhere)
                return elsewhere
            preparer = self._publisher.preparer
            was_here = self._publisher.is_attached_here(record)
            attachment = self._publisher.attach(record, force=force)
            self._settle_unmounted(record)  # whoever attaches by name will detach by name
            with contextlib.ExitStack() as undo:
                if not was_here:
                    undo.enter_context(undone_on_error(lambda: self._publisher.detach(record, attachment)))
                source = preparer.connect(attachment)
            return replace(attachment, device=str(source.path) if isinstance(source, Device) else source.source)

    def detach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> None:
        """Detach from any instance; ``InUse`` while it is mounted here."""
        key, volume = self._resolver.locate(name)
        with self._holding.lock(key, "Detach"):
            record = self._resolver.record(key, volume)
            if self._platform.remote or instance_id != self.instance_id():
                if self._is_mounted(record) and not self._has(instance_id, volume.id):
                    self._refuse_mounted(record, name)  # the driver may take that word for another one for this host
                self._storage.detach(volume.id, instance_id, force=force)
                event = {"name": record.name, "instance_id": instance_id}
                registry().tell("rexray_volume_detached", driver=self._storage.name, **event)
                return
            self._refuse_mounted(record, name)
            found = self._storage.attachments(volume.id, instance_id)
            for attachment in found:
                self._publisher.detach(record, attachment, force=force)
            if not found:
                self._publisher.disconnect(record)
            self._settle_unmounted(record)

    def network_name(self, name: str, instance_id: InstanceId) -> str:
        """What the node finds the device by, while the volume is attached to that instance."""
        here = self._storage.attachments(self._resolver.volume(name).id, instance_id)
        return here[0].token if here else ""

    def instance_id(self) -> InstanceId:
        """This host as the platform knows it."""
        return self._publisher.instance.id

    def devices(self) -> tuple[BlockDevice, ...]:
        """The block devices of this host's volumes, as its node driver and the platform see them."""
        return block_devices(self._platform, self._publisher.instance)

    def recover(self) -> Iterator[str]:
        """Finish what a crash or a reboot interrupted, and say what was done, a line each."""
        return self._holding.recover()

    def capability(self, mixin: type[M]) -> M:
        """The storage driver's, with this host's part around it where there is one."""
        found: object = self._storage
        if isinstance(found, Expand) and issubclass(mixin, Expand):
            found = GrowingExpand(found, self._publisher, self._hold_mounted)
        elif isinstance(found, Snapshots) and issubclass(mixin, Snapshots):
            found = QuietSnapshots(found, self._quiet, self._publisher, self._hold_mounted)
        if not isinstance(found, mixin):
            raise Unsupported(f"storage driver {self._storage.name!r} cannot do that: it has no {mixin.__name__}")
        return found

    def volume_id(self, name: str) -> VolumeId:
        """The id of a volume that is given by its name or its id."""
        return self._resolver.volume(name).id

    def _forget_gone(self, name: str) -> bool:
        """Finish the removal of a volume that the platform has no more; False if nothing here knows it either."""
        with self._holding.lock(name, "Remove"):
            record = self._records.load(name)
            if record is None:
                return False
            with self._holding.removal(record):
                return True

    def _mountable(self, request: MountRequest, volume: Volume) -> Record:
        """The record of a volume that is to be mounted."""
        record = self._resolver.record(request.name, volume)
        if UNFORMATTED in record.context and not request.overwrite_fs:
            raise NotReady(
                f"volume {request.name!r} was to be formatted by a create that did not finish: remove it, create it "
                "again as before, or mount it with --overwriteFS"
            )
        return record

    def _has(self, instance_id: InstanceId, volume_id: VolumeId) -> bool:
        """Whether the platform says of an instance by exactly that id that it has the volume."""
        return any(item.instance_id == instance_id for item in self._storage.attachments(volume_id))

    def _is_mounted(self, record: Record) -> bool:
        return bool(record.holders) or self._publisher.is_published(record)

    def _refuse_mounted(self, record: Record, name: str) -> None:
        if self._is_mounted(record):
            raise InUse(f"volume {name!r} is mounted for {count(record.holders)}: unmount it first")

    def _settle_unmounted(self, record: Record) -> None:
        """Forget what an interrupted operation still had to undo, for it is not to be undone any more."""
        if record.published and not record.holders and not self._publisher.is_published(record):
            self._holding.settle(record)

    def _described(self, volume: Volume) -> Volume:
        """The volume with its mount point in this host's attachment."""
        record = self._resolver.known(volume)
        if record is None or not record.holders or not self._publisher.is_published(record):
            return volume
        where = str(self._publisher.visible(self._publisher.target(record)))
        here = self.instance_id()
        others = tuple(item for item in volume.attachments if item.instance_id != here)
        own = next((item for item in volume.attachments if item.instance_id == here), None)
        own = own or Attachment(volume_id=volume.id, instance_id=here)
        return replace(volume, attachments=(replace(own, mount_point=where), *others))

    @contextlib.contextmanager
    def _hold_mounted(self, volume_id: VolumeId, operation: str) -> Iterator[Record | None]:
        """The record of a volume that is mounted here, by its id; its lock is held, so that it stays as it is."""
        known = self._records.of_volume(volume_id)
        key = known.name if known is not None else self._resolver.locate(volume_id)[0]
        with self._holding.lock(key, operation):
            record = self._records.load(key)
            mounted = record is not None and record.volume_id == volume_id and record.published
            yield record if record is not None and mounted and self._publisher.is_published(record) else None
