"""What the simulated cluster knows: systems, protection domains, pools, SDCs, volumes and what is in them."""

from __future__ import annotations

import itertools
import os
import secrets
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateway_errors import refuse
from gateway_switches import Switches, Version

KIB_PER_GIB = 1 << 20
GRANULE = 8 * KIB_PER_GIB
"""The kibibytes that sizes are multiples of."""

Kind = Literal["ThinProvisioned", "ThickProvisioned", "Snapshot"]


@dataclass(slots=True)
class System:
    id: str
    name: str
    install_id: str
    restricted: str = "None"


@dataclass(slots=True)
class Domain:
    id: str
    name: str
    system_id: str
    generation: str = "Mirroring"


@dataclass(slots=True)
class Pool:
    id: str
    name: str
    domain_id: str
    system_id: str
    capacity: int
    """Net kibibytes."""
    thin: int = 0
    thick: int = 0
    """Kibibytes that its volumes were promised."""
    volumes: dict[str, Volume] = field(default_factory=dict)


@dataclass(slots=True)
class Sdc:
    id: str
    guid: str
    ip: str
    approved: bool
    name: str | None
    version: str
    system_id: str
    connected: bool = True
    volumes: dict[str, Volume] = field(default_factory=dict)


@dataclass(slots=True)
class Mapping:
    mode: str
    iops: int = 0
    megabytes: int = 0
    """The limit of its bandwidth, in MB a second; 0 is none."""


@dataclass(slots=True)
class Volume:
    id: str
    name: str | None
    size: int
    """Kibibytes."""
    kind: Kind
    pool: Pool
    vtree_id: str
    ancestor_id: str | None
    group_id: str | None = None
    created: int = field(default_factory=lambda: int(time.time()))
    rmcache: bool = False
    compression: str = "None"
    mode_limit: str = "ReadWrite"
    mappings: dict[str, Mapping] = field(default_factory=dict)
    to_all: str | None = None
    """The access mode of a mapping to all SDCs."""
    refused_removals: int = 0

    @property
    def is_mapped(self) -> bool:
        return bool(self.mappings) or self.to_all is not None


