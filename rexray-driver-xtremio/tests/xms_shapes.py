"""How the XMS shows its objects: the properties of each type, in v1 and in v2."""

from __future__ import annotations

from typing import Any

from xms_store import (
    Cluster,
    ConsistencyGroup,
    Initiator,
    InitiatorGroup,
    Mapping,
    Portal,
    SnapshotSet,
    Store,
    Thing,
    Volume,
)

Content = dict[str, Any]
PERFORMANCE = ("iops", "rd-iops", "wr-iops", "bw", "rd-bw", "wr-bw", "avg-latency", "acc-num-of-rd", "acc-num-of-wr")


def _in_order(things: dict[int, Any]) -> list[Any]:
    return [things[index].triple for index in sorted(things)]


def of(store: Store, cluster: Cluster, thing: Thing, version: int) -> Content:
    """The properties of any object, as the REST version shows them."""
    content: Content = {"index": thing.index, "name": thing.name}
    if version >= 2:
        content |= {"guid": thing.guid, "certainty": "ok", "tag-list": []}
    if not isinstance(thing, Cluster):
        content["sys-id"] = cluster.triple
    content["xms-id"] = [store.guid, "xms", 1]
    return content | _own(store, cluster, thing, version)


def _own(store: Store, cluster: Cluster, thing: Thing, version: int) -> Content:
    match thing:
        case Volume():
            return _volume(store, cluster, thing, version)
        case InitiatorGroup():
            return {
                "ig-id": thing.triple,
                "num-of-vols": len(thing.mappings),
                "num-of-initiators": len(thing.initiators),
            }
        case Initiator():
            return _initiator(store, thing)
        case Mapping():
            return _mapping(cluster, thing)
        case SnapshotSet():
            return {
                "snapset-id": thing.triple,
                "vol-list": _in_order(thing.members),
                "num-of-vols": len(thing.members),
                "creation-time": thing.created,
                "cg-name": thing.of_group,
            }
        case ConsistencyGroup():
            return {"cg-id": thing.triple, "vol-list": _in_order(thing.members), "num-of-vols": len(thing.members)}
        case Portal():
            return {"port-address": thing.iqn, "ip-addr": f"{thing.ip}/24", "ip-port": thing.port}
        case Cluster():
            return _cluster(store, thing)
    if cluster.targets.get(thing.index) is thing:
        iqn = next((portal.iqn for portal in cluster.portals), "")
        return {"port-type": "iscsi", "port-state": "up", "port-address": iqn, "tg-id": _target_group(cluster).triple}
    return {"tg-id": thing.triple}


def _target_group(cluster: Cluster) -> Thing:
    return next(iter(cluster.target_groups))


def _volume(store: Store, cluster: Cluster, volume: Volume, version: int) -> Content:
    default = _target_group(cluster).triple
    ancestor = volume.ancestor.triple if volume.ancestor is not None else volume.lost_ancestor
    content: Content = {
        "vol-id": volume.triple,
        "vol-size": str(volume.kib),
        "lb-size": volume.lb_size,
        "alignment-offset": volume.alignment_offset,
        "naa-name": volume.naa,
        "creation-time": volume.created,
        "logical-space-in-use": str(store.contents.used_kib(volume)),
        "num-of-lun-mappings": len(volume.mappings),
        "num-of-dest-snaps": len(volume.snapshots),
        "dest-snap-list": _in_order(volume.snapshots),
        "ancestor-vol-id": ancestor,
        "lun-mapping-list": [[entry.group.triple, default, entry.lun] for entry in volume.mappings.values()],
        "snapgrp-id": volume.group,
    }
    content |= dict.fromkeys(PERFORMANCE, "0")
    if version >= 2:
        content |= {
            "vol-type": "regular",
            "snapshot-type": "readonly" if volume.readonly else "regular",
            "snapset-list": _in_order(volume.sets),
            "related-consistency-groups": _in_order(volume.groups),
        }
    return content


def _initiator(store: Store, initiator: Initiator) -> Content:
    content: Content = {
        "initiator-id": initiator.triple,
        "port-address": initiator.address,
        "port-type": "iscsi" if initiator.address.startswith(("iqn.", "eui.")) else "fc",
        "ig-id": initiator.group.triple,
        "initiator-conn-state": initiator.state,
    }
    for what in ("authentication", "discovery"):
        secret = initiator.passwords.get(what, "")
        if store.switches.chap_passwords == "masked":
            secret = "*" * 8 if secret else ""
        content[f"chap-{what}-initiator-user-name"] = initiator.users.get(what, "")
        content[f"chap-{what}-initiator-password"] = secret
    return content


def _mapping(cluster: Cluster, mapping: Mapping) -> Content:
    default = _target_group(cluster)
    return {
        "mapping-id": mapping.triple,
        "mapping-index": mapping.index,
        "vol-index": mapping.volume.index,
        "vol-name": mapping.volume.name,
        "ig-index": mapping.group.index,
        "ig-name": mapping.group.name,
        "tg-index": default.index,
        "tg-name": default.name,
        "lun": mapping.lun,
    }


def _cluster(store: Store, cluster: Cluster) -> Content:
    volumes = list(cluster.volumes)
    return {
        "sys-id": cluster.triple,
        "sys-sw-version": store.version,
        "sys-psnt-serial-number": f"XIO00{cluster.index:09d}",
        "sys-state": "active",
        "ud-ssd-space": str(cluster.capacity_kib),
        "ud-ssd-space-in-use": str(sum(store.contents.used_kib(volume) for volume in volumes)),
        "vol-size": str(sum(volume.kib for volume in volumes)),
        "num-of-vols": sum(not volume.is_snapshot for volume in volumes),
        "num-of-snaps": sum(volume.is_snapshot for volume in volumes),
        "chap-authentication-mode": store.switches.chap_mode,
        "chap-discovery-mode": store.switches.chap_discovery_mode,
    }


def xms(store: Store, version: int) -> Content:
    content: Content = {"index": 1, "name": "xms", "sw-version": store.version, "xms-id": [store.guid, "xms", 1]}
    return content | ({"guid": store.guid} if version >= 2 else {})
