"""What the array does with volumes, initiators, initiator groups and mappings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xms_query as rules
from xms_store import Cluster, Initiator, InitiatorGroup, Mapping, Refused, Store, Thing, Volume

Body = dict[str, Any]

CHAP_KEYS = {
    f"initiator-{what}-{suffix}": (what, suffix)
    for what in ("authentication", "discovery")
    for suffix in ("user-name", "password")
}


def check_new_volume(store: Store, cluster: Cluster, names: Sequence[Any]) -> None:
    """Refuse names that volumes or snapshots have, or that are given twice, and more volumes than there may be."""
    for name in names:
        if cluster.volumes.named(rules.check_name(store, name)) is not None or names.count(name) > 1:
            raise Refused("vol_obj_name_not_unique")
    if len(cluster.volumes) + len(names) > store.switches.volumes_limit:
        raise Refused("too_many_objs")


def create(store: Store, cluster: Cluster, body: Body, version: int) -> list[Thing]:
    optional = ("lb-size", "alignment-offset", "parent-folder-id", "tag-list")
    rules.check(store, body, ("vol-name", "vol-size"), optional)
    kib = rules.size_kib(body["vol-size"])
    check_new_volume(store, cluster, [body["vol-name"]])
    lb_size = int(body.get("lb-size", 512))
    if lb_size not in (512, 4096):
        raise Refused("Command Syntax Error: Invalid value for property lb-size")
    offset = int(body.get("alignment-offset", 0))
    return [store.add_volume(cluster, name=body["vol-name"], kib=kib, lb_size=lb_size, alignment_offset=offset)]


def change(store: Store, cluster: Cluster, volume: Volume, body: Body, version: int) -> None:
    """Grow or rename; both are checked before one of them is done."""
    keys = {"both": ("vol-name", "name"), "vol-name": ("vol-name",), "name": ("name",)}
    allowed = keys[store.switches.rename_key] if version >= 2 else ("vol-name",)
    rules.check(store, body, (), ("vol-size", *allowed))
    name = next((body[key] for key in allowed if key in body), None)
    kib = rules.size_kib(body["vol-size"]) if "vol-size" in body else None
    if name is None and kib is None:
        raise Refused("Command Syntax Error: Missing some of mandatory properties list: ['vol-size']")
    if kib is not None and kib < volume.kib:
        raise Refused("vol_size_cannot_be_decreased")
    if name is not None and name != volume.name:
        if cluster.volumes.named(rules.check_name(store, name)) is not None:
            raise Refused("vol_obj_name_not_unique")
        cluster.volumes.rename(volume, name)
    if kib is not None and kib > volume.kib:
        volume.kib = kib
        store.contents.resize(volume)
        store.changed(volume)


def check_delete(store: Store, volume: Volume) -> None:
    if volume.mappings and store.switches.delete_mapped == "refuse":
        raise Refused("vol_is_mapped")
    if volume.snapshots and not store.switches.delete_with_snapshots:
        raise Refused("vol_has_snapshots")


def delete(store: Store, cluster: Cluster, volume: Volume) -> None:
    check_delete(store, volume)
    store.remove_volume(cluster, volume)


def create_mapping(store: Store, cluster: Cluster, body: Body, version: int) -> list[Thing]:
    rules.check(store, body, ("vol-id", "ig-id"), ("lun", "tg-id"))
    missing = store.switches.missing_volume
    volume = rules.refer(store, cluster.volumes, body["vol-id"], version=version, missing=missing)
    group = rules.refer(store, cluster.igs, body["ig-id"], version=version)
    if "tg-id" in body:
        rules.refer(store, cluster.target_groups, body["tg-id"], version=version)
    if group.index in volume.mappings:
        raise Refused(store.switches.already_mapped)
    lun = body.get("lun", cluster.next_lun(group))
    if isinstance(lun, bool) or not str(lun).isdigit() or not 0 <= int(lun) < 16384:
        raise Refused("Command Syntax Error: Invalid value for property lun")
    if int(lun) in group.mappings:
        raise Refused("lun_is_in_use")
    return [store.map(cluster, volume, group, int(lun))]


def delete_mapping(store: Store, cluster: Cluster, mapping: Mapping) -> None:
    store.unmap(cluster, mapping)


def create_group(store: Store, cluster: Cluster, body: Body, version: int) -> list[Thing]:
    rules.check(store, body, ("ig-name",), ("parent-folder-id", "tag-list"))
    if cluster.igs.named(rules.check_name(store, body["ig-name"])) is not None:
        raise Refused("ig_obj_name_not_unique")
    return [cluster.igs.add(InitiatorGroup(index=cluster.igs.next_index(), name=body["ig-name"]))]


def change_group(store: Store, cluster: Cluster, group: InitiatorGroup, body: Body, version: int) -> None:
    rules.check(store, body, ("new-name",))
    if cluster.igs.named(rules.check_name(store, body["new-name"])) not in (None, group):
        raise Refused("ig_obj_name_not_unique")
    cluster.igs.rename(group, body["new-name"])


def delete_group(store: Store, cluster: Cluster, group: InitiatorGroup) -> None:
    if group.initiators or group.mappings:
        raise Refused("ig_is_not_empty")
    cluster.igs.remove(group)


def create_initiator(store: Store, cluster: Cluster, body: Body, version: int) -> list[Thing]:
    rules.check(store, body, ("ig-id", "port-address"), ("initiator-name", "operating-system", *CHAP_KEYS))
    group = rules.refer(store, cluster.igs, body["ig-id"], version=version)
    address = rules.check_name(store, body["port-address"])
    name = rules.check_name(store, body.get("initiator-name", address))
    if any(entry.address == address for entry in cluster.initiators):
        raise Refused("port_address_not_unique")
    if cluster.initiators.named(name) is not None:
        raise Refused("initiator_obj_name_not_unique")
    initiator = Initiator(index=cluster.initiators.next_index(), name=name, address=address, group=group)
    _set_chap(initiator, body)
    group.initiators[initiator.index] = cluster.initiators.add(initiator)
    return [initiator]


def change_initiator(store: Store, cluster: Cluster, initiator: Initiator, body: Body, version: int) -> None:
    rules.check(store, body, (), ("initiator-name", "port-address", "operating-system", *CHAP_KEYS))
    name = rules.check_name(store, body.get("initiator-name", initiator.name))
    address = rules.check_name(store, body.get("port-address", initiator.address))
    if any(entry.address == address and entry is not initiator for entry in cluster.initiators):
        raise Refused("port_address_not_unique")
    if cluster.initiators.named(name) not in (None, initiator):
        raise Refused("initiator_obj_name_not_unique")
    cluster.initiators.rename(initiator, name)
    initiator.address = address
    _set_chap(initiator, body)


def _set_chap(initiator: Initiator, body: Body) -> None:
    for key, (what, suffix) in CHAP_KEYS.items():
        if key in body:
            facts = initiator.users if suffix == "user-name" else initiator.passwords
            facts[what] = str(body[key])


def delete_initiator(store: Store, cluster: Cluster, initiator: Initiator) -> None:
    del initiator.group.initiators[initiator.index]
    cluster.initiators.remove(initiator)
