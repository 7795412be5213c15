"""The volume driver ``csi``: Docker's and the shell's view of any CSI service.

Docker knows volumes by name, CSI by the id that the service chose. A record keeps the id of a volume whose name
and id differ; every other volume is known by its id.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from rexray import faults, mounts
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.lookup import Found, Lookup
from rexray.csi.publishing import CALL_SECONDS, Publisher
from rexray.csi.settings import CSISettings
from rexray.csi.snapshots import CSISnapshots
from rexray.drivers import VolumeDriver
from rexray.errors import InUse, RexrayError, Unsupported
from rexray.locks import Locks
from rexray.names import check_name
from rexray.paths import Paths, find_paths
from rexray.registry import registry
from rexray.sizes import parse_size
from rexray.state import Record, Records
from rexray.types import (
    SHELL_HOLDER,
    Attachment,
    InstanceId,
    MountPoint,
    MountRequest,
    Volume,
    VolumeId,
)

if TYPE_CHECKING:
    from rexray.csi.client import Caller

log = logging.getLogger(__name__)

LOCK_SECONDS = 100.0
"""How long a request waits for another one on the same volume: less than Docker waits for an answer."""

ADOPTED = "adopted"
"""The holder of a mount that was found without a record: whoever lets go first ends it."""


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
        self._locks = Locks(paths.run / "locks")

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        """``size`` (GiB, or with a unit) is the capacity; the other options are the service's parameters."""
        check_name(name)
        options = {key.lower(): value for key, value in options.items()}
        size = parse_size(options.pop("size", "0"), unit="GiB")
        with self._lock(name, "Create"):
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

    def remove(self, name: str) -> None:
        """Holders that no mount namespace bears out are forgotten: Docker loses an Unmount now and then."""
        with self._lock(check_name(name), "Remove"):
            record = self._record(name)
            was_published = record.published or self._publisher.is_published(name)
            if was_published:
                self._refuse_if_used(record)
                self._unpublish(record)
            try:
                self._call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=record.volume_id))
            except RexrayError:
                if was_published:
                    self._publish_again(record)
                raise
            faults.point("csi-removed")
            self._records.forget(name)
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
        """The first holder publishes; the others share its mount."""
        name = check_name(request.name)
        check_name(request.holder, "holder id")
        with self._lock(name, "Mount"):
            record = self._record(name)
            target = self._publisher.target(name)
            if record.holders and self._publisher.is_published(name):
                _refuse_other_access(record, request)
            else:
                record = self._publish(record, request)
            if request.holder not in record.holders:
                faults.point("csi-mount-published")
                self._hold(record, request.holder)
        registry().tell("rexray_volume_mounted", driver=self.name, name=name, holder=request.holder, path=target)
        return MountPoint(path=target, source=record.volume_id, read_only=request.read_only)

    def unmount(self, name: str, holder: str) -> None:
        """The intent is on disk before the first step, for Docker asks only once."""
        with self._lock(check_name(name), "Unmount"):
            record = self._records.load(name)
            if record is None or not record.published:
                return
            left = tuple(other for other in record.holders if other not in (holder, ADOPTED))
            if left:
                self._records.save(record.published_as(*left))
            else:
                self._records.save(record.published_as())
                faults.point("csi-unmount-noted")
                self._unpublish(record)
        registry().tell("rexray_volume_unmounted", driver=self.name, name=name, holder=holder)

    def path(self, name: str) -> Path | None:
        """Where the volume is mounted; a volume without a mount is asked for, to tell if it exists."""
        record = self._records.load(check_name(name))
        if record is not None and record.published and self._publisher.is_published(name):
            return self._publisher.target(name)
        self.get(name)
        return None

    def attach(self, name: str, instance_id: InstanceId) -> Attachment:
        """Controller-publish to this node; another node's attach is that node's own business."""
        self._only_here(instance_id)
        with self._lock(check_name(name), "Attach"):
            context = self._publisher.attach(self._record(name))
        attachment = Attachment(
            volume_id=VolumeId(name), instance_id=instance_id, token=context.get("path", ""), status="attached"
        )
        registry().tell("rexray_volume_attached", driver=self.name, attachment=attachment)
        return attachment

    def detach(self, name: str, instance_id: InstanceId) -> None:
        """Controller-unpublish from this node."""
        self._only_here(instance_id)
        with self._lock(check_name(name), "Detach"):
            record = self._record(name)
            if record.holders:
                raise InUse(f"volume {name!r} is mounted for {_count(record.holders)}: unmount it first")
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

    def recover(self) -> Iterator[str]:
        """Put right what a crash or a reboot left, and say what was done, a line each.

        Interrupted operations are finished; held volumes are mounted again if their mount is gone; mounts without
        a record are adopted.
        """
        for record in list(self._records.all().values()):
            if record.published:
                with self._lock(record.name, "Recovery"):
                    try:
                        yield from self._recover(record)
                    except RexrayError as error:
                        yield f"{record.name}: not recovered: {error}"
        for name in self._publisher.mounted_names():
            with self._lock(name, "Recovery"):
                known = self._records.load(name) or Record(name=name, volume_id=name)
                if not known.published:
                    self._records.save(known.published_as(ADOPTED))
                    yield f"{name}: mount without a record, adopted"

    def _recover(self, record: Record) -> Iterator[str]:
        if not record.holders:
            self._unpublish(record)
            yield f"{record.name}: interrupted operation or reboot, unmounted"
        elif not self._publisher.is_published(record.name):
            self._publisher.publish(record, record.request(record.holders[0]))
            yield f"{record.name}: mounted again for {_count(record.holders)}"
        else:
            yield f"{record.name}: mounted for {_count(record.holders)}"

    def _publish(self, record: Record, request: MountRequest) -> Record:
        """Mount the volume, with a note of it on disk before the first step; the record as it is then."""
        attached = (
            record.attached_before
            if record.published
            else self._lookup.is_attached_here(record.volume_id, request.name)
        )
        prepared = record.prepared_for(request, attached_before=attached)
        prepared = prepared.published_as(*record.holders)
        self._records.save(prepared)
        faults.point("csi-mount-noted")
        try:
            self._publisher.publish(prepared, request)
        except RexrayError as error:
            self._after_failure(prepared, "mount", error)
            raise
        return prepared

    def _hold(self, record: Record, holder: str) -> None:
        """Note one more holder; a mount of which nobody could be noted as the holder is undone."""
        try:
            self._records.save(record.published_as(*record.holders, holder))
        except RexrayError:
            if not record.holders:
                self._unpublish(record)
            raise

    def _publish_again(self, record: Record) -> None:
        """Put back the mount of a volume that could not be deleted."""
        held = record.published_as(*(record.holders or (ADOPTED,)))
        self._records.save(held)
        try:
            self._publisher.publish(held, held.request(held.holders[0]))
        except RexrayError as error:
            log.error("volume %r could not be mounted again: %s", record.name, error)

    def _refuse_if_used(self, record: Record) -> None:
        """Only a holder of Docker's can have been lost; a shell lets go by itself, and until then means it."""
        if SHELL_HOLDER in record.holders:
            raise InUse(f"volume {record.name!r} is mounted by 'rexray volume mount': unmount it first")
        target = self._publisher.target(record.name)
        user = mounts.holders_elsewhere(target) if self._publisher.is_published(record.name) else None
        if user:
            raise InUse(f"volume {record.name!r} is mounted at {target} and used by {user}: stop that first")

    def _unpublish(self, record: Record) -> None:
        """Unmount and tidy the record, which stays ``published`` if that fails: a later call tries again."""
        self._publisher.unpublish(record)
        self._settle(record)

    def _settle(self, record: Record) -> None:
        """Note that the volume is mounted nowhere; a record that says no more than its name is dropped."""
        if record.volume_id != record.name or record.context:
            self._records.save(record.unpublished())
        else:
            self._records.forget(record.name)

    def _after_failure(self, record: Record, operation: str, error: RexrayError) -> None:
        """The publisher undid its steps: note that, and tell the observers."""
        if not self._publisher.is_published(record.name):
            self._settle(record)
        registry().tell("rexray_operation_failed", driver=self.name, operation=operation, name=record.name, error=error)

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

    def _lock(self, name: str, operation: str) -> AbstractContextManager[None]:
        return self._locks.hold(name, owner=f"{operation} of {name!r}", timeout=LOCK_SECONDS)

    def _call(self, call: rpc.Call[rpc.Req, rpc.Rep], request: rpc.Req) -> rpc.Rep:
        return self._caller.call(call, request, timeout=CALL_SECONDS)


def _refuse_other_access(record: Record, request: MountRequest) -> None:
    """A holder that wants to write does not get a read-only mount, nor one that must not a writable one."""
    if record.read_only != request.read_only:
        how = "read-only" if record.read_only else "for writing"
        raise InUse(f"volume {record.name!r} is mounted {how} for {_count(record.holders)}: unmount it first")


def _count(holders: tuple[str, ...]) -> str:
    return f"{len(holders)} holder{'s' if len(holders) != 1 else ''}"


def _connect(endpoint: str) -> Caller:
    from rexray.csi.client import CSIClient

    return CSIClient(endpoint)
