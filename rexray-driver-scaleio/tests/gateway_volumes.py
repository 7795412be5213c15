"""What the simulated cluster enforces of volumes: creation, mapping, growth, snapshots, removal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gateway_errors import Body, Json, checked_name, malformed, missing, refuse
from gateway_store import GRANULE, KIB_PER_GIB, Kind, Mapping, Sdc, Store, System, Volume

LARGEST_GIB = 1048576
MODES = ("ReadWrite", "ReadOnly", "NoAccess")


@dataclass(frozen=True, slots=True)
class Event:
    """What hosts learn about; they are told once the lock is free, before the answer is sent."""

    what: Literal["map", "unmap", "resize", "overwrite"]
    volume_id: str
    sdc_id: str = ""


Events = list[Event]


def _granules(size: int, rounds_up: bool) -> int:
    """Kibibytes as the cluster has them."""
    if size <= 0:
        raise malformed("The size of a volume must be a positive number")
    if size % GRANULE:
        if not rounds_up:
            raise refuse(225)
        size += GRANULE - size % GRANULE
    if size > LARGEST_GIB * KIB_PER_GIB:
        raise refuse(190)
    return size


def create(store: Store, body: Body) -> Json:
    modern = ("compressionMethod",) if store.version.since(3) else ()
    sizes = [name for name in ("volumeSizeInKb", "volumeSizeInGb") if name in body]
    body.only(
        "protectionDomainId",
        "storagePoolId",
        "name",
        "volumeType",
        "volumeSizeInKb",
        "volumeSizeInGb",
        "useRmcache",
        *modern,
    )
    domain_id, pool_id, name = body.id("protectionDomainId"), body.id("storagePoolId"), body.text("name")
    thick = body.choice("volumeType", ("ThinProvisioned", "ThickProvisioned")) == "ThickProvisioned"
    kind: Kind = "ThickProvisioned" if thick else "ThinProvisioned"
    compression = body.choice("compressionMethod", ("None", "Normal", "NotApplicable"), default="None")
    rmcache = body.flag("useRmcache")
    if len(sizes) != 1:
        raise missing("one of volumeSizeInKb and volumeSizeInGb")
    size = body.number(sizes[0]) * (KIB_PER_GIB if sizes[0].endswith("Gb") else 1)
    if domain_id not in store.domains:
        raise refuse(142)
    pool = store.pools.get(pool_id)
    if pool is None or pool.domain_id != domain_id:
        raise refuse(171)
    checked_name(name)
    size = _granules(size, store.switches.rounds_up)
    if (pool.system_id, name) in store.names:
        raise refuse(99)
    store.check_capacity(pool, kind, size)
    volume = Volume(store.new_id("Volume"), name, size, kind, pool, store.new_id("VTree"), None)
    volume.compression, volume.rmcache = compression, rmcache
    store.add_volume(volume)
    return {"id": volume.id}


def _sdc(store: Store, volume: Volume, body: Body) -> Sdc | None:
    """The SDC that a body means; None is all of them."""
    named = [name for name in ("sdcId", "guid", "allSdcs") if name in body]
    if len(named) != 1:
        raise missing("one of sdcId, guid and allSdcs")
    if named == ["allSdcs"]:
        return None
    if named == ["sdcId"]:
        found = store.sdcs.get(body.id("sdcId"))
    else:
        guid = body.text("guid")
        found = next((it for it in store.sdcs.values() if it.guid == guid), None)
    if found is None or found.system_id != volume.pool.system_id:
        raise refuse(80)
    return found


def _modern(store: Store, *names: str) -> tuple[str, ...]:
    """Fields that came with 3.0."""
    return (*names, "allowOnExtManagedVol") if store.version.since(3) else ()


def add_mapping(store: Store, volume: Volume, body: Body, events: Events) -> None:
    body.only("sdcId", "guid", "allSdcs", "allowMultipleMappings", *_modern(store, "accessMode"))
    sdc, multiple = _sdc(store, volume, body), body.flag("allowMultipleMappings")
    mode = body.choice("accessMode", MODES, default="ReadWrite")
    if sdc is not None and sdc.id in volume.mappings:
        raise refuse(81)
    if volume.to_all is not None:
        raise refuse(82)
    if sdc is None:
        if volume.mappings:
            raise refuse(315)
        volume.to_all = mode
        events += [
            Event("map", volume.id, it.id) for it in store.sdcs.values() if it.system_id == volume.pool.system_id
        ]
        return
    if not sdc.approved:
        raise refuse(322)
    if volume.mappings and not multiple:
        raise refuse(297)
    if len(sdc.volumes) >= store.switches.volumes_per_sdc:
        raise refuse(294)
    volume.mappings[sdc.id] = Mapping(mode)
    sdc.volumes[volume.id] = volume
    events.append(Event("map", volume.id, sdc.id))


def remove_mapping(store: Store, volume: Volume, body: Body, events: Events) -> None:
    body.only("sdcId", "guid", "allSdcs", "ignoreScsiInitiators", *_modern(store))
    body.flag("ignoreScsiInitiators")
    sdc = _sdc(store, volume, body)
    if sdc is not None:
        if sdc.id not in volume.mappings:
            raise refuse(84)
        gone = [sdc.id]
    else:
        if not volume.is_mapped and store.switches.unmap_of_none_refused:
            raise refuse(84)
        everyone = [it.id for it in store.sdcs.values() if it.system_id == volume.pool.system_id]
        gone = everyone if volume.to_all else list(volume.mappings)
        volume.to_all = None
    for name in gone:
        volume.mappings.pop(name, None)
        store.sdcs[name].volumes.pop(volume.id, None)
    events += [Event("unmap", volume.id, name) for name in gone]


def set_limits(store: Store, volume: Volume, body: Body, events: Events) -> None:
    body.only("sdcId", "guid", "bandwidthLimitInKbps", "iopsLimit")
    sdc = _sdc(store, volume, body)
    if "bandwidthLimitInKbps" not in body and "iopsLimit" not in body:
        raise missing("bandwidthLimitInKbps or iopsLimit")
    bandwidth = body.number("bandwidthLimitInKbps") if "bandwidthLimitInKbps" in body else None
    iops = body.number("iopsLimit") if "iopsLimit" in body else None
    if bandwidth is not None and bandwidth % 1024:
        raise malformed("bandwidthLimitInKbps must be a multiple of 1024")
    mapping = volume.mappings.get(sdc.id) if sdc is not None else None
    if mapping is None:
        raise refuse(84)
    if bandwidth is not None:
        mapping.megabytes = bandwidth // 1024
    if iops is not None:
        mapping.iops = iops


def grow(store: Store, volume: Volume, body: Body, events: Events) -> None:
    body.only("sizeInGB", *_modern(store))
    size = body.number("sizeInGB") * KIB_PER_GIB
    if size % GRANULE:
        raise refuse(225)
    if size <= volume.size:
        raise refuse(133)
    if size > LARGEST_GIB * KIB_PER_GIB:
        raise refuse(190)
    if volume.kind != "Snapshot":
        store.check_capacity(volume.pool, volume.kind, size - volume.size)
    store.grow(volume, size)
    events.append(Event("resize", volume.id))


def rename(store: Store, volume: Volume, body: Body, events: Events) -> None:
    """A name in use is refused even if it is the volume's own."""
    body.only("newName", *_modern(store))
    name = checked_name(body.text("newName"))
    if (volume.pool.system_id, name) in store.names:
        raise refuse(99)
    store.rename(volume, name)


