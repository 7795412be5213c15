"""The REST of the XMS: which paths there are in which version, clusters, envelopes and errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import xms_query as rules
import xms_shapes as shapes
import xms_snapshots as snapshots
import xms_volumes as volumes
from xms_store import Cluster, Refused, Store, Table, Thing

Body = dict[str, Any]
Create = Callable[[Store, Cluster, Body, int], list[Thing]]

TABLES = {
    "volumes": "volumes",
    "snapshots": "volumes",
    "initiators": "initiators",
    "initiator-groups": "igs",
    "lun-maps": "maps",
    "snapshot-sets": "sets",
    "consistency-groups": "cgs",
    "consistency-group-volumes": "cgs",
    "iscsi-portals": "portals",
    "targets": "targets",
    "target-groups": "target_groups",
}
GLOBAL = ("clusters", "xms")
ONLY_V2 = ("snapshot-sets", "consistency-groups", "consistency-group-volumes")
CREATES: dict[str, Create] = {
    "volumes": volumes.create,
    "snapshots": snapshots.create,
    "initiators": volumes.create_initiator,
    "initiator-groups": volumes.create_group,
    "lun-maps": volumes.create_mapping,
    "consistency-groups": snapshots.create_cg,
    "consistency-group-volumes": snapshots.add_member,
}
CHANGES: dict[str, Callable[..., None]] = {
    "volumes": volumes.change,
    "snapshots": volumes.change,
    "initiators": volumes.change_initiator,
    "initiator-groups": volumes.change_group,
    "snapshot-sets": snapshots.change_set,
    "consistency-groups": snapshots.change_cg,
}
DELETES: dict[str, Callable[..., None]] = {
    "volumes": volumes.delete,
    "snapshots": volumes.delete,
    "initiators": volumes.delete_initiator,
    "initiator-groups": volumes.delete_group,
    "lun-maps": volumes.delete_mapping,
    "snapshot-sets": snapshots.delete_set,
    "consistency-groups": snapshots.delete_cg,
}
PATH = re.compile(r"/api/json(?:/v(?P<version>[23]))?/types(?:/(?P<kind>[a-z-]+)(?:/(?P<key>[^/]+))?)?/?")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that was authenticated; ``origin`` is "https://" and the Host that the client named."""

    method: str
    path: str
    query: rules.Query
    body: Body
    origin: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a path names."""

    origin: str
    version: int
    kind: str
    key: str | None

    def href(self, *words: object, kind: str = "") -> str:
        base = "" if self.version == 1 else f"/v{self.version}"
        return "/".join([f"{self.origin}/api/json{base}/types/{kind or self.kind}", *map(str, words)])

    def to(self, thing: Thing, kind: str = "") -> str:
        return self.href(thing.guid if self.version >= 3 else thing.index, kind=kind)

    def links(self, *hrefs: str) -> list[dict[str, str]]:
        return [{"href": href, "rel": "self"} for href in hrefs]


def answer(store: Store, request: Request) -> tuple[int, Body | None]:
    """The status and the JSON of the answer; None is an empty body. Raises Refused; hold the store's lock."""
    place = _place(store, request)
    if not place.kind:
        kinds = sorted([*TABLES, *GLOBAL])
        children = [{"href": place.href(kind=kind), "name": kind, "rel": "item"} for kind in kinds]
        return 200, {"children": children, "links": place.links(f"{request.origin}/api/json/types")}
    if place.kind in GLOBAL:
        if request.method != "GET":
            raise Refused("Method not allowed", 405)
        return 200, _get_global(store, place, request)
    cluster = _cluster(store, request)
    table: Table[Any] = getattr(cluster, TABLES[place.kind])
    if request.method == "GET":
        return 200, _get(store, cluster, table, place, request)
    if request.method == "POST":
        return 201, _post(store, cluster, place, request)
    if place.kind == "consistency-group-volumes" and request.method == "DELETE":
        _delete_member(store, cluster, table, place, request)
        return 200, None
    actions = {"PUT": CHANGES, "DELETE": DELETES}.get(request.method, {})
    if place.kind not in actions:
        raise Refused("Method not allowed", 405)
    thing = _addressed(table, place, request)
    if request.method == "PUT":
        actions[place.kind](store, cluster, thing, request.body, place.version)
    else:
        actions[place.kind](store, cluster, thing)
    return 200, None


def _place(store: Store, request: Request) -> Place:
    """v2 is of XMS 4.0 and later, v3 of 6.1 and later (X2)."""
    found = PATH.fullmatch(request.path)
    version = int(found["version"] or 1) if found else 0
    least = {1: (0,), 2: (4, 0), 3: (6, 1)}.get(version)
    if found is None or least is None or store.numbers < least:
        raise Refused("Not found", 404)
    kind = found["kind"] or ""
    known = kind in ("", *TABLES, *GLOBAL) and not (version == 1 and kind in ONLY_V2)
    if not known or (kind == "xms" and store.numbers < (4, 0) and not store.switches.xms_below_4):
        raise Refused("Not found", 404)
    return Place(origin=request.origin, version=version, kind=kind, key=found["key"])


