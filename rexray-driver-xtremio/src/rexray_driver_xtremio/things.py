"""What the XMS tells of its objects, read once and strictly.

Facts: references are triples ``[guid, name, index]``; many numbers come as strings; ``vol-size`` is in KiB; items of
``lun-mapping-list`` are an initiator group's triple, a target group's and the LUN; ``ip-addr`` ends with the length of
the network's prefix (goxtremio's types; the tests of OpenStack Cinder's driver for XtremIO).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from rexray_driver_xtremio.names import SNAPSHOT

Content = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ref:
    """An object that another one names. Its guid is its own for ever, an index goes to the next one after it."""

    guid: str
    name: str
    index: int

    @property
    def word(self) -> str | int:
        """What a request calls it: the name, because nothing else has that meanwhile; the index if that is digits."""
        return self.name if self.name and not self.name.isdigit() else self.index


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping, as the volume tells it."""

    group: Ref
    target_group: Ref
    lun: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A volume or a snapshot: for the array both are volumes."""

    ref: Ref
    size_bytes: int
    naa: str
    """16 hexadecimal digits by which hosts know it; empty until it was mapped for the first time."""
    created: datetime | None
    ancestor: Ref | None
    """What it is a copy of."""
    copies: tuple[Ref, ...]
    """What are copies of it."""
    mappings: tuple[Mapped, ...]
    sets: tuple[Ref, ...]
    """The snapshot sets that it is in."""
    read_only: bool

    @property
    def is_snapshot(self) -> bool:
        """Whether users see a snapshot in it, and a volume otherwise.

        What is a copy of nothing, and in no snapshot set, is a volume whatever it is called: it may be all that there
        is of its data. That is also what a writable snapshot of v1 is once the array has forgotten its source.
        """
        return self.read_only or (self.ref.name.endswith(SNAPSHOT) and bool(self.ancestor or self.sets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Initiator:
    """A port of a host, by its IQN or its WWN; a volume is mapped to the group that it is in."""

    ref: Ref
    address: str
    group: Ref
    kind: str

    def is_at(self, address: str) -> bool:
        """Whether that is its address; iSCSI's names do not tell capitals from small letters (RFC 3720, 3.2.6.1)."""
        return self.address.casefold() == address.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """Where initiators find a target of the array."""

    address: str
    """``IP:PORT``, with an IPv6 address in brackets."""
    target: str
    """The target's IQN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSet:
    """Copies that were taken at one moment."""

    ref: Ref
    members: tuple[Ref, ...]


def disk(content: Content) -> Disk:
    """A volume or snapshot."""
    return Disk(
        ref=_ref(content["vol-id"]),
        size_bytes=int(content["vol-size"]) << 10,
        naa=str(content.get("naa-name") or "").lower(),
        created=_time(content.get("creation-time")),
        ancestor=_ref(content["ancestor-vol-id"]) if content.get("ancestor-vol-id") else None,
        copies=_refs(content.get("dest-snap-list")),
        mappings=tuple(
            Mapped(_ref(group), _ref(target), int(lun)) for group, target, lun in content["lun-mapping-list"]
        ),
        sets=_refs(content.get("snapset-list")),
        read_only=str(content.get("snapshot-type", "")).lower() == "readonly",
    )


def initiator(content: Content) -> Initiator:
    """An initiator."""
    return Initiator(
        ref=Ref(str(content.get("guid", "")), str(content["name"]), int(content["index"])),
        address=str(content["port-address"]),
        group=_ref(content["ig-id"]),
        kind=str(content.get("port-type", "")),
    )


def portal(content: Content) -> Portal:
    """An iSCSI portal."""
    ip, port = str(content["ip-addr"]).partition("/")[0], int(content["ip-port"])
    return Portal(address=f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}", target=str(content["port-address"]))


def snapshot_set(content: Content) -> SnapshotSet:
    """A snapshot set of an XMS from 4.0 on."""
    ref = Ref(str(content["guid"]), str(content["name"]), int(content["index"]))
    return SnapshotSet(ref=ref, members=_refs(content.get("vol-list")))


def index(content: Content) -> int:
    """The index of any object."""
    return int(content["index"])


def lun(content: Content) -> int:
    """The LUN of a mapping."""
    return int(content["lun"])


Parser = Callable[[Content], T]


def _ref(triple: Any) -> Ref:
    guid, name, number = triple
    return Ref(str(guid), str(name), int(number))


def _refs(triples: Any) -> tuple[Ref, ...]:
    return tuple(_ref(triple) for triple in triples or ())


def _time(text: Any) -> datetime | None:
    """The time of day on the XMS, which tells no zone: it is taken for UTC."""
    try:
        return datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
