"""The volume driver ``csi``: Docker's and the shell's view of any CSI service.

Docker knows volumes by name, CSI by the id that the service chose. A record keeps the id of a volume whose name
and id differ; every other volume is known by its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.lookup import Found, Lookup
from rexray.csi.publishing import CALL_SECONDS, Publisher
from rexray.csi.settings import CSISettings
from rexray.csi.snapshots import CSISnapshots
from rexray.drivers import VolumeDriver
from rexray.errors import InUse, Unsupported
from rexray.holding import Holding, count
from rexray.locks import Locks
from rexray.names import check_name
from rexray.paths import Paths, find_paths
from rexray.registry import registry
from rexray.sizes import parse_size
from rexray.state import Record, Records
from rexray.types import (
    Attachment,
    AttachmentState,
    BlockDevice,
    InstanceId,
    MountPoint,
    MountRequest,
    Volume,
    VolumeId,
)

if TYPE_CHECKING:
    from rexray.csi.client import Caller


class CSIVolumes(CSISnapshots, VolumeDriver):
    """Volumes of a CSI service, through a :class:`~rexray.csi.client.Caller` on it."""

    name = "csi"
    settings = CSISettings

    def __init__(self, settings: CSISettings, *, caller: Caller | None = None, paths: Paths | None = None) -> None:
        paths = paths or find_paths()
        caller = caller or _connect(settings.endpoint_or_default(paths))
        self._caller = caller
        self._publisher = Publisher(caller, paths.lib / "volumes", paths.lib / "csi" / "staging")
        self._lookup = Lookup(self._publisher)
        self._records = Records(paths.lib / "csi" / "volumes")
        self._holding = Holding(self.name, self._publisher, self._records, Locks(paths.run / "locks"))

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        """``size`` (GiB, or with a unit) is the capacity; the other options are the service's parameters."""
        check_name(name)
        options = {key.lower(): value for key, value in options.items()}
        size = parse_size(options.pop("size", "0"), unit="GiB")
        with self._holding.lock(name, "Create"):
            created = self._call(
                rpc.CREATE_VOLUME,
                pb.CreateVolumeRequest(
                    name=name,
                    capacity_range=pb.CapacityRange(required_bytes=size) if size else None,
                    volume_capabilities=[self._publisher.capability()],
                    parameters=options,
                ),
            ).volume
            if created.volume_id != name or created.volume_context:
                record = self._records.load(name)
                if record is None or record.volume_id != created.volume_id:
                    context = dict(created.volume_context)
                    record = Record(name=name, volume_id=created.volume_id, context=context)
                    self._records.save(record, durable=True)
        volume = self._lookup.describe(name, Found(created, ()), None)
        registry().tell("rexray_volume_created", driver=self.name, volume=volume)
        return volume

    def remove(self, name: str, *, force: bool = False) -> None:
        """A mount that nobody uses is undone first; CSI has no word for ``force``."""
        _refuse_force(force)
        with self._holding.lock(check_name(name), "Remove"):
            record = self._record(name)
            with self._holding.removal(record):
                self._call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=record.volume_id))
        registry().tell("rexray_volume_removed", driver=self.name, name=name)

    def get(self, name: str) -> Volume:
        """One volume, by one call where the service has GET_VOLUME and by its list where not."""
        record = self._records.load(check_name(name))
        return self._lookup.describe(name, self._lookup.find(record.volume_id if record else name, name), record)

    def list(self) -> Iterator[Volume]:
        """Every volume, a page a call."""
        records = self._records.all()
        names = {record.volume_id: record.name for record in records.values()}
        volumes = (
            self._lookup.describe(name, found, records.get(name))
            for found in self._lookup.pages()
            for name in [names.get(found.volume.volume_id, found.volume.volume_id)]
        )
        return iter(sorted(volumes, key=lambda volume: volume.name))

    def mount(self, request: MountRequest) -> MountPoint:
        """The first holder publishes; the others share its mount. CSI cannot overwrite or preempt."""
        check_name(request.name)
        _refuse_force(request.overwrite_fs or request.preempt)
        target = self._holding.mount(request, lambda: self._record(request.name))
        return MountPoint(path=target, source=request.name, read_only=request.read_only)

    def unmount(self, name: str, holder: str) -> None:
        """The last holder unpublishes."""
        self._holding.unmount(check_name(name), holder)

    def unmount_all(self) -> Iterator[str]:
        """Unpublish every volume that is published by this driver."""
        return self._holding.unmount_all()

    def path(self, name: str) -> Path | None:
        """Where the volume is mounted; a volume without a mount is asked for, to tell if it exists."""
        found = self._holding.mounted_at(check_name(name))
        if found is None:
            self.get(name)
        return found

    def attach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> Attachment:
        """Controller-publish to this node; another node's attach is that node's own business."""
        _refuse_force(force)
        self._only_here(instance_id)
        with self._holding.lock(check_name(name), "Attach"):
            record = self._record(name)
            context = self._publisher.attach(record)
        attachment = Attachment(
            volume_id=VolumeId(record.volume_id),
            instance_id=instance_id,
            token=context.get("path", ""),
            status="attached",
        )
        registry().tell("rexray_volume_attached", driver=self.name, attachment=attachment)
        return attachment

    def detach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> None:
        """Controller-unpublish from this node."""
        _refuse_force(force)
        self._only_here(instance_id)
        with self._holding.lock(check_name(name), "Detach"):
            record = self._record(name)
            if record.holders:
                raise InUse(f"volume {name!r} is mounted for {count(record.holders)}: unmount it first")
            self._publisher.detach(record)
        registry().tell("rexray_volume_detached", driver=self.name, name=name, instance_id=instance_id)

    def network_name(self, name: str, instance_id: InstanceId) -> str:
        """The volume's id, while it is attached to that instance."""
        volume = self.get(name)
        here = any(attachment.instance_id == instance_id for attachment in volume.attachments)
        return volume.id if here else ""

    def instance_id(self) -> InstanceId:
        """This host as the CSI service knows it."""
        return InstanceId(self._publisher.abilities.node_id)

    def devices(self) -> tuple[BlockDevice, ...]:
        """The volumes that are published to this node; CSI does not tell by which device."""
        here = self.instance_id()
        return tuple(
            BlockDevice(
                provider=self.name,
                instance_id=here,
                volume_id=volume.id,
                device="",
                status=volume.status,
                network_name=volume.id,
            )
            for volume in self.list()
            if volume.state is AttachmentState.ATTACHED
        )

    def volume_id(self, name: str) -> VolumeId:
        """The id that the service gave the volume."""
        return self.get(name).id

    def recover(self) -> Iterator[str]:
        """Finish what a crash or a reboot interrupted, and say what was done, a line each."""
        return self._holding.recover()

    def _record(self, name: str) -> Record:
        """The volume's record, or a new one if the service knows the volume."""
        record = self._records.load(name)
        if record is not None:
            return record
        volume = self._lookup.find(name, name).volume
        return Record(name=name, volume_id=volume.volume_id, context=dict(volume.volume_context))

    def _only_here(self, instance_id: InstanceId) -> None:
        if instance_id != self.instance_id():
            raise Unsupported(f"volume driver csi attaches to this node, {self.instance_id()!r}, not {instance_id!r}")

    def _call(self, call: rpc.Call[rpc.Req, rpc.Rep], request: rpc.Req) -> rpc.Rep:
        return self._caller.call(call, request, timeout=CALL_SECONDS)


def _refuse_force(force: bool) -> None:
    if force:
        raise Unsupported("volume driver csi cannot force anything: CSI has no such call")


def _connect(endpoint: str) -> Caller:
    from rexray.csi.client import CSIClient

    return CSIClient(endpoint)
