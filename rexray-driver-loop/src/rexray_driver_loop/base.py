"""What every part of the storage driver has: the platform on disk, and volumes in the words of the contract."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from rexray.errors import InUse, OutOfRange
from rexray.types import Attachment, AttachmentState, Instance, InstanceId, Volume, VolumeId
from rexray_driver_loop import here
from rexray_driver_loop.files import told
from rexray_driver_loop.model import MIB, InstanceMeta, VolumeMeta
from rexray_driver_loop.pool import Pool
from rexray_driver_loop.settings import LoopSettings

PROVIDER = "loop"
"""What the platform calls itself."""


def round_up(size_bytes: int) -> int:
    """The size that a volume of at least that many bytes has: whole MiB."""
    return max(-(-size_bytes // MIB), 1) * MIB


def refuse_beyond(limit_bytes: int, size_bytes: int, what: str) -> None:
    """``OutOfRange`` if a rounded size is more than what was allowed; 0 allows everything."""
    if limit_bytes and size_bytes > limit_bytes:
        raise OutOfRange(f"{what}: its size is whole MiB, {size_bytes} bytes, more than the limit of {limit_bytes}")


def moment(nanoseconds: int) -> datetime:
    """The time so many nanoseconds after 1970."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


class PoolCalls:
    """A driver on one platform directory, which is made when it is first needed."""

    def __init__(self, settings: LoopSettings) -> None:
        self._settings = settings

    @functools.cached_property
    def _pool(self) -> Pool:
        return Pool(self._settings)

    def _described(self, name: str, meta: VolumeMeta) -> Volume:
        """One volume with the device that shows it here."""
        data = self._pool.volumes.data(name)
        device = None
        if meta.attached_to == self._pool.instance:
            with told(f"looking at {name!r}"):
                device = here.connected(data)
        return describe(self._pool, name, meta, {} if device is None else {str(data): device})

    def _release(self, name: str, meta: VolumeMeta) -> None:
        """Have no device of this host show the volume; ``InUse`` says by what it is used."""
        try:
            here.disconnect(self._pool.volumes.data(name))
        except InUse as error:
            whose = f", attached to {meta.attached_to!r}," if meta.attached_to else ""
            raise InUse(f"volume {name!r}{whose} is in use on this host: {error}") from None


def describe(pool: Pool, name: str, meta: VolumeMeta, devices: Mapping[str, Path]) -> Volume:
    """A volume as the contract says it; ``devices`` has those of this host by the volume's file."""
    found = attachments(pool, name, meta, devices)
    sources = {"source_volume": meta.source_volume, "source_snapshot": meta.source_snapshot}
    return Volume(
        id=VolumeId(name),
        name=name,
        size_bytes=meta.size_bytes,
        state=_state(pool, meta),
        type=meta.type,
        zone=meta.zone,
        encrypted=meta.encrypted,
        network_name=found[0].token if found else "",
        created=moment(meta.created),
        attachments=found,
        fields={key: value for key, value in sources.items() if value},
    )


def attachments(pool: Pool, name: str, meta: VolumeMeta, devices: Mapping[str, Path]) -> tuple[Attachment, ...]:
    """Where a volume is attached; the token is the path of its file, below the root that all instances share."""
    if not meta.attached_to:
        return ()
    token = f"{pool.volumes.folder}/{name}/data"
    device = devices.get(token) if meta.attached_to == pool.instance else None
    attachment = Attachment(
        volume_id=VolumeId(name),
        instance_id=InstanceId(meta.attached_to),
        token=token,
        device=str(device or ""),
        read_only=meta.read_only,
    )
    return (attachment,)


def _state(pool: Pool, meta: VolumeMeta) -> AttachmentState:
    if not meta.attached_to:
        return AttachmentState.AVAILABLE
    return AttachmentState.ATTACHED if meta.attached_to == pool.instance else AttachmentState.UNAVAILABLE


def describe_instance(name: str, meta: InstanceMeta) -> Instance:
    """An instance as the contract says it."""
    return Instance(id=InstanceId(name), provider=PROVIDER, name=name, zone=meta.zone, max_volumes=meta.max_volumes)


def refuse_attached(name: str, meta: VolumeMeta) -> None:
    """``InUse`` names the instance that has the volume."""
    if meta.attached_to:
        raise InUse(f"volume {name!r} is attached to {meta.attached_to!r}: detach it first")
