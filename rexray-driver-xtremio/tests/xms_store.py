"""What the simulated array knows: clusters with volumes, mappings, initiators, snapshot sets and groups."""

from __future__ import annotations

import heapq
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from xms_switches import Switches

NAA_PREFIX = "514f0c5"
GROUP_KINDS = ("initiator-groups", "initiators", "lun-maps", "snapshot-sets", "consistency-groups")
Triple = list[Any]


class Refused(Exception):
    """What the array refuses, with the message that it answers."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


@dataclass(kw_only=True, eq=False)
class Thing:
    """What every object of the array has."""

    index: int
    name: str
    guid: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def triple(self) -> Triple:
        return [self.guid, self.name, self.index]


@dataclass(kw_only=True, eq=False)
class Volume(Thing):
    """A volume, or a snapshot, which is a volume with an ancestor."""

    kib: int
    lb_size: int = 512
    alignment_offset: int = 0
    naa: str = ""
    created: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M:%S"))
    is_snapshot: bool = False
    readonly: bool = False
    ancestor: Volume | None = None
    lost_ancestor: Triple = field(default_factory=list)
    group: Triple = field(default_factory=list)
    """The triple of the volume snapshot group: a volume and all snapshots of it."""
    snapshots: dict[int, Volume] = field(default_factory=dict)
    mappings: dict[int, Mapping] = field(default_factory=dict)
    """By the index of the initiator group."""
    sets: dict[int, SnapshotSet] = field(default_factory=dict)
    groups: dict[int, ConsistencyGroup] = field(default_factory=dict)
    file: Path | None = None
    """Its contents, once they matter."""


@dataclass(kw_only=True, eq=False)
class InitiatorGroup(Thing):
    initiators: dict[int, Initiator] = field(default_factory=dict)
    mappings: dict[int, Mapping] = field(default_factory=dict)
    """By LUN."""


@dataclass(kw_only=True, eq=False)
class Initiator(Thing):
    address: str
    group: InitiatorGroup
    state: str = "disconnected"
    users: dict[str, str] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True, eq=False)
class Mapping(Thing):
    volume: Volume
    group: InitiatorGroup
    lun: int


@dataclass(kw_only=True, eq=False)
class SnapshotSet(Thing):
    members: dict[int, Volume] = field(default_factory=dict)
    created: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M:%S"))
    of_group: str = ""


@dataclass(kw_only=True, eq=False)
class ConsistencyGroup(Thing):
    members: dict[int, Volume] = field(default_factory=dict)


@dataclass(kw_only=True, eq=False)
class Portal(Thing):
    iqn: str
    ip: str
    port: int


T = TypeVar("T", bound=Thing)


class Table(Generic[T]):
    """Objects of a type by index and by name; names are unique, indexes are given out by the table."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._by_index: dict[int, T] = {}
        self._by_name: dict[str, T] = {}
        self._free: list[int] = []
        self._last = 0

    def __len__(self) -> int:
        return len(self._by_index)

    def __iter__(self) -> Iterator[T]:
        return iter([self._by_index[index] for index in sorted(self._by_index)])

    def next_index(self) -> int:
        if self._free and self._switches.indexes_reused:
            return heapq.heappop(self._free)
        self._last += 1
        return self._last

    def add(self, thing: T) -> T:
        self._by_index[thing.index] = thing
        self._by_name[thing.name] = thing
        return thing

    def remove(self, thing: T) -> None:
        del self._by_index[thing.index]
        if self._by_name.get(thing.name) is thing:
            del self._by_name[thing.name]
        heapq.heappush(self._free, thing.index)

    def rename(self, thing: T, name: str) -> None:
        if self._by_name.get(thing.name) is thing:
            del self._by_name[thing.name]
        thing.name = name
        self._by_name[name] = thing

    def get(self, index: int) -> T | None:
        return self._by_index.get(index)

    def named(self, name: str) -> T | None:
        return self._by_name.get(name)

    def with_guid(self, guid: str) -> T | None:
        return next((thing for thing in self._by_index.values() if thing.guid == guid), None)


class Cluster(Thing):
    """One array under the XMS: names and indexes are its own."""

    def __init__(self, index: int, name: str, switches: Switches, capacity_gib: int) -> None:
        super().__init__(index=index, name=name)
        self.switches = switches
        self.capacity_kib = capacity_gib << 20
        self.volumes: Table[Volume] = Table(switches)
        self.igs: Table[InitiatorGroup] = Table(switches)
        self.initiators: Table[Initiator] = Table(switches)
        self.maps: Table[Mapping] = Table(switches)
        self.sets: Table[SnapshotSet] = Table(switches)
        self.cgs: Table[ConsistencyGroup] = Table(switches)
        self.portals: Table[Portal] = Table(switches)
        self.targets: Table[Thing] = Table(switches)
        self.target_groups: Table[Thing] = Table(switches)
        self.target_groups.add(Thing(index=self.target_groups.next_index(), name="Default"))
        for number in (1, 2):
            self.targets.add(Thing(index=self.targets.next_index(), name=f"X1-SC{number}-iscsi1"))
        self._naas = 0

    def give_naa(self, volume: Volume) -> None:
        """Assign the name that hosts see, which is never used again."""
        if not volume.naa:
            self._naas += 1
            volume.naa = f"{NAA_PREFIX}{0xE388 + self.index - 1:04x}{self._naas:05x}"

    def next_lun(self, group: InitiatorGroup) -> int:
        lun = self.switches.first_lun
        while lun in group.mappings:
            lun += 1
        return lun


