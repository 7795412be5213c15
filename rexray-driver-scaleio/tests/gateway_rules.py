"""The addresses of the simulated gateway, what is looked up there, and which action each leads to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

import gateway_objects as objects
import gateway_volumes as volumes
from gateway_errors import Body, Json, Refusal, known_id, malformed, refuse
from gateway_objects import EXPORTS, no_such
from gateway_store import Store
from gateway_volumes import Events

Answer = Json | list[Json] | str | None
"""None is an empty body."""
Lookup = Callable[..., Answer]


def instances(store: Store, kind: str) -> Answer:
    type_of = objects.type_of(kind)
    return [type_of.show(store, it) for it in type_of.table(store).values()]


def instance(store: Store, kind: str, name: str) -> Answer:
    found = objects.find(store, kind, known_id(name))
    return objects.type_of(kind).show(store, found)


def relation(store: Store, kind: str, name: str, word: str) -> Answer:
    return objects.related(store, kind, known_id(name), word)


def by_name(store: Store, kind: str, words: str) -> Answer:
    """Names are encoded twice: what the server has decoded once is decoded again."""
    if not store.switches.get_by_name:
        raise no_such("getByName")
    domain_id, comma, rest = words.partition(",")
    name = _decoded(rest if comma and kind == "Pool" else words)
    match EXPORTS.get(kind, kind):
        case "System":
            return _first(it.id for it in store.systems.values() if it.name == name)
        case "ProtectionDomain":
            return _first(it.id for it in store.domains.values() if it.name == name)
        case "StoragePool":
            domain = objects.find(store, "ProtectionDomain", known_id(domain_id))
            return _first(it.id for it in store.pools.values() if (it.domain_id, it.name) == (domain.id, name))
        case "Volume":
            return _volume(store, name)
    raise no_such(f"getByName of {kind}")


def _decoded(text: str) -> str:
    if re.search(r"%(?![0-9a-fA-F]{2})", text):
        raise malformed("The name in the address is not encoded")
    return unquote(text)


def _first(found: Iterable[str]) -> str:
    for name in found:
        return name
    raise refuse(3)


def _volume(store: Store, name: str) -> str:
    return _first(it.id for key, it in ((key, store.names.get((key, name))) for key in store.systems) if it)


def _ip(store: Store, ip: str) -> str:
    return _first(it.id for it in store.sdcs.values() if it.ip == ip)


def by_ip(store: Store, ip: str) -> Answer:
    if not store.switches.get_by_name:
        raise no_such("getByIp")
    return _ip(store, ip)


def by_key(store: Store, kind: str, body: Body) -> Answer:
    if not store.switches.query_id_by_key:
        raise no_such("action queryIdByKey")
    match kind:
        case "Volume":
            body.only("name")
            return _volume(store, body.text("name"))
        case "Sdc":
            body.only("ip")
            return _ip(store, body.text("ip"))
    raise no_such(f"action queryIdByKey of {kind}")


def selected_statistics(store: Store, body: Body) -> Answer:
    """Of pools, by their ids: the properties that were asked for."""
    body.only("ids", "allIds", "properties")
    ids = list(store.pools) if "allIds" in body else [known_id(name) for name in body.texts("ids")]
    answer = {}
    for name in ids:
        known = objects.pool_statistics(store, objects.find(store, "StoragePool", name))
        unknown = sorted(set(body.texts("properties")) - set(known))
        if unknown:
            raise malformed(f"The request is not valid: there is no property {', '.join(unknown)}")
        answer[name] = {name: known[name] for name in body.texts("properties")}
    return answer


def selected_ids(store: Store, kind: str, body: Body) -> Answer:
    body.only("ids")
    ids = [known_id(name) for name in body.texts("ids")]
    return [objects.type_of(kind).show(store, objects.find(store, kind, name)) for name in ids]


def system_limits(store: Store) -> Answer:
    limits = {
        "volumeSizeGb": volumes.LARGEST_GIB,
        "volumesPerSdc": store.switches.volumes_per_sdc,
        "snapshotsPerVtree": store.version.snapshots_per_vtree(store.switches),
        "volumesPerProtectionDomain": 32768,
        "protectionDomains": 256,
        "storagePools": 1024,
    }
    entries = [{"type": name, "description": name, "maxVal": str(most)} for name, most in limits.items()]
    return {"systemLimitEntryList": entries}


def system_action(store: Store, name: str, verb: str, body: Body, events: Events) -> Answer:
    """An action on a system, or with no name on those that what is in the body belongs to."""
    system = objects.find(store, "System", known_id(name)) if name else None
    match verb:
        case "snapshotVolumes":
            return volumes.snapshot(store, system, body)
        case "querySystemLimits" if system is None and store.version.since(3):
            return system_limits(store)
        case "approveSdc" if system is not None:
            body.only("sdcGuid")
            guid = body.text("sdcGuid")
            wanted = _first(it.id for it in store.sdcs.values() if (it.system_id, it.guid) == (system.id, guid))
            store.sdcs[wanted].approved = True
            return None
        case "setRestrictedSdcMode" if system is not None:
            body.only("restrictedSdcMode")
            system.restricted = body.choice("restrictedSdcMode", ("None", "Guid", "ApprovedIp"))
            return None
    raise no_such(f"action {verb} of System")


def volume_action(store: Store, name: str, verb: str, body: Body, events: Events) -> Answer:
    if verb not in volumes.ACTIONS or (
        verb == "overwriteVolumeContent" and not store.version.overwrites(store.switches)
    ):
        raise no_such(f"action {verb} of Volume")
    volume = objects.find(store, "Volume", known_id(name))
    volumes.ACTIONS[verb](store, volume, body, events)
    return None


GETS: list[tuple[str, Lookup]] = [
    (r"/api/types/(\w+)/instances/?", instances),
    (r"/api/types/Client/instances/getByIp::([^/]*)/?", by_ip),
    (r"/api/types/(\w+)/instances/getByName::([^/]*)/?", by_name),
    (r"/api/instances/(\w+)::([^/]*)/relationships/(\w+)/?", relation),
    (r"/api/instances/(\w+)::([^/]*)", instance),
]
POSTS: list[tuple[str, Lookup]] = [
    (r"/api/types/Volume/instances/?", lambda store, body, events: volumes.create(store, body)),
    (r"/api/types/(\w+)/instances/action/queryIdByKey", lambda store, kind, body, events: by_key(store, kind, body)),
    (
        r"/api/types/StoragePool/instances/action/querySelectedStatistics",
        lambda store, body, events: selected_statistics(store, body),
    ),
    (
        r"/api/types/(\w+)/instances/action/queryBySelectedIds",
        lambda store, kind, body, events: selected_ids(store, kind, body),
    ),
    (r"/api/instances/System(?:::([^/]*))?/action/(\w+)", system_action),
    (r"/api/instances/Volume::([^/]*)/action/(\w+)", volume_action),
]


def answer(store: Store, method: str, path: str, body: Body, events: Events) -> Answer:
    """Do what a request asks, with the lock held; ``path`` is decoded once. Raises Refusal."""
    tables = {"GET": GETS, "POST": POSTS}
    for pattern, handler in tables.get(method, ()):
        found = re.fullmatch(pattern, path)
        if found:
            return handler(store, *found.groups()) if method == "GET" else handler(store, *found.groups(), body, events)
    if any(re.fullmatch(pattern, path) for table in tables.values() for pattern, _ in table):
        raise Refusal(405, 0, f"The method {method} is not allowed here")
    raise no_such("such address")