def cache(store: Store, volume: Volume, body: Body, events: Events) -> None:
    """As PyPowerFlex's set_use_rmcache sends it."""
    body.only("useRmcache", *_modern(store))
    body.text("useRmcache")
    volume.rmcache = body.flag("useRmcache")


def overwrite(store: Store, volume: Volume, body: Body, events: Events) -> None:
    """The source has to be of the same tree, as clients check; the size of the target stays."""
    body.only("srcVolumeId", *_modern(store))
    source = store.volumes.get(body.id("srcVolumeId"))
    if source is None:
        raise refuse(79)
    if source.vtree_id != volume.vtree_id or source is volume:
        raise malformed("The source must be another volume of the same VTree")
    if source.size > volume.size:
        raise malformed("The source is larger than the volume")
    if volume.is_mapped and not store.switches.overwrite_of_mapped:
        raise refuse(104)
    store.copy(source, volume)
    events.append(Event("overwrite", volume.id))


def remove(store: Store, volume: Volume, body: Body, events: Events) -> None:
    body.only("removeMode", *_modern(store))
    match body.choice("removeMode", ("ONLY_ME", "INCLUDING_DESCENDANTS", "DESCENDANTS_ONLY", "WHOLE_VTREE")):
        case "ONLY_ME":
            doomed = [volume]
        case "INCLUDING_DESCENDANTS":
            doomed = [*store.descendants(volume), volume]
        case "DESCENDANTS_ONLY":
            doomed = store.descendants(volume)
        case _:
            doomed = list(store.vtrees[volume.vtree_id].values())
    if not doomed:
        raise refuse(183)
    if any(it.is_mapped for it in doomed):
        raise refuse(104)
    if volume.refused_removals < store.switches.removal_in_progress:
        volume.refused_removals += 1
        raise refuse(212)
    for it in doomed:
        store.remove(it)


