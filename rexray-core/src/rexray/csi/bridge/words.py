"""CSI's words for the core's nouns, and what of CSI's requests a block volume can be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rexray.csi._pb import csi_pb2 as pb
from rexray.drivers import StorageDriver
from rexray.errors import InvalidRequest, OutOfCapacity, OutOfRange
from rexray.mixins import Topology
from rexray.names import check_name
from rexray.types import Attachment, Instance, Snapshot, Volume, VolumeId
from rexray.volumes.preparing import FILESYSTEMS

ZONE = "topology.rexray.io/zone"
"""The topology key of a volume's and an instance's zone."""

ORCHESTRATOR = "csi.storage.k8s.io/"
"""The prefix of what Kubernetes adds to every request."""

Modes = pb.VolumeCapability.AccessMode
READ_ONLY_MODES = (Modes.SINGLE_NODE_READER_ONLY, Modes.MULTI_NODE_READER_ONLY)
MODES = (
    Modes.SINGLE_NODE_WRITER,
    Modes.SINGLE_NODE_READER_ONLY,
    Modes.SINGLE_NODE_SINGLE_WRITER,
    Modes.SINGLE_NODE_MULTI_WRITER,
)
"""The access modes of a volume that is attached to one instance at a time."""

_FIELD = "field."
SIZE = _FIELD + "sizeBytes"
"""In a publish context, the size that an attachment tells."""


def required(value: str, field: str) -> str:
    """An id that shows what it is; ``InvalidRequest`` if it is empty or no id."""
    if not value:
        raise InvalidRequest(f"{field} is missing")
    return value


def path_of(value: str, field: str) -> str:
    """An absolute path without dots; ``InvalidRequest`` otherwise."""
    required(value, field)
    if not value.startswith("/") or "\0" in value or any(part in (".", "..") for part in value.split("/")):
        raise InvalidRequest(f"{field} {value!r} is not an absolute path without '..'")
    return value.rstrip("/") or "/"


def place_of(value: str, field: str) -> str:
    """The path that something known is looked for by; one that nothing can be at is no mistake, as CSI has it."""
    return required(value, field).rstrip("/") or "/"


def check_capability(capability: pb.VolumeCapability) -> None:
    """``InvalidRequest`` unless a volume can be used so."""
    kind = capability.WhichOneof("access_type")
    if kind is None:
        raise InvalidRequest("volume_capability has no access type: block or mount")
    mode = capability.access_mode.mode
    if mode not in MODES:
        named = Modes.Mode.Name(mode) if mode in Modes.Mode.values() else str(mode)
        allowed = ", ".join(Modes.Mode.Name(known) for known in MODES)
        raise InvalidRequest(f"access mode {named}: a volume that one instance has can have {allowed}")
    if kind == "mount" and capability.mount.fs_type not in ("", *FILESYSTEMS):
        raise InvalidRequest(f"fs_type {capability.mount.fs_type!r} is not one of {', '.join(sorted(FILESYSTEMS))}")


def capability_of(
    request: pb.NodeStageVolumeRequest | pb.NodePublishVolumeRequest | pb.ControllerPublishVolumeRequest,
) -> pb.VolumeCapability:
    """The request's capability; ``InvalidRequest`` without one, or with one that cannot be had."""
    if not request.HasField("volume_capability"):
        raise InvalidRequest("volume_capability is missing")
    check_capability(request.volume_capability)
    return request.volume_capability


def mount_flags(capability: pb.VolumeCapability) -> tuple[str, ...]:
    """The mount options of a capability."""
    return tuple(part for text in capability.mount.mount_flags for part in text.split(",") if part)


def reads_only(capability: pb.VolumeCapability) -> bool:
    """Whether a capability leaves no way to write."""
    return capability.access_mode.mode in READ_ONLY_MODES or "ro" in mount_flags(capability)


def parameters(given: Mapping[str, str]) -> dict[str, str]:
    """The parameters without those that an orchestrator adds to everything."""
    return {key: value for key, value in given.items() if not key.startswith(ORCHESTRATOR)}


def check_range(wanted: pb.CapacityRange) -> None:
    """``InvalidRequest`` or ``OutOfRange`` for a range that nothing fits into."""
    if wanted.required_bytes < 0 or wanted.limit_bytes < 0:
        raise InvalidRequest("capacity_range is negative")
    if wanted.limit_bytes and wanted.required_bytes > wanted.limit_bytes:
        raise OutOfRange(f"required_bytes {wanted.required_bytes} is more than limit_bytes {wanted.limit_bytes}")


def segments(zone: str) -> dict[str, str]:
    """A zone as topology; a platform of one nameless zone has a name for it here."""
    return {ZONE: zone or "default"}


def zone_of(storage: StorageDriver, wanted: pb.TopologyRequirement) -> str:
    """The zone to make a volume in, empty for any; ``OutOfCapacity``, as CSI has it, if none of the wanted is ours."""
    asked: Sequence[pb.Topology] = [*wanted.preferred, *wanted.requisite]
    if not asked or not isinstance(storage, Topology):
        return ""
    zones = storage.zones() or ("",)
    for topology in asked:
        for zone in zones:
            if all(segments(zone).get(key) == value for key, value in topology.segments.items()):
                return zone
    raise OutOfCapacity(f"accessibility_requirements: the zones are {', '.join(zone or 'default' for zone in zones)}")


def describe_volume(storage: StorageDriver, volume: Volume, context: Mapping[str, str] | None = None) -> pb.Volume:
    """A volume as CSI says it."""
    where = [pb.Topology(segments=segments(volume.zone))] if isinstance(storage, Topology) else []
    return pb.Volume(
        volume_id=volume.id,
        capacity_bytes=volume.size_bytes,
        volume_context=context or {},
        accessible_topology=where,
    )


def describe_snapshot(storage: StorageDriver, snapshot: Snapshot) -> pb.Snapshot:
    """A snapshot as CSI says it."""
    where = [pb.Topology(segments=segments(snapshot.zone))] if isinstance(storage, Topology) else []
    found = pb.Snapshot(
        snapshot_id=snapshot.id,
        source_volume_id=snapshot.volume_id,
        size_bytes=snapshot.size_bytes,
        ready_to_use=snapshot.ready,
        group_snapshot_id=snapshot.group,
        accessible_topology=where,
    )
    if snapshot.created is not None:
        found.creation_time.FromDatetime(snapshot.created)
    return found


def publish_context(attachment: Attachment) -> dict[str, str]:
    """What a node without credentials needs to know of an attachment."""
    context = {"token": attachment.token, "device": attachment.device}
    context |= {"readonly": "true"} if attachment.read_only else {}
    context |= {_FIELD + key: value for key, value in attachment.fields.items()}
    return {key: value for key, value in context.items() if value}


def attachment_of(volume_id: str, instance: Instance, context: Mapping[str, str]) -> Attachment:
    """The attachment that a publish context tells of."""
    return Attachment(
        volume_id=VolumeId(volume_id),
        instance_id=instance.id,
        token=context.get("token", ""),
        device=context.get("device", ""),
        read_only=context.get("readonly") == "true",
        fields={key.removeprefix(_FIELD): value for key, value in context.items() if key.startswith(_FIELD)},
    )


def check_new_name(name: str) -> str:
    """The name of something new; CSI allows more than can be shown, stored and typed."""
    return check_name(required(name, "name"), "name")
