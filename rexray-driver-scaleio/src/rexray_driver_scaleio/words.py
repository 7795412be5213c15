"""The array's volumes and snapshots as REX-Ray's.

Facts: sizes are KiB in 8 GiB steps, times seconds since 1970, ids 16 hexadecimal digits; a snapshot is a volume with
an ancestor. ``mappedSdcInfo`` is null where a volume has no mapping.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict, cast

from rexray.errors import Unavailable
from rexray.types import Attachment, AttachmentState, InstanceId, Snapshot, SnapshotId, Volume, VolumeId
from rexray_driver_scaleio import names
from rexray_driver_scaleio.array import Pool, Sdc

PROVIDER = "scaleio"
KIB, GIB = 1 << 10, 1 << 30
STEP_GIB = 8
READ_ONLY, READ_WRITE = "ReadOnly", "ReadWrite"
_ID = re.compile(r"[0-9a-f]{16}")


class RawMapping(TypedDict, total=False):
    """A volume's mapping to an SDC; limits are 0 for none."""

    sdcId: str
    sdcIp: str | None
    sdcName: str | None
    limitIops: int
    limitBwInMbps: int
    accessMode: str | None


class RawVolume(TypedDict, total=False):
    """A volume or a snapshot, as far as the driver reads it."""

    id: str
    name: str | None
    sizeInKb: int
    storagePoolId: str
    volumeType: str
    vtreeId: str
    ancestorVolumeId: str | None
    consistencyGroupId: str | None
    creationTime: int
    useRmcache: bool
    accessModeLimit: str | None
    mappingToAllSdcsEnabled: bool
    mappedSdcInfo: Sequence[RawMapping] | None
    mappedScsiInitiatorInfo: Sequence[object] | None


def raw_volume(raw: Mapping[str, Any], action: str) -> RawVolume:
    """What the gateway tells of a volume, if that is what it tells of; ``Unavailable``."""
    if not is_id(str(raw.get("id"))) or "storagePoolId" not in raw or "sizeInKb" not in raw:
        raise Unavailable(f"{action}: the gateway does not tell of volumes as ScaleIO's does: check scaleio.endpoint")
    return cast(RawVolume, raw)


def is_id(word: str) -> bool:
    """Whether it can be an id."""
    return _ID.fullmatch(word) is not None


def size_of(raw: RawVolume) -> int:
    """The size in bytes."""
    return int(raw["sizeInKb"]) * KIB


def mappings_of(raw: RawVolume) -> Sequence[RawMapping]:
    """The volume's mappings."""
    return raw.get("mappedSdcInfo") or ()


def cached(raw: RawVolume) -> str:
    """Whether the servers' memory caches what is read of it: ``true`` or ``false``."""
    return str(raw.get("useRmcache", False)).lower()


def is_copy(raw: RawVolume) -> bool:
    """Whether it was made of another volume, which may be gone."""
    return bool(raw.get("ancestorVolumeId")) or raw.get("volumeType") == "Snapshot"


def is_snapshot(raw: RawVolume) -> bool:
    """Whether it counts as a snapshot and not as a volume.

    The array makes no difference between a snapshot and a clone. Ours differ in how their names end; what other tools
    made is a volume unless it can only be read.
    """
    return is_copy(raw) and (
        (raw.get("name") or "").endswith(names.SNAPSHOT) or raw.get("accessModeLimit") == READ_ONLY
    )


def holders_of(raw: RawVolume) -> str:
    """The hosts that have the volume, for a message."""
    words = [str(item.get("sdcName") or item.get("sdcIp") or item.get("sdcId")) for item in mappings_of(raw)]
    if raw.get("mappingToAllSdcsEnabled"):
        words.append("every SDC")
    if raw.get("mappedScsiInitiatorInfo"):
        words.append("SCSI initiators")
    return ", ".join(words)


def describe_volume(raw: RawVolume, pool: Pool | None, sdcs: Mapping[str, Sdc], system_id: str) -> Volume:
    """The volume with its attachments; an SDC that is not known has its id as instance id."""
    attachments = tuple(describe_attachment(raw, item, sdcs, system_id) for item in mappings_of(raw))
    limits = [int(item.get("limitIops") or 0) for item in mappings_of(raw)]
    everywhere = bool(raw.get("mappingToAllSdcsEnabled"))
    return Volume(
        id=VolumeId(raw["id"]),
        name=raw.get("name") or "",
        size_bytes=size_of(raw),
        status="in use" if attachments or everywhere else "available",
        state=AttachmentState.UNKNOWN if attachments or everywhere else AttachmentState.AVAILABLE,
        type=pool.name if pool else raw["storagePoolId"],
        iops=max(limits, default=0),
        zone=system_id,
        created=_time(raw),
        attachments=attachments,
        fields={
            "protectionDomain": pool.domain_name if pool else "",
            "volumeType": raw.get("volumeType", ""),
            "useRmcache": cached(raw),
        },
    )


def describe_attachment(raw: RawVolume, item: RawMapping, sdcs: Mapping[str, Sdc], system_id: str) -> Attachment:
    """A mapping; what a node without credentials needs is in the token and the fields."""
    sdc = sdcs.get(item["sdcId"])
    return Attachment(
        volume_id=VolumeId(raw["id"]),
        instance_id=InstanceId(sdc.guid if sdc and sdc.guid else item["sdcId"]),
        token=raw["id"],
        read_only=item.get("accessMode") == READ_ONLY,
        status="attached",
        fields={"systemId": system_id, "sizeBytes": str(size_of(raw))},
    )


def describe_snapshot(raw: RawVolume, system_id: str) -> Snapshot:
    """The snapshot by the name that it was taken under."""
    return Snapshot(
        id=SnapshotId(raw["id"]),
        name=(raw.get("name") or "").removesuffix(names.SNAPSHOT),
        volume_id=VolumeId(raw.get("ancestorVolumeId") or ""),
        size_bytes=size_of(raw),
        created=_time(raw),
        status="available",
        zone=system_id,
        group=group_of(raw),
    )


def group_of(raw: RawVolume) -> str:
    """The id of the group that a snapshot was taken with, empty if it was taken alone."""
    return (raw.get("consistencyGroupId") or "") if names.is_member(raw.get("name") or "") else ""


def _time(raw: RawVolume) -> datetime | None:
    seconds = raw.get("creationTime")
    return datetime.fromtimestamp(int(seconds), UTC) if seconds else None
