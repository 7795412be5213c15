"""What the simulated cloud knows: volumes, attachments, snapshots, and what becomes of them in time."""

from __future__ import annotations

import heapq
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Protocol

import ec2_rules as rules

ACCOUNT = "123456789012"


@dataclass
class Knobs:
    """What tests set; ``POST /control`` with these names."""

    delays: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(
            ("create", "attach", "detach", "snapshot", "copy", "modify", "optimize", "delete"), 0.02
        )
    )
    stuck: list[str] = field(default_factory=list)
    """Device names that never leave ``attaching``."""
    busy: list[str] = field(default_factory=list)
    """Volumes that an operating system holds: they detach by Force only, or when they are taken off this list."""
    attach_limit: int = 28
    """Volumes of an instance, its root device among them."""
    volume_quota: int = 0
    """Volumes of a region; 0 is no end of them."""
    fail_creates: int = 0
    """So many volumes to come end in ``error``."""
    bad_kms_keys: list[str] = field(default_factory=list)
    """Volumes of these keys end in ``error``: EC2 looks at a key after it has answered."""
    modifications: int = 4
    modification_window: float = 86400.0
    snapshot_interval: float = 0.0
    """Seconds that must be between two snapshots of a volume."""
    impaired: list[str] = field(default_factory=list)
    """Volumes that DescribeVolumeStatus calls impaired."""
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Access keys: ``secret``, ``expired``, ``denied`` (actions). Every key will do while there are none."""
    shown: list[str] = field(default_factory=list)
    """Instances whose volumes are block devices of this host."""

    def set(self, name: str, value: Any) -> None:
        """Take a value; delays are added to those that there are."""
        if name not in {entry.name for entry in fields(self)}:
            raise KeyError(name)
        setattr(self, name, {**self.delays, **value} if name == "delays" else value)


@dataclass
class Attachment:
    instance: str
    device: str
    state: str = "attaching"
    time: datetime = field(default_factory=lambda: now())
    delete_on_termination: bool = False
    force: bool = False

    @property
    def name(self) -> str:
        return rules.canonical(self.device)


@dataclass
class Modification:
    original: rules.Shape
    target: rules.Shape
    state: str = "modifying"
    progress: int = 0
    start: datetime = field(default_factory=lambda: now())
    end: datetime | None = None


@dataclass
class Volume:
    id: str
    number: int
    zone: str
    zone_id: str
    shape: rules.Shape
    encrypted: bool = False
    kms_key: str | None = None
    snapshot: str = ""
    state: str = "creating"
    created: datetime = field(default_factory=lambda: now())
    attachments: dict[str, Attachment] = field(default_factory=dict)
    modification: Modification | None = None
    modified: list[float] = field(default_factory=list)
    last_snapshot: float = float("-inf")

    @property
    def status(self) -> str:
        return "in-use" if self.attachments else self.state


@dataclass
class Snapshot:
    id: str
    number: int
    volume: str
    size: int
    encrypted: bool
    kms_key: str | None
    description: str
    state: str = "pending"
    start: datetime = field(default_factory=lambda: now())


class Devices(Protocol):
    """What makes volumes visible to this host; every method is called without the store's lock, and may take time."""

    def show(self, volume: str, size: int, name: str) -> None: ...
    def is_open(self, volume: str) -> bool: ...
    def hide(self, volume: str) -> None: ...
    def grow(self, volume: str, size: int) -> None: ...
    def keep(self, volume: str, snapshot: str) -> None: ...
    def copy(self, snapshot: str, other: str) -> None: ...
    def restore(self, snapshot: str, volume: str) -> None: ...
    def forget(self, thing: str) -> None: ...
    def reset(self) -> None: ...


