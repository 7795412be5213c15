"""The messages of CSI as rows for people, and as mappings that are complete."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from rexray.cli.output import Row, plain
from rexray.csi._pb import csi_pb2 as pb


@dataclass(frozen=True, slots=True)
class View:
    """The columns of a kind of row, and those of them that a line of text has (all if not said)."""

    columns: tuple[str, ...]
    text: tuple[str, ...] = ()


VOLUME = View(("id", "size", "nodes", "source", "topology", "context"), text=("id", "size", "context"))
SNAPSHOT = View(
    ("id", "size", "volume", "created", "ready", "group"), text=("id", "size", "volume", "created", "ready")
)
ID = View(("id",))
PUBLISHED = View(("id", "context"))
SIZE = View(("id", "size"))
HEALTH = View(("id", "status", "reason", "message"))
CAPABILITIES = View(("service", "capability"))
BLOCKS = View(("offset", "size"))


def whole(message: Message, **more: object) -> dict[str, object]:
    """A message with all its fields, after ``more``, in protobuf's JSON with the names of the proto."""
    fields = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return {**more, **fields}


def text_line(row: Row, view: View) -> str:
    """A row as cells between tabs; of a mapping each pair is a cell."""
    cells: list[str] = []
    for name in view.text or view.columns:
        value = row.get(name)
        if isinstance(value, Mapping):
            cells += [f"{_quoted(str(key))}={_quoted(str(plain(item)))}" for key, item in value.items()]
        else:
            cells.append(_quoted(str(plain(value))))
    return "\t".join(cells)


def _quoted(text: str) -> str:
    """A text as it is, or between double quotes with JSON's escapes where a reader could take it wrongly."""
    if not text.isprintable():
        return json.dumps(text)
    if not text or text != text.strip() or '"' in text or "\\" in text:
        return json.dumps(text, ensure_ascii=False)
    return text


def volume_row(volume: pb.Volume, nodes: Iterable[str] = ()) -> Row:
    """A row of :data:`VOLUME`."""
    source = volume.content_source
    return {
        "id": volume.volume_id,
        "size": volume.capacity_bytes,
        "nodes": list(nodes),
        "source": source.snapshot.snapshot_id or source.volume.volume_id,
        "topology": [dict(sorted(place.segments.items())) for place in volume.accessible_topology],
        "context": dict(sorted(volume.volume_context.items())),
    }


def snapshot_row(snapshot: pb.Snapshot) -> Row:
    """A row of :data:`SNAPSHOT`."""
    return {
        "id": snapshot.snapshot_id,
        "size": snapshot.size_bytes,
        "volume": snapshot.source_volume_id,
        "created": snapshot.creation_time.ToJsonString() if snapshot.HasField("creation_time") else "",
        "ready": snapshot.ready_to_use,
        "group": snapshot.group_snapshot_id,
    }


def health_rows(health: pb.VolumeHealth) -> list[Row]:
    """Rows of :data:`HEALTH`: what is wrong with a volume, or one row that says that nothing is."""
    return [
        {
            "id": health.volume_id,
            "status": pb.VolumeHealthErrorType.Name(entry.status),
            "reason": entry.reason,
            "message": entry.message,
        }
        for entry in health.health_statuses
    ] or [{"id": health.volume_id, "status": "OK"}]