def _cluster(store: Store, request: Request) -> Cluster:
    """The cluster that is named in the query (GET, DELETE) or the body (POST, PUT); it may be left out if only one."""
    if request.method in ("GET", "DELETE"):
        word: Any = next(iter(request.query.get("cluster-name", ())), None)
        key = "cluster-name"
    else:
        word = next((request.body[name] for name in rules.CLUSTER_KEYS if name in request.body), None)
        key = "cluster-id"
    if word is not None:
        found = store.clusters.get(word) if isinstance(word, int) else store.clusters.named(str(word))
        if found is None:
            raise Refused("cluster_obj_not_found")
        return found
    if len(store.clusters) != 1:
        raise Refused(f"Command Syntax Error: Missing some of mandatory properties list: ['{key}']")
    return next(iter(store.clusters))


def _addressed(table: Table[Any], place: Place, request: Request) -> Any:
    thing = rules.address(table, place.key, request.query, version=place.version)
    if place.kind == "snapshots" and not thing.is_snapshot:
        raise Refused("obj_not_found")
    return thing


def _get_global(store: Store, place: Place, request: Request) -> Body:
    if place.kind == "clusters":
        # a cluster is looked for among all clusters, so any of them serves for its content
        return _get(store, next(iter(store.clusters)), store.clusters, place, request)
    name = (request.query.get("name") or ["xms"])[0]
    content = shapes.xms(store, place.version)
    if place.key is None and "name" not in request.query:
        entry = content if _full(place, request) else {"href": place.href(1), "name": "xms"}
        return {"xmss": [entry], "xms": [entry], "links": place.links(place.href())}
    if place.key not in (None, "1") or name != "xms":
        raise Refused("obj_not_found")
    return {"content": content, "links": place.links(place.href(1))}


def _full(place: Place, request: Request) -> bool:
    """v1 knows no options of lists, and takes no notice of them."""
    return place.version >= 2 and rules.flag((request.query.get("full") or ["0"])[0])


def _get(store: Store, cluster: Cluster, table: Table[Any], place: Place, request: Request) -> Body:
    wanted = {name for word in request.query.get("prop", []) for name in word.split(",")}
    if place.version == 1:
        wanted = set()

    def only(content: Body) -> Body:
        return {name: value for name, value in content.items() if name in wanted} if wanted else content

    if place.key is not None or "name" in request.query:
        thing = _addressed(table, place, request)
        content = only(shapes.of(store, _home(cluster, thing), thing, place.version))
        return {"content": content, "links": place.links(place.to(thing))}
    filters = rules.filters(store, request.query) if place.version >= 2 else []
    full = _full(place, request)
    entries: list[Body] = []
    for thing in table:
        if place.kind == "snapshots" and not thing.is_snapshot:
            continue
        if filters or full:
            content = shapes.of(store, _home(cluster, thing), thing, place.version)
            if not all(entry.match(content) for entry in filters):
                continue
        entries.append(only(content) if full else _short(place, thing))
    return {place.kind: entries, "links": place.links(place.href())}


def _home(cluster: Cluster, thing: Thing) -> Cluster:
    return thing if isinstance(thing, Cluster) else cluster


def _short(place: Place, thing: Thing) -> Body:
    entry: Body = {"href": place.to(thing), "name": thing.name}
    return entry | ({"index": thing.index, "guid": thing.guid} if place.version >= 3 else {})


def _post(store: Store, cluster: Cluster, place: Place, request: Request) -> Body:
    # v3 makes copies by its commands only, which this does not have
    if place.key is not None or place.kind not in CREATES or (place.version >= 3 and place.kind == "snapshots"):
        raise Refused("Method not allowed", 405)
    made = CREATES[place.kind](store, cluster, request.body, place.version)
    kind = place.kind
    if kind == "snapshots" and place.version >= 2:
        kind = store.switches.snapshot_link
    elif kind == "consistency-group-volumes":
        kind = "consistency-groups"
    return {"links": place.links(*(place.to(thing, kind) for thing in made))}


def _delete_member(store: Store, cluster: Cluster, table: Table[Any], place: Place, request: Request) -> None:
    """The group is of the path, the query or the body; the volume of the query or the body."""
    facts = {name: values[0] for name, values in request.query.items()} | request.body
    if place.key is None and "name" not in request.query:
        rules.check(store, request.body, ("cg-id", "vol-id"), ("cluster-name",))
        group = rules.refer(store, table, facts["cg-id"], version=place.version)
    else:
        group = _addressed(table, place, request)
    if not facts.get("vol-id"):
        raise Refused("Command Syntax Error: Missing some of mandatory properties list: ['vol-id']")
    snapshots.remove_member(store, cluster, group, facts["vol-id"], place.version)