class Store:
    """Everything, and one lock around it; methods that change or read several things expect to be called with it."""

    def __init__(self, version: str, switches: Switches, folder: Path) -> None:
        self.lock = threading.RLock()
        self.version = Version(version)
        self.switches = switches
        self.folder = folder
        self.systems: dict[str, System] = {}
        self.domains: dict[str, Domain] = {}
        self.pools: dict[str, Pool] = {}
        self.sdcs: dict[str, Sdc] = {}
        self.volumes: dict[str, Volume] = {}
        self.names: dict[tuple[str, str], Volume] = {}
        """By system and name: volumes and snapshots share one name space."""
        self.vtrees: dict[str, dict[str, Volume]] = {}
        self.before_copy: list[Callable[[str], None]] = []
        """Called with the id of a volume whose content is to be copied, with the lock held: hosts flush it."""
        self._prefixes: dict[str, str] = defaultdict(lambda: secrets.token_hex(4))
        self._counters: dict[str, Iterator[int]] = defaultdict(itertools.count)

    def new_id(self, kind: str) -> str:
        """An id as the cluster makes them: the low half counts, for each type."""
        return f"{self._prefixes[kind]}{next(self._counters[kind]):08x}"

    def add_system(self, name: str) -> System:
        system = System(secrets.token_hex(8), name, secrets.token_hex(8))
        self.systems[system.id] = system
        return system

    def add_domain(self, name: str, system: System, generation: str) -> Domain:
        domain = Domain(self.new_id("ProtectionDomain"), name, system.id, generation)
        self.domains[domain.id] = domain
        return domain

    def add_pool(self, name: str, domain: Domain, gib: int) -> Pool:
        pool = Pool(self.new_id("StoragePool"), name, domain.id, domain.system_id, gib * KIB_PER_GIB)
        self.pools[pool.id] = pool
        return pool

    def add_sdc(self, sdc: Sdc) -> None:
        self.sdcs[sdc.id] = sdc

    def add_volume(self, volume: Volume) -> None:
        self.volumes[volume.id] = volume
        volume.pool.volumes[volume.id] = volume
        self.vtrees.setdefault(volume.vtree_id, {})[volume.id] = volume
        if volume.name is not None:
            self.names[volume.pool.system_id, volume.name] = volume
        self.charge(volume, volume.size)

    def charge(self, volume: Volume, size: int) -> None:
        """Account for kibibytes that a volume gets, or less than none that it gives back; snapshots get none."""
        if volume.kind == "ThinProvisioned":
            volume.pool.thin += size
        elif volume.kind == "ThickProvisioned":
            volume.pool.thick += size

    def check_capacity(self, pool: Pool, kind: Kind, size: int) -> None:
        """Refuse what is over the pool's limits of allocation."""
        promised = pool.thin + pool.thick + size
        if promised > pool.capacity * self.switches.over_allocation:
            raise refuse(300)
        if kind == "ThickProvisioned" and pool.thick + size > pool.capacity:
            raise refuse(300)

    def rename(self, volume: Volume, name: str) -> None:
        if volume.name is not None:
            del self.names[volume.pool.system_id, volume.name]
        volume.name = name
        self.names[volume.pool.system_id, name] = volume

    def remove(self, volume: Volume) -> None:
        """Forget a volume that is not mapped; its snapshots stay, in the same tree."""
        if self.switches.orphans == "adopted":
            for other in self.vtrees[volume.vtree_id].values():
                if other.ancestor_id == volume.id:
                    other.ancestor_id = volume.ancestor_id
        del self.volumes[volume.id], volume.pool.volumes[volume.id], self.vtrees[volume.vtree_id][volume.id]
        if not self.vtrees[volume.vtree_id]:
            del self.vtrees[volume.vtree_id]
        if volume.name is not None:
            del self.names[volume.pool.system_id, volume.name]
        self.charge(volume, -volume.size)
        self.file(volume).unlink(missing_ok=True)

    def descendants(self, volume: Volume) -> list[Volume]:
        tree = list(self.vtrees[volume.vtree_id].values())
        found = [other for other in tree if other.ancestor_id == volume.id]
        return found + [deeper for child in found for deeper in self.descendants(child)]

    def access(self, volume: Volume, sdc_id: str) -> str | None:
        """How an SDC may use a volume: ReadWrite, ReadOnly, NoAccess, or None if it is not mapped to it."""
        mapping = volume.mappings.get(sdc_id)
        sdc = self.sdcs[sdc_id]
        to_all = volume.to_all if sdc.system_id == volume.pool.system_id else None
        mode = mapping.mode if mapping else to_all
        return "ReadOnly" if mode == "ReadWrite" and volume.mode_limit == "ReadOnly" else mode

    def file(self, volume: Volume) -> Path:
        return self.folder / volume.id

    def backing(self, volume: Volume) -> Path:
        """The sparse file that holds a volume's content; one that nobody asked for has none, and holds zeros."""
        file = self.file(volume)
        if not file.exists():
            file.touch()
            os.truncate(file, volume.size * 1024)
        return file

    def copy(self, source: Volume, target: Volume) -> None:
        """Let a volume hold what another holds, in the same file as before: a host may have it open."""
        for flush in self.before_copy:
            flush(source.id)
        if self.file(source).exists():
            command = ["cp", "--reflink=auto", "--sparse=always", str(self.file(source)), str(self.file(target))]
            subprocess.run(command, check=True, timeout=300, capture_output=True)
        elif self.file(target).exists():
            os.truncate(self.file(target), 0)
        if self.file(target).exists():
            os.truncate(self.file(target), target.size * 1024)

    def grow(self, volume: Volume, size: int) -> None:
        self.charge(volume, size - volume.size)
        volume.size = size
        if self.file(volume).exists():
            os.truncate(self.file(volume), size * 1024)
