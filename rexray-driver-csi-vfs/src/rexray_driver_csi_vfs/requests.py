"""Reading requests: what must be there, what may be asked of a directory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rexray import mounts
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import InvalidRequest, OutOfCapacity, OutOfRange

DEFAULT_CAPACITY = 1 << 30
"""The capacity that is noted for a volume that is asked for without one."""

_MODE = re.compile(r"(0o)?[0-7]{1,6}")
_NUMBER = re.compile(r"[0-9]{1,10}")
PARAMETERS = ("mode", "uid", "gid")
"""The parameters of a volume, all of them mutable: permissions and owner of its directory."""

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
"""The access modes of a volume that one node has."""


def required(value: str, field: str) -> str:
    """The value; ``InvalidRequest`` if it is empty."""
    if not value:
        raise InvalidRequest(f"{field} is missing")
    return value


def check_capability(capability: pb.VolumeCapability, fs_type: str) -> None:
    """``InvalidRequest`` unless a directory on a filesystem of that type can be used so."""
    kind = capability.WhichOneof("access_type")
    if kind is None:
        raise InvalidRequest("volume_capability has no access type: say mount")
    if kind == "block":
        raise InvalidRequest("access type block: csi-vfs serves directories, not devices: say mount")
    mode = capability.access_mode.mode
    if mode not in MODES:
        named = Modes.Mode.Name(mode) if mode in Modes.Mode.values() else str(mode)
        allowed = ", ".join(Modes.Mode.Name(known) for known in MODES)
        raise InvalidRequest(f"access mode {named}: a directory of one host can have {allowed}")
    asked = capability.mount.fs_type
    if asked not in ("", fs_type):
        raise InvalidRequest(f"fs_type {asked!r}: the directories are on {fs_type}: leave fs_type empty")
    mounts.parse_options(_flags(capability))


def capability_of(
    request: pb.NodeStageVolumeRequest | pb.NodePublishVolumeRequest, fs_type: str
) -> pb.VolumeCapability:
    """The request's capability; ``InvalidRequest`` without one, or with one that cannot be had."""
    if not request.HasField("volume_capability"):
        raise InvalidRequest("volume_capability is missing")
    check_capability(request.volume_capability, fs_type)
    return request.volume_capability


def reads_only(capability: pb.VolumeCapability) -> bool:
    """Whether a capability leaves no way to write."""
    return capability.access_mode.mode in READ_ONLY_MODES or "ro" in _flags(capability)


def mount_options(capability: pb.VolumeCapability, *, read_only: bool) -> tuple[str, ...]:
    """The options of a mount with that capability."""
    return (*_flags(capability), "ro" if read_only else "rw")


def access(read_only: bool) -> str:
    """The words for it."""
    return "read-only" if read_only else "read-write"


def _flags(capability: pb.VolumeCapability) -> tuple[str, ...]:
    return tuple(part for text in capability.mount.mount_flags for part in text.split(",") if part)


def capacity(wanted: pb.CapacityRange, *, at_least: int, largest: int, default: int = DEFAULT_CAPACITY) -> int:
    """The capacity that a range asks for: what is required, else the default, or less if there cannot be as much."""
    if wanted.required_bytes < 0 or wanted.limit_bytes < 0:
        raise InvalidRequest("capacity_range is negative")
    if wanted.limit_bytes and wanted.required_bytes > wanted.limit_bytes:
        raise OutOfRange(f"required_bytes {wanted.required_bytes} is more than limit_bytes {wanted.limit_bytes}")
    chosen = max(wanted.required_bytes or min(default, largest, wanted.limit_bytes or largest), at_least)
    if wanted.limit_bytes and chosen > wanted.limit_bytes:
        raise OutOfRange(f"limit_bytes {wanted.limit_bytes} is less than the {at_least} bytes of the source")
    if chosen > largest:
        raise OutOfRange(f"{chosen} bytes: the filesystem of the volumes has {largest} in all")
    return chosen


def check_source(source: pb.VolumeContentSource) -> None:
    """``InvalidRequest`` for a source that names nothing: an empty volume must not pass for a copy."""
    kind = source.WhichOneof("type")
    if not (source.volume.volume_id if kind == "volume" else source.snapshot.snapshot_id):
        raise InvalidRequest("volume_content_source names neither a volume nor a snapshot")


def fits(capacity_bytes: int, wanted: pb.CapacityRange) -> bool:
    """Whether a volume of that capacity is what a range asks for."""
    return wanted.required_bytes <= capacity_bytes and (not wanted.limit_bytes or capacity_bytes <= wanted.limit_bytes)


def parameters(given: Mapping[str, str], field: str) -> dict[str, str]:
    """The parameters that are ours; ``InvalidRequest`` for an unknown one or a malformed value."""
    known = {}
    for key, value in given.items():
        if key.startswith(ORCHESTRATOR):
            continue
        if key not in PARAMETERS:
            raise InvalidRequest(f"{field} {key!r} is unknown: there are {', '.join(PARAMETERS)}")
        form, base, largest = (_MODE, 8, 0o7777) if key == "mode" else (_NUMBER, 10, 2**32 - 2)
        number = int(value, base) if form.fullmatch(value) else -1
        if not 0 <= number <= largest:
            kind = "a file mode in octal" if key == "mode" else "the number of a user or group"
            raise InvalidRequest(f"{field} {key}={value!r} is not {kind}")
        known[key] = f"{number:04o}" if key == "mode" else str(number)
    return known


def check_topology(wanted: pb.TopologyRequirement, here: Mapping[str, str]) -> None:
    """``OutOfCapacity``, as CSI has it, unless one of the requisite topologies is this node's."""
    asked: Sequence[pb.Topology] = wanted.requisite
    if asked and not any(_includes(topology.segments, here) for topology in asked):
        raise OutOfCapacity(f"accessibility_requirements: this host can only serve {dict(here)}")


def _includes(segments: Mapping[str, str], here: Mapping[str, str]) -> bool:
    return all(here.get(key) == value for key, value in segments.items())
