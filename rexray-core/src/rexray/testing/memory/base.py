"""What the drivers have in common: the platform that their settings name, and its records in words of the contract."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, TypeVar

from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import REGIONS, SnapshotRecord, VolumeRecord
from rexray.testing.memory.platform import MemoryPlatform
from rexray.testing.memory.settings import MemorySettings
from rexray.types import Attachment, AttachmentState, Instance, InstanceId, Snapshot, SnapshotId, Volume, VolumeId

T = TypeVar("T")

PROVIDER = "memory"
"""What the platform calls itself."""


class MemoryCalls:
    """A driver of the platform that the settings name, unless it is given one."""

    name: ClassVar[str] = PROVIDER

    def __init__(self, settings: MemorySettings, platform: MemoryPlatform | None = None) -> None:
        settings.check()
        self._settings = settings
        self.platform = platform or MemoryPlatform.of(settings)

    def _ask(self, call: str, work: Callable[[Array], T], *, deadline: float | None = None, about: str = "") -> T:
        """What the platform answers; ``TimedOut`` after ``deadline`` seconds, or as many as the settings say."""
        return self._call(call, work, changes=False, deadline=deadline, about=about)

    def _change(self, call: str, work: Callable[[Array], T], *, deadline: float | None = None) -> T:
        """The same for a call that changes something."""
        return self._call(call, work, changes=True, deadline=deadline)

    def _call(
        self, call: str, work: Callable[[Array], T], *, changes: bool, deadline: float | None, about: str = ""
    ) -> T:
        timeout = self._settings.timeout if deadline is None else deadline
        return self.platform.call(call, work, timeout=timeout, changes=changes, password=self._password(), about=about)

    def _password(self) -> str | None:
        """The credentials to show, None for a driver of this host alone."""
        return None

    def _own_zone(self, array: Array) -> str:
        """The zone of volumes for which none is named: this host's, or the first one where it is no instance."""
        host = array.state.hosts.get(self._settings.instance)
        return host.zone if host else array.state.zones[0]

    def _described(self, record: VolumeRecord) -> Volume:
        """A volume as the contract says it."""
        attachments = self._attachments(record)
        facts = {"multiattach": "true" if record.multiattach else "", "sourceVolume": record.source_volume}
        facts["sourceSnapshot"] = record.source_snapshot
        return Volume(
            id=VolumeId(record.id),
            name=record.name,
            size_bytes=record.size_bytes,
            status="available" if not attachments else "in-use",
            state=self._state(record),
            type=record.type,
            iops=record.iops,
            zone=record.zone,
            encrypted=record.encrypted,
            network_name=self._token(record),
            created=datetime.fromisoformat(record.created),
            attachments=attachments,
            fields={key: value for key, value in facts.items() if value},
        )

    def _attachments(self, record: VolumeRecord) -> tuple[Attachment, ...]:
        return tuple(
            Attachment(
                volume_id=VolumeId(record.id),
                instance_id=InstanceId(instance_id),
                token=link.token,
                device=link.device,
                read_only=link.read_only,
                status="attached",
            )
            for instance_id, link in sorted(record.links.items())
        )

    def _token(self, record: VolumeRecord) -> str:
        """What a node finds the volume's device by, this host's own if it has the volume; empty while not attached."""
        links = record.links
        link = links.get(self._settings.instance) or next(iter(links.values()), None)
        return link.token if link else ""

    def _state(self, record: VolumeRecord) -> AttachmentState:
        if not record.links:
            return AttachmentState.AVAILABLE
        here = self._settings.instance in record.links
        return AttachmentState.ATTACHED if here else AttachmentState.UNAVAILABLE

    def _instance(self, array: Array, instance_id: str) -> Instance:
        """An instance as the contract says it; raises ``NotFound``."""
        host = array.host(instance_id)
        return Instance(
            id=InstanceId(instance_id),
            provider=self.name,
            name=instance_id,
            region=REGIONS[0],
            zone=host.zone,
            max_volumes=host.max_volumes,
        )

    def _described_snapshot(self, record: SnapshotRecord) -> Snapshot:
        """A snapshot as the contract says it; its zone is the region that it is in."""
        return Snapshot(
            id=SnapshotId(record.id),
            name=record.name,
            volume_id=VolumeId(record.volume_id),
            size_bytes=record.size_bytes,
            created=datetime.fromisoformat(record.created),
            status="completed",
            description=record.description,
            zone=record.region,
            group=record.group,
            fields={"copyOf": record.copy_of} if record.copy_of else {},
        )


class StorageCalls(MemoryCalls):
    """A part of the storage driver, which is the one with credentials."""

    def _password(self) -> str:
        return self._settings.password.reveal()
