"""The objects of the simulated gateway as JSON, each with the links that lead on from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway_errors import Json, Refusal, refuse
from gateway_store import Domain, Mapping, Pool, Sdc, Store, System, Volume

EXPORTS = {"Domain": "ProtectionDomain", "Pool": "StoragePool", "Client": "Sdc"}
"""Other names of types, which ``getByName::`` uses."""


def _links(kind: str, name: str, relations: Iterable[str] = (), **parents: tuple[str, str]) -> list[Json]:
    """To itself, to its collections, and by its fields to its parents, each a type and an id."""
    here = f"/api/instances/{kind}::{name}"
    return [
        {"rel": "self", "href": here},
        *(
            {"rel": f"/api/{kind}/relationship/{relation}", "href": f"{here}/relationships/{relation}"}
            for relation in relations
        ),
        *(
            {"rel": f"/api/parent/relationship/{field}", "href": f"/api/instances/{parent}::{owner}"}
            for field, (parent, owner) in parents.items()
        ),
    ]


def release(store: Store) -> str:
    """The version as systems and SDCs write it: R3_5.0."""
    return f"R{store.version.text.replace('.', '_', 1)}.0"


def system(store: Store, it: System) -> Json:
    return {
        "id": it.id,
        "name": it.name,
        "installId": it.install_id,
        "systemVersionName": f"DellEMC ScaleIO Version: {release(store)}.133",
        "mdmCluster": {"clusterState": "ClusteredNormal", "clusterMode": "ThreeNodes"},
        "restrictedSdcMode": it.restricted,
        "links": _links("System", it.id, ("ProtectionDomain", "Sdc")),
    }


def domain(store: Store, it: Domain) -> Json:
    return {
        "id": it.id,
        "name": it.name,
        "systemId": it.system_id,
        "protectionDomainState": "Active",
        **({"genType": it.generation} if store.version.since(5) else {}),
        "links": _links("ProtectionDomain", it.id, ("StoragePool",), systemId=("System", it.system_id)),
    }


def pool(store: Store, it: Pool) -> Json:
    return {
        "id": it.id,
        "name": it.name,
        "protectionDomainId": it.domain_id,
        "zeroPaddingEnabled": True,
        "sparePercentage": 10,
        "useRmcache": False,
        **({"dataLayout": "MediumGranularity"} if store.version.since(3) else {}),
        "links": _links(
            "StoragePool", it.id, ("Statistics", "Volume"), protectionDomainId=("ProtectionDomain", it.domain_id)
        ),
    }


def sdc(store: Store, it: Sdc) -> Json:
    return {
        "id": it.id,
        "name": it.name,
        "sdcGuid": it.guid,
        "sdcIp": it.ip,
        "sdcApproved": it.approved,
        "mdmConnectionState": "Connected" if it.connected else "Disconnected",
        "osType": "Linux",
        "versionInfo": it.version,
        "systemId": it.system_id,
        **({"sdcIps": [it.ip], "hostType": "SdcHost"} if store.version.since(3) else {}),
        "links": _links("Sdc", it.id, ("Volume",), systemId=("System", it.system_id)),
    }


def _mapped(store: Store, sdc_id: str, mapping: Mapping) -> Json:
    host = store.sdcs[sdc_id]
    entry: Json = {
        "sdcId": sdc_id,
        "sdcIp": host.ip,
        "sdcName": host.name,
        "limitIops": mapping.iops,
        "limitBwInMbps": mapping.megabytes,
    }
    if store.version.since(3):
        entry |= {"accessMode": mapping.mode, "hostType": "SdcHost", "isDirectBufferMapping": False}
    if store.version.since(4):
        entry["nqn"] = None
    return entry


def volume(store: Store, it: Volume) -> Json:
    parents = {"vtreeId": ("VTree", it.vtree_id), "storagePoolId": ("StoragePool", it.pool.id)}
    if it.ancestor_id in store.volumes:
        parents["ancestorVolumeId"] = ("Volume", it.ancestor_id)
    return {
        "id": it.id,
        "name": it.name,
        "sizeInKb": it.size,
        "storagePoolId": it.pool.id,
        "volumeType": it.kind,
        "vtreeId": it.vtree_id,
        "ancestorVolumeId": it.ancestor_id,
        "consistencyGroupId": it.group_id,
        "creationTime": it.created,
        "useRmcache": it.rmcache,
        "isObfuscated": False,
        "mappingToAllSdcsEnabled": it.to_all is not None,
        "mappedSdcInfo": [_mapped(store, name, mapping) for name, mapping in it.mappings.items()] or None,
        "mappedScsiInitiatorInfo": None,
        **(_modern(it) if store.version.since(3) else {}),
        "links": _links("Volume", it.id, ("Statistics",), **parents),
    }


def _modern(it: Volume) -> Json:
    """What 3.x has more of a volume."""
    return {
        "dataLayout": "MediumGranularity",
        "compressionMethod": it.compression,
        "accessModeLimit": it.mode_limit,
        "volumeReplicationState": "UnmarkedForReplication",
        "managedBy": "ScaleIO",
        "volumeClass": "defaultclass",
        "nsid": int(it.id[8:], 16) + 1,
    }


def vtree(store: Store, name: str) -> Json:
    members = store.vtrees[name]
    first = next(iter(members.values()))
    roots = [it.id for it in members.values() if it.ancestor_id not in members]
    return {
        "id": name,
        "name": None,
        "baseVolumeId": roots[0],
        "storagePoolId": first.pool.id,
        "links": _links("VTree", name, ("Volume",), storagePoolId=("StoragePool", first.pool.id)),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Type:
    """A type of objects: where they are, how they look, and the error for one that is not there."""

    table: Callable[[Store], dict[str, Any]]
    show: Callable[[Store, Any], Json]
    unknown: int


TYPES = {
    "System": Type(table=lambda store: store.systems, show=system, unknown=3),
    "ProtectionDomain": Type(table=lambda store: store.domains, show=domain, unknown=142),
    "StoragePool": Type(table=lambda store: store.pools, show=pool, unknown=171),
    "Sdc": Type(table=lambda store: store.sdcs, show=sdc, unknown=80),
    "Volume": Type(table=lambda store: store.volumes, show=volume, unknown=79),
    "VTree": Type(
        table=lambda store: dict(zip(store.vtrees, store.vtrees, strict=True)),
        show=vtree,
        unknown=3,
    ),
}


def no_such(what: str) -> Refusal:
    """For an address that the gateway does not have."""
    return Refusal(404, 0, f"There is no {what}")


def type_of(word: str) -> Type:
    found = TYPES.get(EXPORTS.get(word, word))
    if found is None:
        raise no_such(f"type {word}")
    return found


def find(store: Store, word: str, name: str) -> Any:
    """The object of a type and a checked id."""
    kind = type_of(word)
    found = kind.table(store).get(name)
    if found is None:
        raise refuse(kind.unknown)
    return found


def related(store: Store, word: str, name: str, relation: str) -> Json | list[Json]:
    """What a relation leads to."""
    owner = find(store, word, name)
    match word, relation:
        case "System", "ProtectionDomain":
            return [domain(store, it) for it in store.domains.values() if it.system_id == name]
        case "System", "Sdc":
            return [sdc(store, it) for it in store.sdcs.values() if it.system_id == name]
        case "ProtectionDomain", "StoragePool":
            return [pool(store, it) for it in store.pools.values() if it.domain_id == name]
        case "StoragePool", "Volume":
            return [volume(store, it) for it in owner.volumes.values()]
        case "StoragePool", "Statistics":
            return pool_statistics(store, owner)
        case "Sdc", "Volume":
            # those that are mapped to all SDCs are not kept with each
            everyones = [it for it in store.volumes.values() if it.to_all and it.pool.system_id == owner.system_id]
            return [volume(store, it) for it in (*owner.volumes.values(), *everyones)]
        case "VTree", "Volume":
            return [volume(store, it) for it in store.vtrees[name].values()]
        case "Volume", "Statistics":
            return {"numOfMappedSdcs": len(owner.mappings), "numOfDescendantVolumes": len(store.descendants(owner))}
    raise no_such(f"relation {relation} of {word}")


def pool_statistics(store: Store, it: Pool) -> Json:
    """Kibibytes: raw ones, which count both mirrors, but for what is available to volumes, which is net."""
    raw = it.capacity * 2 * 10 // 9
    free = min(it.capacity - it.thick, int(it.capacity * store.switches.over_allocation) - it.thin - it.thick)
    files = [store.file(entry) for entry in it.volumes.values() if entry.kind == "Snapshot"]
    thin = "thinCapacityAllocatedInKm" if store.switches.statistics_misspelt else "thinCapacityAllocatedInKb"
    return {
        "capacityLimitInKb": raw,
        "spareCapacityInKb": raw - 2 * it.capacity,
        "capacityAvailableForVolumeAllocationInKb": max(0, free) // (8 << 20) * (8 << 20),
        "thickCapacityInUseInKb": 2 * it.thick,
        thin: 2 * it.thin,
        # of blocks of 512 bytes, twice
        "snapCapacityInUseInKb": sum(file.stat().st_blocks for file in files if file.exists()),
    }
