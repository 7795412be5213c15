"""What the cluster says of an image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rexray_driver_ceph.names import Pool, Spec, sayable

META = "rexray"
"""The key of an image's metadata that REX-Ray's own facts are under, as one JSON object: it tells whose image it is."""
SNAPSHOT_META = "rexray.snapshot."
"""The same for a snapshot, whose name follows: the facts are in the image's metadata, for snapshots have none."""
GROUPS = "rexray.groups"
"""The object of the default pool whose keys are the groups of snapshots that are whole."""
HIDDEN = "rexray-making-"
"""How the names of images and snapshots begin that are no volumes or snapshots yet, or only a means to one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who has the image: a lock on its header, which librbd does not use and a dead client does not lose."""

    client: str
    """The RADOS client that took the lock, long gone: it is part of the lock's name."""
    instance: str
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Snap:
    """A snapshot that users made. ``facts`` are empty where REX-Ray did not make it."""

    spec: Spec
    size_bytes: int
    created: datetime
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image; of a list's, what is from ``features`` on is only known where a client seems to use it.

    ``facts`` are REX-Ray's own, empty for an image that it did not make. ``watchers`` are the addresses of the clients
    that have it open.
    """

    spec: Spec
    id: str
    size_bytes: int
    facts: Mapping[str, str]
    claim: Claim | None
    features: tuple[str, ...] = ()
    watchers: tuple[str, ...] = ()
    created: datetime | None = None
    parent: Spec | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    snapshots: tuple[Snap, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether REX-Ray made it."""
        return bool(self.facts.get("name"))

    @property
    def header(self) -> str:
        """The RADOS object with what Ceph knows of the image."""
        return f"rbd_header.{self.id}"


def read_brief(answer: Mapping[str, Any]) -> Image:
    """An image of a list; ``answer`` is the session's."""
    if "metadata" in answer:
        return read_detailed(answer)
    return Image(
        spec=_spec(answer),
        id=answer["id"],
        size_bytes=answer["size"],
        facts=read_own_facts(answer["meta"], _spec(answer)),
        claim=read_claim(answer["claim"]),
    )


def read_detailed(answer: Mapping[str, Any]) -> Image:
    """An image that was asked for by itself."""
    spec, metadata = _spec(answer), answer["metadata"]
    parent = answer["parent"]
    return Image(
        spec=spec,
        id=answer["id"],
        size_bytes=answer["size"],
        facts=read_own_facts(metadata.get(META, ""), spec),
        claim=read_claim(answer["claim"]),
        features=tuple(answer["features"]),
        watchers=tuple(answer["watchers"]),
        created=_moment(answer["created"]),
        parent=Spec(Pool(parent[0], parent[1]), parent[2]) if parent else None,
        metadata=metadata,
        snapshots=tuple(_read_snap(spec, metadata, item) for item in answer["snapshots"] if sayable(item["name"])),
    )


def read_facts(text: str) -> Mapping[str, str]:
    """REX-Ray's facts, whoever's; empty where there are none, or where somebody else's words are under the key."""
    try:
        facts = json.loads(text) if text else {}
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in facts.items()} if isinstance(facts, dict) else {}


def read_own_facts(text: str, spec: Spec) -> Mapping[str, str]:
    """Those of an image or snapshot; empty where they are another's: Ceph copies them to what is cloned or copied."""
    facts = read_facts(text)
    return facts if facts.get("image") == str(spec) else {}


def write_facts(facts: Mapping[str, str]) -> str:
    """The value of the key :data:`META`."""
    return json.dumps({key: value for key, value in facts.items() if value}, ensure_ascii=True)


def read_claim(lock: list[str] | None) -> Claim | None:
    """A lock's client, cookie and tag; the cookie is the instance, the tag says whether it may only read."""
    return Claim(client=lock[0], instance=lock[1], read_only=lock[2] == "ro") if lock else None


def _spec(answer: Mapping[str, Any]) -> Spec:
    return Spec(Pool(answer["pool"], answer["namespace"]), answer["name"])


def _read_snap(image: Spec, metadata: Mapping[str, str], item: Mapping[str, Any]) -> Snap:
    return Snap(
        spec=image.at(item["name"]),
        size_bytes=item["size"],
        created=_moment(item["created"]),
        facts=read_own_facts(metadata.get(SNAPSHOT_META + item["name"], ""), image.at(item["name"])),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
