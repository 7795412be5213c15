"""What the array does with snapshots, snapshot sets and consistency groups.

Restoring, as ViPR (CoprHD, XtremIOV2Client) and docbert/xtremio-python do it: POST to v2's snapshots with
``from-volume-id`` (or ``from-snapshot-set-id``, ``from-consistency-group-id``), ``to-volume-id`` (or ``to-…``) and
``no-backup`` "true". Without ``no-backup`` the array keeps the target's contents as a snapshot of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import xms_query as rules
from xms_store import Cluster, ConsistencyGroup, Refused, SnapshotSet, Store, Thing, Volume
from xms_volumes import check_delete, check_new_volume

Body = dict[str, Any]

SOURCES = ("volume-list", "consistency-group-id", "snapshot-set-id")
FROM = ("from-volume-id", "from-snapshot-set-id", "from-consistency-group-id")
TO = ("to-volume-id", "to-snapshot-set-id", "to-consistency-group-id")


def create(store: Store, cluster: Cluster, body: Body, version: int) -> list[Thing]:
    """POST to snapshots: in v1 one or a list of them; in v2 a set, or a restore."""
    if version == 1:
        return _create_named(store, cluster, body)
    if any(key in body for key in (*FROM, *TO)):
        return _restore(store, cluster, body, version)
    rules.check(store, body, (), (*SOURCES, "snapshot-set-name", "snap-suffix", "snapshot-type", "tag-list"))
    given = [key for key in SOURCES if body.get(key)]
    if len(given) != 1:
        raise Refused(f"Command Syntax Error: Missing some of mandatory properties list: {[SOURCES[0]]}")
    kind = str(body.get("snapshot-type", "regular")).lower()
    if kind not in ("regular", "readonly"):
        raise Refused("Command Syntax Error: Invalid value for property snapshot-type")
    sources, of_group = _members(store, cluster, given[0], body[given[0]], version)
    stamp = str(time.time_ns() // 1_000_000)
    suffix = str(body.get("snap-suffix") or stamp)
    name = rules.check_name(store, body.get("snapshot-set-name") or f"SnapshotSet.{stamp}")
    snapshots = _snapshot(store, cluster, sources, suffix, readonly=kind == "readonly", set_name=name)
    found = next(iter(snapshots[0].sets.values()))
    found.of_group = of_group
    return list(snapshots) if store.switches.snapshot_link != "snapshot-sets" else [found]


def _create_named(store: Store, cluster: Cluster, body: Body) -> list[Thing]:
    entries = body.get("snap-list")
    if entries is not None:
        rules.check(store, body, ("snap-list",), ("folder-id",))
    else:
        entries = [{key: value for key, value in body.items() if key not in ("folder-id", *rules.CLUSTER_KEYS)}]
    for entry in entries:
        rules.check(store, entry, ("ancestor-vol-id", "snap-vol-name"))
    missing = store.switches.missing_volume
    sources = [
        rules.refer(store, cluster.volumes, entry["ancestor-vol-id"], version=1, missing=missing) for entry in entries
    ]
    return list(_make(store, cluster, sources, [entry["snap-vol-name"] for entry in entries], readonly=False))


def _members(store: Store, cluster: Cluster, key: str, value: Any, version: int) -> tuple[Sequence[Volume], str]:
    """The volumes of a list, a consistency group or a snapshot set, and the group's name if it is one."""
    if key == "volume-list":
        missing = store.switches.missing_volume
        words = value if isinstance(value, list) else [value]
        return [rules.refer(store, cluster.volumes, word, version=version, missing=missing) for word in words], ""
    found: SnapshotSet | ConsistencyGroup
    if "consistency" in key:
        found = rules.refer(store, cluster.cgs, value, version=version)
    else:
        found = rules.refer(store, cluster.sets, value, version=version)
    members = [found.members[index] for index in sorted(found.members)]
    if not members:
        raise Refused("vol_list_is_empty")
    return members, found.name if isinstance(found, ConsistencyGroup) else ""


