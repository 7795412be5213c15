"""What the platform itself allows: volumes and their attachments, whatever a driver asks for.

It is no driver: a name that is taken is refused here, where a driver looks whether the volume is the one asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, OutOfCapacity, OutOfRange
from rexray.names import check_volume_name
from rexray.testing.memory.content import Content
from rexray.testing.memory.model import (
    LARGEST,
    MOST_IOPS,
    REGIONS,
    STEP,
    TYPES,
    HostRecord,
    LinkRecord,
    SnapshotRecord,
    State,
    VolumeRecord,
    now,
)

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVolume:
    """What the platform is asked to make; ``key`` is an encryption key's digest."""

    name: str
    size_bytes: int
    zone: str
    type: str = TYPES[0]
    iops: int = 0
    encrypted: bool = False
    key: str = ""
    multiattach: bool = False
    source_volume: str = ""
    source_snapshot: str = ""


class VolumeRules:
    """The platform's rules for volumes, on one state."""

    def __init__(self, state: State) -> None:
        self.state = state

    def volume(self, volume_id: str) -> VolumeRecord:
        """One volume; raises ``NotFound``."""
        if volume_id not in self.state.volumes:
            raise NotFound(f"volume {volume_id!r} does not exist")
        return self.state.volumes[volume_id]

    def host(self, instance_id: str) -> HostRecord:
        """One instance; raises ``NotFound``."""
        if instance_id not in self.state.hosts:
            raise NotFound(f"instance {instance_id!r} does not exist")
        return self.state.hosts[instance_id]

    def volume_named(self, name: str) -> VolumeRecord | None:
        """The volume of that name; there is one at most."""
        return next((volume for volume in self.state.volumes.values() if volume.name == name), None)

    def free(self, zone: str) -> int:
        """How many bytes new volumes may have in a zone."""
        if zone not in self.state.zones:
            raise InvalidRequest(f"zone {zone!r} is unknown: there are {', '.join(self.state.zones)}")
        used = sum(volume.size_bytes for volume in self.state.volumes.values() if volume.zone == zone)
        return self.state.capacity - used

    def create(self, new: NewVolume) -> VolumeRecord:
        """A new volume; ``AlreadyExists`` if the name is taken, whatever by."""
        check_volume_name(new.name)
        what = f"volume {new.name!r}"
        if self.volume_named(new.name) is not None:
            raise AlreadyExists(f"{what} exists")
        self._check_kind(what, new.type, new.iops)
        self._check_size(what, new.size_bytes, new.size_bytes, new.zone)
        content: Content = {}
        source = self._source(new)
        if source is not None:
            if new.size_bytes < source.size_bytes:
                raise OutOfRange(f"{what}: {new.size_bytes} bytes are less than its source's {source.size_bytes}")
            if (new.encrypted, new.key) != (source.encrypted, source.key):
                raise InvalidRequest(f"{what}: a copy is encrypted as its source is: leave encryption out")
            content = source.content
        made = VolumeRecord(
            id=self.next_id("vol"),
            name=new.name,
            size_bytes=new.size_bytes,
            type=new.type,
            zone=new.zone,
            created=now(),
            iops=new.iops,
            encrypted=new.encrypted,
            key=new.key,
            multiattach=new.multiattach,
            source_volume=new.source_volume,
            source_snapshot=new.source_snapshot,
            content=content,
        )
        self.state.volumes[made.id] = made
        return made

    def remove(self, volume_id: str) -> None:
        """Delete a volume that is attached nowhere."""
        volume = self.volume(volume_id)
        self.refuse_attached(volume)
        del self.state.volumes[volume_id]

    def attach(self, volume_id: str, instance_id: str, *, device: str = "", read_only: bool = False) -> VolumeRecord:
        """Attach a volume; only one with ``multiattach`` may have several instances.

        A device name that the instance has already used is replaced by a free one.
        """
        volume, host = self.volume(volume_id), self.host(instance_id)
        if instance_id in volume.links or (volume.links and not volume.multiattach):
            raise InUse(f"volume {volume_id!r} is attached to {', '.join(map(repr, sorted(volume.links)))}")
        if volume.zone != host.zone:
            raise InvalidRequest(
                f"volume {volume_id!r} is in zone {volume.zone!r}, instance {instance_id!r} in zone {host.zone!r}"
            )
        if host.max_volumes and len(self.links_of(instance_id)) >= host.max_volumes:
            raise OutOfCapacity(
                f"instance {instance_id!r} has {host.max_volumes} volumes attached, as many as it may: detach one"
            )
        taken = self.devices_of(instance_id)
        link = LinkRecord(
            token=self.next_id("link"),
            device=device if device and device not in taken else next_device(taken),
            read_only=read_only,
        )
        return self._put(replace(volume, links={**volume.links, instance_id: link}))

    def detach(self, volume_id: str, instance_ids: Collection[str]) -> VolumeRecord:
        """Detach a volume from those of the instances that have it; what is connected there is gone."""
        volume = self.volume(volume_id)
        for instance_id in sorted(volume.links.keys() & set(instance_ids)):
            host = self.host(instance_id)
            token = volume.links[instance_id].token
            connected = tuple(known for known in host.connected if known != token)
            self.state.hosts[instance_id] = replace(host, connected=connected)
        links = {name: link for name, link in volume.links.items() if name not in instance_ids}
        return self._put(replace(volume, links=links))

    def expand(self, volume_id: str, size_bytes: int) -> VolumeRecord:
        """Make a volume larger."""
        volume = self.volume(volume_id)
        if size_bytes < volume.size_bytes:
            raise OutOfRange(f"volume {volume_id!r} has {volume.size_bytes} bytes and cannot shrink to {size_bytes}")
        self._check_size(f"volume {volume_id!r}", size_bytes, size_bytes - volume.size_bytes, volume.zone)
        return self._put(replace(volume, size_bytes=size_bytes))

    def modify(self, volume_id: str, *, kind: str, iops: int) -> VolumeRecord:
        """Give a volume another type and other IOPS."""
        volume = self.volume(volume_id)
        self._check_kind(f"volume {volume_id!r}", kind, iops)
        return self._put(replace(volume, type=kind, iops=iops))

    def write(self, volume_id: str, content: Content) -> VolumeRecord:
        """Replace what a volume holds."""
        return self._put(replace(self.volume(volume_id), content=content))

    def links_of(self, instance_id: str) -> dict[str, VolumeRecord]:
        """The volumes that are attached to an instance, by the token of the attachment."""
        found = [volume for volume in self.state.volumes.values() if instance_id in volume.links]
        return {volume.links[instance_id].token: volume for volume in found}

    def devices_of(self, instance_id: str) -> set[str]:
        """The device names that an instance uses: a mount may still show what was detached."""
        attached = {volume.links[instance_id].device for volume in self.links_of(instance_id).values()}
        return attached | {mount.source for mount in self.host(instance_id).mounts.values()}

    def refuse_attached(self, volume: VolumeRecord) -> None:
        """``InUse`` names the instances that have the volume."""
        if volume.links:
            holders = ", ".join(map(repr, sorted(volume.links)))
            raise InUse(f"volume {volume.id!r} is attached to {holders}: detach it first")

    def next_id(self, what: str) -> str:
        """An id that nothing had before."""
        self.state.made += 1
        return f"{what}-{self.state.made:08x}"

    def _source(self, new: NewVolume) -> VolumeRecord | SnapshotRecord | None:
        if new.source_volume:
            return self.volume(new.source_volume)
        if not new.source_snapshot:
            return None
        snapshot = self.state.snapshots.get(new.source_snapshot)
        if snapshot is None:
            raise NotFound(f"snapshot {new.source_snapshot!r} does not exist")
        if snapshot.region != REGIONS[0]:
            raise InvalidRequest(f"snapshot {snapshot.id!r} is in {snapshot.region}, not in {REGIONS[0]}")
        return snapshot

    def _check_kind(self, what: str, kind: str, iops: int) -> None:
        if kind not in TYPES:
            raise InvalidRequest(f"{what}: type {kind!r} is unknown: there are {', '.join(TYPES)}")
        if not 0 <= iops <= MOST_IOPS:
            raise InvalidRequest(f"{what}: iops {iops} cannot be had: it can be 0 to {MOST_IOPS}")

    def _check_size(self, what: str, size_bytes: int, more_bytes: int, zone: str) -> None:
        if size_bytes % STEP or not STEP <= size_bytes <= LARGEST:
            raise OutOfRange(f"{what}: {size_bytes} bytes cannot be had: it can be {STEP} to {LARGEST}, by {STEP}")
        free = self.free(zone)
        if more_bytes > free:
            raise OutOfCapacity(f"{what}: zone {zone!r} has {free} bytes left, not the {more_bytes} that it needs")

    def _put(self, volume: VolumeRecord) -> VolumeRecord:
        self.state.volumes[volume.id] = volume
        return volume


def page(items: dict[str, R], after: str, size: int) -> Sequence[R]:
    """The items that follow an id, as many as a page has; every id but the last of a page is smaller than the next."""
    return [items[key] for key in sorted(key for key in items if key > after)[:size]]


def next_device(taken: Collection[str]) -> str:
    """The first device name that is not taken."""
    number = 0
    while (name := f"/dev/memory{number}") in taken:
        number += 1
    return name
