"""Volumes, snapshots and devices as rows for :func:`rexray.cli.output.emit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rexray.sizes import format_size
from rexray.types import Attachment, BlockDevice, MountPoint, Snapshot, Volume

VOLUME = ("id", "name", "status", "size")
SNAPSHOT = ("id", "name", "status", "volumeid")
BLOCK_DEVICE = ("providername", "instanceid", "volumeid", "devicename", "region", "status")
ATTACHMENT = ("volumeid", "instanceid", "devicename", "status")
MOUNT = ("source", "mountpoint", "fstype")
"""The columns of each kind's table; JSON and YAML have all that a row holds."""

Row = dict[str, object]


def volume_row(volume: Volume) -> Row:
    """A volume: ``status`` is how it stands towards this host, ``platformstatus`` the platform's own word."""
    return {
        "id": volume.id,
        "name": volume.name,
        "status": volume.state.value,
        "size": format_size(volume.size_bytes) if volume.size_bytes else "",
        "encrypted": volume.encrypted,
        "path": next((item.mount_point for item in volume.attachments if item.mount_point), ""),
        "sizebytes": volume.size_bytes,
        "platformstatus": volume.status,
        "volumetype": volume.type,
        "iops": volume.iops,
        "availabilityzone": volume.zone,
        "networkname": volume.network_name,
        "created": _moment(volume.created),
        "instances": [item.instance_id for item in volume.attachments],
        "attachments": [attachment_row(item) for item in volume.attachments],
        "fields": dict(volume.fields),
    }


def volume_columns(rows: Sequence[Mapping[str, object]], *, path: bool = False) -> tuple[str, ...]:
    """The table's columns: whether volumes are encrypted is only shown where one is."""
    encrypted = ("encrypted",) if any(row["encrypted"] for row in rows) else ()
    return (*VOLUME, *encrypted, *(["path"] if path else []))


def attachment_row(attachment: Attachment) -> Row:
    """A volume's connection to an instance; ``networkname`` is what its device is found by there."""
    return {
        "volumeid": attachment.volume_id,
        "instanceid": attachment.instance_id,
        "devicename": attachment.device,
        "status": attachment.status,
        "networkname": attachment.token,
        "mountpoint": attachment.mount_point,
        "readonly": attachment.read_only,
        "fields": dict(attachment.fields),
    }


def block_device_row(device: BlockDevice) -> Row:
    """A block device of this host in the words and the order of the first ``rexray volume get``."""
    row: Row = {
        "providername": device.provider,
        "instanceid": device.instance_id,
        "volumeid": device.volume_id,
        "devicename": device.device,
        "region": device.region,
        "status": device.status,
    }
    return {**row, "networkname": device.network_name} if device.network_name else row


def snapshot_row(snapshot: Snapshot) -> Row:
    """A snapshot, with the size of the volume that it was taken of."""
    return {
        "id": snapshot.id,
        "name": snapshot.name,
        "status": snapshot.status or ("ready" if snapshot.ready else "pending"),
        "volumeid": snapshot.volume_id,
        "size": format_size(snapshot.size_bytes) if snapshot.size_bytes else "",
        "sizebytes": snapshot.size_bytes,
        "created": _moment(snapshot.created),
        "description": snapshot.description,
        "ready": snapshot.ready,
        "availabilityzone": snapshot.zone,
        "group": snapshot.group,
        "fields": dict(snapshot.fields),
    }


def mount_row(mount: MountPoint) -> Row:
    """A mount of this host."""
    return {
        "source": mount.source,
        "mountpoint": str(mount.path),
        "fstype": mount.fs_type,
        "readonly": mount.read_only,
        "options": list(mount.options),
        "propagation": mount.propagation,
    }


def _moment(when: datetime | None) -> str:
    return when.isoformat() if when else ""