ACTIONS: dict[str, Callable[[Store, Volume, Body, Events], None]] = {
    "addMappedSdc": add_mapping,
    "removeMappedSdc": remove_mapping,
    "setMappedSdcLimits": set_limits,
    "setVolumeSize": grow,
    "setVolumeName": rename,
    "setVolumeUseRmcache": cache,
    "overwriteVolumeContent": overwrite,
    "removeVolume": remove,
}


def snapshot(store: Store, system: System | None, body: Body) -> Json:
    """All of the snapshots that were asked for, or none of them; retentionPeriodInMin is accepted and not enforced."""
    modern = ("retentionPeriodInMin", "accessModeLimit") if store.version.since(3) else ()
    body.only("snapshotDefs", *modern)
    wanted: list[tuple[Volume, str, str]] = []
    for entry in body.bodies("snapshotDefs"):
        entry.only("volumeId", "snapshotName", *modern)
        limit = entry.choice("accessModeLimit", MODES[:2], body.choice("accessModeLimit", MODES[:2], "ReadWrite"))
        source = store.volumes.get(entry.id("volumeId"))
        name = checked_name(entry.text("snapshotName"))
        if source is None or (system is not None and source.pool.system_id != system.id):
            raise refuse(79)
        wanted.append((source, name, limit))
    if len({source.pool.system_id for source, _, _ in wanted}) > 1:
        raise refuse(79)
    names = [(source.pool.system_id, name) for source, name, _ in wanted]
    if len(set(names)) < len(names) or any(name in store.names for name in names):
        raise refuse(99)
    most = store.version.snapshots_per_vtree(store.switches)
    for tree in {source.vtree_id for source, _, _ in wanted}:
        more = sum(source.vtree_id == tree for source, _, _ in wanted)
        if sum(it.kind == "Snapshot" for it in store.vtrees[tree].values()) + more > most:
            raise refuse(182)
    group = store.new_id("SnapshotGroup")
    made = []
    for source, name, limit in wanted:
        it = Volume(
            store.new_id("Volume"), name, source.size, "Snapshot", source.pool, source.vtree_id, source.id, group
        )
        it.mode_limit = limit
        store.copy(source, it)
        store.add_volume(it)
        made.append(it.id)
    return {"volumeIdList": made, "snapshotGroupId": group}