def _snapshot(
    store: Store, cluster: Cluster, sources: Sequence[Volume], suffix: str, *, readonly: bool, set_name: str
) -> list[Volume]:
    """Snapshots of v2, whose names the array makes, in a set."""
    if cluster.sets.named(set_name) is not None:
        raise Refused("snapset_obj_name_not_unique")
    if store.switches.snapshot_names == "opaque":
        suffix = str(time.time_ns() // 1_000_000)
    names = [f"{source.name}.{suffix}" for source in sources]
    made = _make(store, cluster, sources, names, readonly=readonly)
    group = cluster.sets.add(SnapshotSet(index=cluster.sets.next_index(), name=set_name))
    for volume in made:
        group.members[volume.index] = volume
        volume.sets[group.index] = group
    return made


def _make(
    store: Store, cluster: Cluster, sources: Sequence[Volume], names: Sequence[str], *, readonly: bool
) -> list[Volume]:
    """Snapshots, all of them or none."""
    check_new_volume(store, cluster, names)
    for source in sources:
        if len(source.snapshots) + list(sources).count(source) > store.switches.snapshots_per_volume:
            raise Refused("too_many_snapshots_per_vol")
    made = []
    for source, name in zip(sources, names, strict=True):
        snapshot = store.add_volume(
            cluster,
            name=name,
            kib=source.kib,
            lb_size=source.lb_size,
            alignment_offset=source.alignment_offset,
            is_snapshot=True,
            readonly=readonly,
            ancestor=source,
            group=source.group,
        )
        source.snapshots[snapshot.index] = snapshot
        store.contents.copy(source, snapshot)
        made.append(snapshot)
    return made


def _restore(store: Store, cluster: Cluster, body: Body, version: int) -> list[Thing]:
    optional = ("no-backup", "backup-snap-suffix", "snapshot-set-name")
    rules.check(store, body, (), (*FROM, *TO, *optional))
    given = [[key for key in keys if body.get(key)] for keys in (FROM, TO)]
    for keys, found in zip((FROM, TO), given, strict=True):
        if len(found) != 1:
            raise Refused(f"Command Syntax Error: Missing some of mandatory properties list: {[keys[0]]}")
    (source_key,), (target_key,) = given
    if ("volume" in source_key) != ("volume" in target_key):
        raise Refused("Command Syntax Error: a volume is refreshed from a volume")
    sources, targets = (
        _members(store, cluster, "volume-list" if "volume" in key else key, body[key], version)[0]
        for key in (source_key, target_key)
    )
    pairs = [(_counterpart(sources, target), target) for target in targets]
    for source, target in pairs:
        _check_restore(store, source, target)
    if not rules.flag(body.get("no-backup", False)):
        stamp = str(time.time_ns() // 1_000_000)
        suffix = str(body.get("backup-snap-suffix") or stamp)
        set_name = str(body.get("snapshot-set-name") or f"SnapshotSet.{stamp}")
        _snapshot(store, cluster, targets, suffix, readonly=False, set_name=set_name)
    restored: list[Thing] = []
    for source, target in pairs:
        volume = target if store.switches.restore_identity == "kept" else _replace(store, cluster, target)
        resized, volume.kib = volume.kib != source.kib, source.kib
        store.contents.copy(source, volume)
        if resized:
            store.changed(volume)
        restored.append(volume)
    return restored


def _counterpart(sources: Sequence[Volume], target: Volume) -> Volume:
    """The source of the target's own volume snapshot group."""
    for source in sources:
        if source.group == target.group:
            return source
    raise Refused("vols_not_in_same_vsg")


def _check_restore(store: Store, source: Volume, target: Volume) -> None:
    if source is target:
        raise Refused("vols_not_in_same_vsg")
    if target.readonly:
        raise Refused("vol_is_readonly")
    if source.kib != target.kib and store.switches.restore_other_size == "refuse":
        raise Refused("vol_size_mismatch")


def _replace(store: Store, cluster: Cluster, old: Volume) -> Volume:
    """A new object in the place of a volume, for hosts the same: it has its name, naa, mappings and file."""
    new = store.add_volume(cluster, name=f"{old.name}.{old.guid}", kib=old.kib, group=old.group)
    new.is_snapshot, new.naa, new.file = old.is_snapshot, old.naa, old.file
    old.file = None
    for index, mapping in list(old.mappings.items()):
        # hosts notice nothing: no one is told of this
        mapping.volume = new
        cluster.maps.rename(mapping, f"{new.index}_{index}_1")
        new.mappings[index] = old.mappings.pop(index)
    for snapshot in old.snapshots.values():
        snapshot.ancestor = new
    new.snapshots, old.snapshots = old.snapshots, {}
    new.ancestor = old.ancestor
    if new.ancestor is not None:
        new.ancestor.snapshots[new.index] = new
    for group in old.groups.values():
        _join(group, new)
    for found in old.sets.values():
        found.members[new.index] = new
        new.sets[found.index] = found
    name = old.name
    store.remove_volume(cluster, old)
    cluster.volumes.rename(new, name)
    return new


def delete_set(store: Store, cluster: Cluster, found: SnapshotSet) -> None:
    """A set goes with its snapshots."""
    members = list(found.members.values())
    for volume in members:
        check_delete(store, volume)
    for volume in members:
        store.remove_volume(cluster, volume)
    if cluster.sets.get(found.index) is found:
        cluster.sets.remove(found)


def change_set(store: Store, cluster: Cluster, found: SnapshotSet, body: Body, version: int) -> None:
    rules.check(store, body, ("new-name",))
    if cluster.sets.named(rules.check_name(store, body["new-name"])) not in (None, found):
        raise Refused("snapset_obj_name_not_unique")
    cluster.sets.rename(found, body["new-name"])


def create_cg(store: Store, cluster: Cluster, body: Body, version: int) -> list[Thing]:
    rules.check(store, body, ("consistency-group-name",), ("vol-list", "tag-list"))
    if cluster.cgs.named(rules.check_name(store, body["consistency-group-name"])) is not None:
        raise Refused("cg_obj_name_not_unique")
    volumes: Sequence[Volume] = []
    if body.get("vol-list"):
        volumes = _members(store, cluster, "volume-list", body["vol-list"], version)[0]
    group = ConsistencyGroup(index=cluster.cgs.next_index(), name=body["consistency-group-name"])
    for volume in volumes:
        _join(group, volume)
    return [cluster.cgs.add(group)]


def _join(group: ConsistencyGroup, volume: Volume) -> None:
    group.members[volume.index] = volume
    volume.groups[group.index] = group


def change_cg(store: Store, cluster: Cluster, group: ConsistencyGroup, body: Body, version: int) -> None:
    rules.check(store, body, ("new-name",))
    if cluster.cgs.named(rules.check_name(store, body["new-name"])) not in (None, group):
        raise Refused("cg_obj_name_not_unique")
    cluster.cgs.rename(group, body["new-name"])


def delete_cg(store: Store, cluster: Cluster, group: ConsistencyGroup) -> None:
    """The group goes, its volumes stay."""
    for volume in group.members.values():
        del volume.groups[group.index]
    cluster.cgs.remove(group)


def add_member(store: Store, cluster: Cluster, body: Body, version: int) -> list[Thing]:
    rules.check(store, body, ("vol-id", "cg-id"))
    group = rules.refer(store, cluster.cgs, body["cg-id"], version=version)
    volume = _members(store, cluster, "volume-list", [body["vol-id"]], version)[0][0]
    if volume.index in group.members:
        raise Refused("vol_already_in_cg")
    _join(group, volume)
    return [group]


def remove_member(store: Store, cluster: Cluster, group: ConsistencyGroup, word: Any, version: int) -> None:
    volume = _members(store, cluster, "volume-list", [word], version)[0][0]
    if volume.index not in group.members:
        raise Refused("obj_not_found")
    del group.members[volume.index]
    del volume.groups[group.index]
