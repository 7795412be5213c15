"""What CSI demands of every request, whatever the plug-in: required fields, known values, sizes.

Facts: the requirements of the CSI specification v1.13: a string has at most 128 bytes and a map 4 KiB of keys and
values, paths and node ids have limits of their own.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import InvalidRequest, OutOfRange

MAX_STRING_BYTES = 128
MAX_MAP_BYTES = 4096
MAX_NODE_ID_BYTES = 256
MAX_PATH_BYTES = 4096

_LIMITS = {
    "node_id": MAX_NODE_ID_BYTES,
    "staging_target_path": MAX_PATH_BYTES,
    "target_path": MAX_PATH_BYTES,
    "volume_path": MAX_PATH_BYTES,
    "volume_publish_path": MAX_PATH_BYTES,
}

REQUIRED: dict[rpc.Call[Any, Any], tuple[str, ...]] = {
    rpc.CREATE_VOLUME: ("name", "volume_capabilities"),
    rpc.DELETE_VOLUME: ("volume_id",),
    rpc.CONTROLLER_PUBLISH_VOLUME: ("volume_id", "node_id", "volume_capability"),
    rpc.CONTROLLER_UNPUBLISH_VOLUME: ("volume_id",),
    rpc.VALIDATE_VOLUME_CAPABILITIES: ("volume_id", "volume_capabilities"),
    rpc.CONTROLLER_GET_VOLUME: ("volume_id",),
    rpc.CONTROLLER_GET_VOLUME_HEALTH: ("volume_id",),
    rpc.CONTROLLER_MODIFY_VOLUME: ("volume_id",),
    rpc.CONTROLLER_EXPAND_VOLUME: ("volume_id", "capacity_range"),
    rpc.CREATE_SNAPSHOT: ("source_volume_id", "name"),
    rpc.DELETE_SNAPSHOT: ("snapshot_id",),
    rpc.GET_SNAPSHOT: ("snapshot_id",),
    rpc.CREATE_VOLUME_GROUP_SNAPSHOT: ("name", "source_volume_ids"),
    rpc.DELETE_VOLUME_GROUP_SNAPSHOT: ("group_snapshot_id",),
    rpc.GET_VOLUME_GROUP_SNAPSHOT: ("group_snapshot_id",),
    rpc.GET_METADATA_ALLOCATED: ("snapshot_id",),
    rpc.GET_METADATA_DELTA: ("base_snapshot_id", "target_snapshot_id"),
    rpc.NODE_STAGE_VOLUME: ("volume_id", "staging_target_path", "volume_capability"),
    rpc.NODE_UNSTAGE_VOLUME: ("volume_id", "staging_target_path"),
    rpc.NODE_PUBLISH_VOLUME: ("volume_id", "target_path", "volume_capability"),
    rpc.NODE_UNPUBLISH_VOLUME: ("volume_id", "target_path"),
    rpc.NODE_GET_VOLUME_STATS: ("volume_id", "volume_path"),
    rpc.NODE_GET_VOLUME_HEALTH: ("volume_id",),
    rpc.NODE_EXPAND_VOLUME: ("volume_id", "volume_path"),
}
"""The fields that a request must have, by call; the other calls require none."""


def validate(call: rpc.Call[Any, Any], request: Message) -> None:
    """Raise ``InvalidRequest`` or ``OutOfRange`` for a request that CSI does not allow."""
    present = {descriptor.name for descriptor, _ in request.ListFields()}
    for name in REQUIRED.get(call, ()):
        if name not in present:
            raise InvalidRequest(f"{call.name}: {name} is missing")
    _check_sizes(call, request)
    for capability in _capabilities(request):
        _check_capability(call, capability)
    if "capacity_range" in present:
        _check_capacity(call, request.capacity_range)  # type: ignore[attr-defined]
    for name in ("max_entries", "max_results", "starting_offset"):
        if name in present and getattr(request, name) < 0:
            raise InvalidRequest(f"{call.name}: {name} is negative")


def _check_sizes(call: rpc.Call[Any, Any], message: Message) -> None:
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None and descriptor.message_type.GetOptions().map_entry:
            size = sum(len(key.encode()) + len(text.encode()) for key, text in value.items())
            if size > MAX_MAP_BYTES:
                raise InvalidRequest(
                    f"{call.name}: {descriptor.name} holds {size} bytes: at most {MAX_MAP_BYTES} are allowed"
                )
        elif descriptor.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                _check_sizes(call, part)
        elif descriptor.type == descriptor.TYPE_STRING:
            limit = _LIMITS.get(descriptor.name, MAX_STRING_BYTES)
            for text in [value] if isinstance(value, str) else value:
                size = len(text.encode())
                if size > limit:
                    raise InvalidRequest(
                        f"{call.name}: {descriptor.name} is {size} bytes long: at most {limit} are allowed"
                    )


def _capabilities(request: Message) -> list[pb.VolumeCapability]:
    one = getattr(request, "volume_capability", None)
    present = one is not None and request.HasField("volume_capability")
    return [*([one] if present else []), *getattr(request, "volume_capabilities", ())]


def _check_capability(call: rpc.Call[Any, Any], capability: pb.VolumeCapability) -> None:
    if capability.WhichOneof("access_type") is None:
        raise InvalidRequest(f"{call.name}: volume capability without an access type: block or mount")
    mode = capability.access_mode.mode
    modes = pb.VolumeCapability.AccessMode.Mode
    if mode == modes.UNKNOWN or mode not in modes.values():
        known = ", ".join(name for name in modes.keys() if name != "UNKNOWN")  # noqa: SIM118 an enum, not a dict
        raise InvalidRequest(f"{call.name}: access mode {mode} is not one of {known}")


def _check_capacity(call: rpc.Call[Any, Any], capacity: pb.CapacityRange) -> None:
    required, limit = capacity.required_bytes, capacity.limit_bytes
    if required < 0 or limit < 0:
        raise InvalidRequest(f"{call.name}: capacity_range is negative")
    if limit and required > limit:
        raise OutOfRange(f"{call.name}: required_bytes {required} is more than limit_bytes {limit}")