class Contents:
    """The contents of volumes: sparse files, made when a volume is first mapped, copied or asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, volume: Volume) -> Path:
        if volume.file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / volume.guid
            with path.open("xb") as stream:
                stream.truncate(volume.kib << 10)
            volume.file = path
        return volume.file

    def copy(self, source: Volume, target: Volume) -> None:
        """Make the target's contents those of the source; its file stays the same file, a target may have it open."""
        if source.file is None and target.file is None:
            return
        paths = [self.file(source), self.file(target)]
        subprocess.run(["cp", "--reflink=auto", "--sparse=always", *map(str, paths)], check=True)
        self.resize(target)

    def resize(self, volume: Volume) -> None:
        if volume.file is not None:
            with volume.file.open("r+b") as stream:
                stream.truncate(volume.kib << 10)

    def forget(self, volume: Volume) -> None:
        if volume.file is not None:
            volume.file.unlink()
            volume.file = None

    def used_kib(self, volume: Volume) -> int:
        return volume.file.stat().st_blocks // 2 if volume.file is not None else 0

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


Watcher = Callable[[Volume, InitiatorGroup, int], None]


class Store:
    """The XMS: its clusters, one lock around them, and who is told of mappings."""

    def __init__(self, version: str, switches: Switches, folder: Path) -> None:
        self.lock = threading.RLock()
        self.version = version
        self.switches = switches
        self.guid = uuid.uuid4().hex
        self.contents = Contents(folder)
        self.clusters: Table[Cluster] = Table(switches)
        self.mapped: Watcher = lambda volume, group, lun: None
        self.unmapped: Watcher = lambda volume, group, lun: None
        self.changed: Callable[[Volume], None] = lambda volume: None
        """Told when a volume grows, while it may be mapped."""

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(word) for word in self.version.split("-")[0].split("."))

    def add_cluster(self, name: str, capacity_gib: int) -> Cluster:
        with self.lock:
            index = self.clusters.next_index()
            return self.clusters.add(Cluster(index, name, self.switches, capacity_gib))

    def add_volume(self, cluster: Cluster, **facts: Any) -> Volume:
        """A volume that has been checked; it is its own volume snapshot group unless ``group`` is given."""
        volume = Volume(index=cluster.volumes.next_index(), **facts)
        if not volume.group:
            volume.group = [uuid.uuid4().hex, "", volume.index]
        if self.switches.naa_at == "create":
            cluster.give_naa(volume)
        return cluster.volumes.add(volume)

    def map(self, cluster: Cluster, volume: Volume, group: InitiatorGroup, lun: int) -> Mapping:
        cluster.give_naa(volume)
        self.contents.file(volume)
        name = f"{volume.index}_{group.index}_1"
        mapping = Mapping(index=cluster.maps.next_index(), name=name, volume=volume, group=group, lun=lun)
        volume.mappings[group.index] = group.mappings[lun] = mapping
        cluster.maps.add(mapping)
        self.mapped(volume, group, lun)
        return mapping

    def unmap(self, cluster: Cluster, mapping: Mapping) -> None:
        del mapping.volume.mappings[mapping.group.index]
        del mapping.group.mappings[mapping.lun]
        cluster.maps.remove(mapping)
        self.unmapped(mapping.volume, mapping.group, mapping.lun)

    def remove_volume(self, cluster: Cluster, volume: Volume) -> None:
        """Take a volume out of everything that knows it; whether that is allowed has been checked."""
        for mapping in list(volume.mappings.values()):
            self.unmap(cluster, mapping)
        if volume.ancestor is not None:
            del volume.ancestor.snapshots[volume.index]
        for snapshot in volume.snapshots.values():
            snapshot.ancestor = None
            snapshot.lost_ancestor = volume.triple if self.switches.orphan_ancestor == "kept" else []
        for group in volume.groups.values():
            del group.members[volume.index]
        for found in volume.sets.values():
            del found.members[volume.index]
            if not found.members and self.switches.empty_sets == "gone":
                cluster.sets.remove(found)
        cluster.volumes.remove(volume)
        self.contents.forget(volume)