class Region:
    """The volumes and snapshots of one region; its instances, zones and tags are moto's."""

    def __init__(self, name: str, backend: Any) -> None:
        self.name = name
        self.backend = backend
        self.volumes: dict[str, Volume] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.attached: dict[str, set[str]] = {}
        """The volumes of each instance, by its id."""
        self.tokens: dict[str, tuple[Any, rules.Answer]] = {}

    def tags(self, thing: str) -> Mapping[str, str]:
        found: Mapping[str, str] | None = self.backend.tags.get(thing)
        return found or {}

    def tag(self, thing: str, tags: dict[str, str]) -> None:
        if tags:
            self.backend.create_tags([thing], tags)

    def volume(self, word: Any) -> Volume:
        volume = self.volumes.get(rules.check_id("vol", word))
        if volume is None:
            raise rules.not_found("vol", word)
        return volume

    def snapshot(self, word: Any) -> Snapshot:
        snapshot = self.snapshots.get(rules.check_id("snap", word))
        if snapshot is None:
            raise rules.not_found("snap", word)
        return snapshot

    def instance(self, word: Any) -> Any:
        word = rules.check_id("i", word)
        for reservation in list(self.backend.reservations.values()):
            for instance in reservation.instances:
                if instance.id == word:
                    return instance
        raise rules.not_found("i", word)

    def zone(self, name: str | None, zone_id: str | None) -> Any:
        if name and zone_id:
            message = "The parameters AvailabilityZone and AvailabilityZoneId can't be used together"
            raise rules.refuse("InvalidParameterCombination", message)
        if not name and not zone_id:
            raise rules.refuse("MissingParameter", "The request must contain the parameter availabilityZone")
        for zone in self.backend.describe_availability_zones():
            if name == zone.name or zone_id == zone.zone_id:
                return zone
        raise rules.refuse("InvalidParameterValue", f"Invalid availability zone: [{name or zone_id}]")

    def of_instance(self, instance: str) -> list[tuple[Volume, Attachment]]:
        ids = self.attached.get(instance, ())
        volumes = sorted((self.volumes[name] for name in ids if name in self.volumes), key=lambda it: it.number)
        return [(volume, volume.attachments[instance]) for volume in volumes if instance in volume.attachments]

    def leave(self, volume: Volume, instance: str) -> None:
        volume.attachments.pop(instance, None)
        self.attached.get(instance, set()).discard(volume.id)

    def add_snapshot(self, snapshot: Snapshot, tags: dict[str, str]) -> None:
        self.snapshots[snapshot.id] = snapshot
        self.tag(snapshot.id, tags)


class Store:
    """Every region, one lock around it all, and what is to happen when its time has come."""

    def __init__(self, devices: Devices | None = None) -> None:
        self.lock = threading.RLock()
        self.knobs = Knobs()
        self.devices = devices
        self.regions: dict[str, Region] = {}
        self.numbers = itertools.count()
        self.trouble: list[str] = []
        self.era = 0
        """Counts resets: what was begun before one does not touch what is after it."""
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._workers: set[threading.Thread] = set()

    def region(self, name: str, backend: Any) -> Region:
        with self.lock:
            region = self.regions.get(name)
            if region is None or region.backend is not backend:
                region = self.regions[name] = Region(name, backend)
            return region

    def after(self, delay: str, what: Callable[[], None]) -> None:
        """Have something happen after one of the delays; hold the lock."""
        heapq.heappush(self._due, (time.monotonic() + self.knobs.delays[delay], next(self.numbers), what))

    def advance(self) -> None:
        """Let everything happen whose time has come."""
        with self.lock:
            # what this makes due at once waits for the next time: a device that stays busy would never end it
            moment = time.monotonic()
            while self._due and self._due[0][0] < moment:
                heapq.heappop(self._due)[2]()

    def work(self, what: Callable[[], None]) -> None:
        """Do what takes time, beside the calls."""

        def run() -> None:
            try:
                what()
            except Exception as error:  # noqa: BLE001 - what goes wrong beside the calls is told by /control
                self.trouble.append(f"{type(error).__name__}: {error}")
            finally:
                with self.lock:
                    self._workers.discard(thread)

        thread = threading.Thread(target=run, daemon=True)
        with self.lock:
            self._workers.add(thread)
        thread.start()

    def reset(self) -> None:
        with self.lock:
            self.era += 1
            self._due.clear()
            self.regions.clear()
            self.knobs = Knobs()
            self.trouble.clear()
            workers = set(self._workers)
        for worker in workers:
            worker.join(10)
        if self.devices is not None:
            self.devices.reset()

    def dump(self) -> dict[str, Any]:
        """What there is, for a test's eyes."""
        with self.lock:
            self.advance()
            return {
                name: {
                    "volumes": {
                        volume.id: {
                            "state": volume.status,
                            "size": volume.shape.size,
                            "snapshot": volume.snapshot,
                            "tags": dict(region.tags(volume.id)),
                            "attachments": {
                                entry.instance: [entry.device, entry.state] for entry in volume.attachments.values()
                            },
                        }
                        for volume in region.volumes.values()
                    },
                    "snapshots": {
                        snapshot.id: {"state": snapshot.state, "volume": snapshot.volume, "size": snapshot.size}
                        for snapshot in region.snapshots.values()
                    },
                }
                for name, region in self.regions.items()
            }


def now() -> datetime:
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    return f"{prefix}-{secrets.randbits(68):017x}"


def numbered(things: Iterable[Any]) -> list[tuple[int, Any]]:
    """Things by their numbers, for pages."""
    return [(thing.number, thing) for thing in things]
