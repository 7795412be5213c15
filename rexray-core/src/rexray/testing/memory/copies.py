"""What the platform itself allows: snapshots, groups of them, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound
from rexray.names import check_volume_name
from rexray.testing.memory.array import VolumeRules
from rexray.testing.memory.model import REGIONS, GroupRecord, SnapshotRecord, VolumeRecord, now


class Array(VolumeRules):
    """The platform's rules, on one state."""

    def snapshot(self, snapshot_id: str) -> SnapshotRecord:
        """One snapshot; raises ``NotFound``."""
        if snapshot_id not in self.state.snapshots:
            raise NotFound(f"snapshot {snapshot_id!r} does not exist")
        return self.state.snapshots[snapshot_id]

    def snapshot_named(self, name: str, region: str = REGIONS[0]) -> SnapshotRecord | None:
        """The snapshot of that name in a region; there is one at most."""
        found = self.state.snapshots.values()
        return next((item for item in found if (item.name, item.region) == (name, region)), None)

    def snap(self, volume_id: str, name: str, description: str = "", *, group: str = "") -> SnapshotRecord:
        """A new snapshot, which has what the volume has now; ``AlreadyExists`` if the name is taken."""
        volume = self.volume(volume_id)
        return self._keep(
            SnapshotRecord(
                id=self.next_id("snap"),
                name=name,
                volume_id=volume_id,
                size_bytes=volume.size_bytes,
                created=now(),
                region=REGIONS[0],
                description=description,
                encrypted=volume.encrypted,
                key=volume.key,
                group=group,
                content=volume.content,
            )
        )

    def copy_snapshot(self, snapshot_id: str, name: str, region: str) -> SnapshotRecord:
        """A new snapshot in another region with what this one has."""
        source = self.snapshot(snapshot_id)
        if region not in REGIONS:
            raise InvalidRequest(f"region {region!r} is unknown: there are {', '.join(REGIONS)}")
        made = replace(
            source,
            id=self.next_id("snap"),
            name=name,
            region=region,
            created=now(),
            group="",
            copy_of=snapshot_id,
        )
        return self._keep(made)

    def remove_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot that belongs to no group; what was made of it stays."""
        snapshot = self.snapshot(snapshot_id)
        if snapshot.group:
            raise InvalidRequest(f"snapshot {snapshot_id!r} belongs to group {snapshot.group!r}: remove that")
        del self.state.snapshots[snapshot_id]

    def roll_back(self, volume_id: str, snapshot_id: str) -> VolumeRecord:
        """Put the snapshot's data back into its volume, which is attached nowhere and keeps its size."""
        volume, snapshot = self.volume(volume_id), self.snapshot(snapshot_id)
        if snapshot.volume_id != volume_id:
            raise InvalidRequest(f"snapshot {snapshot_id!r} is of volume {snapshot.volume_id!r}, not of {volume_id!r}")
        self.refuse_attached(volume)
        return self.write(volume_id, snapshot.content)

    def group(self, group_id: str) -> GroupRecord:
        """One group; raises ``NotFound``."""
        if group_id not in self.state.groups:
            raise NotFound(f"group snapshot {group_id!r} does not exist")
        return self.state.groups[group_id]

    def group_named(self, name: str) -> GroupRecord | None:
        """The group of that name; there is one at most."""
        return next((group for group in self.state.groups.values() if group.name == name), None)

    def snap_group(self, name: str, volume_ids: Sequence[str]) -> GroupRecord:
        """A new group with a snapshot of each volume, all of one moment."""
        check_volume_name(name)
        if self.group_named(name) is not None:
            raise AlreadyExists(f"group snapshot {name!r} exists")
        group_id = self.next_id("group")
        taken = [self.snap(volume_id, f"{group_id}-{volume_id}", group=group_id) for volume_id in volume_ids]
        made = GroupRecord(
            id=group_id,
            name=name,
            created=now(),
            volumes=tuple(volume_ids),
            snapshots=tuple(item.id for item in taken),
        )
        self.state.groups[group_id] = made
        return made

    def remove_group(self, group_id: str) -> None:
        """Delete a group with its snapshots."""
        for snapshot_id in self.group(group_id).snapshots:
            del self.state.snapshots[snapshot_id]
        del self.state.groups[group_id]

    def connect(self, token: str, instance_id: str) -> None:
        """Let an attached volume show as a device of the instance."""
        host = self.host(instance_id)
        if token not in host.connected:
            self.state.hosts[instance_id] = replace(host, connected=(*host.connected, token))

    def disconnect(self, volume_id: str, instance_id: str) -> None:
        """Let the volume's device go, which nothing on the instance may have mounted."""
        host = self.host(instance_id)
        for mount in host.mounts.values():
            if mount.volume_id == volume_id:
                raise InUse(f"volume {volume_id!r} is mounted on {instance_id!r} at {mount.target!r}: unmount it first")
        found = self.state.volumes.get(volume_id)
        link = found.links.get(instance_id) if found else None
        if link is not None:
            if link.token in host.claimed:
                raise InUse(f"volume {volume_id!r} is in use on {instance_id!r}: a process has {link.device!r} open")
            connected = tuple(token for token in host.connected if token != link.token)
            self.state.hosts[instance_id] = replace(host, connected=connected)

    def _keep(self, snapshot: SnapshotRecord) -> SnapshotRecord:
        check_volume_name(snapshot.name)
        if self.snapshot_named(snapshot.name, snapshot.region) is not None:
            raise AlreadyExists(f"snapshot {snapshot.name!r} exists in {snapshot.region}")
        self.state.snapshots[snapshot.id] = snapshot
        return snapshot
