"""A plug-in for tests: the volume driver ``shelf``, whose volumes are entries of the file ``$SHELF``.

It keeps to the contract, notes every call that changes something as a line of JSON in ``$SHELF.calls``, and gives
volumes ids that differ from their names. ``$SHELF_HOLDER`` holds whatever is mounted as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rexray import hookimpl
from rexray.drivers import VolumeDriver
from rexray.errors import InUse, NotFound
from rexray.mixins import Expand, Rollback, SnapshotCopy, Snapshots
from rexray.sizes import parse_size
from rexray.types import (
    Attachment,
    AttachmentState,
    BlockDevice,
    InstanceId,
    MountPoint,
    MountRequest,
    Snapshot,
    SnapshotId,
    Volume,
    VolumeId,
)

HERE = InstanceId("here")


@dataclass
class State:
    """What is on the shelf."""

    volumes: dict[str, Volume] = field(default_factory=dict)
    holders: dict[str, list[str]] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)


def read() -> State:
    """The state as the last run left it."""
    path = Path(os.environ["SHELF"])
    return pickle.loads(path.read_bytes()) if path.exists() else State()


@contextlib.contextmanager
def changing(*call: object) -> Iterator[State]:
    """The state, which is written when the call has succeeded."""
    state = read()
    yield state
    Path(os.environ["SHELF"]).write_bytes(pickle.dumps(state))
    with Path(os.environ["SHELF"] + ".calls").open("a") as log:
        print(json.dumps(call), file=log)


class Shelf(Snapshots, SnapshotCopy, Rollback, Expand, VolumeDriver):
    """Volumes without any platform."""

    name = "shelf"

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        with changing("create", name, dict(options)) as state:
            volume = Volume(
                id=VolumeId(f"vol-{len(state.volumes) + 1}"),
                name=name,
                size_bytes=parse_size(options.get("size", "1")),
                state=AttachmentState.AVAILABLE,
                encrypted=options.get("encrypted") == "true",
            )
            return state.volumes.setdefault(name, volume)

    def remove(self, name: str, *, force: bool = False) -> None:
        volume = self.get(name)
        if volume.name == "stuck":
            raise InUse("volume 'stuck' is in use")
        with changing("remove", volume.name, force) as state:
            del state.volumes[volume.name]

    def get(self, name: str) -> Volume:
        for volume in read().volumes.values():
            if name in (volume.name, volume.id):
                return volume
        raise NotFound(f"volume {name!r} does not exist")

    def list(self) -> Iterator[Volume]:
        return iter(sorted(read().volumes.values(), key=lambda volume: volume.name))

    def mount(self, request: MountRequest) -> MountPoint:
        name = self.get(request.name).name
        self.attach(name, HERE, force=request.preempt)
        with changing("mount", name, request.fs_type, request.overwrite_fs, request.preempt) as state:
            state.holders[name] = [request.holder, *filter(None, [os.environ.get("SHELF_HOLDER")])]
            volume = state.volumes[name]
            where = replace(volume.attachments[0], mount_point=f"/mnt/{name}")
            state.volumes[name] = replace(volume, attachments=(where,))
        return MountPoint(path=Path(f"/mnt/{name}"), source=name, read_only=request.read_only)

    def unmount(self, name: str, holder: str) -> None:
        with changing("unmount", name, holder) as state:
            state.holders[name] = [other for other in state.holders.get(name, []) if other != holder]

    def unmount_all(self) -> Iterator[str]:
        for name, holders in sorted(read().holders.items()):
            for holder in holders:
                self.unmount(name, holder)
            yield name

    def path(self, name: str) -> Path | None:
        volume = self.get(name)
        return Path(f"/mnt/{volume.name}") if read().holders.get(volume.name) else None

    def attach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> Attachment:
        volume = self.get(name)
        attachment = Attachment(
            volume_id=volume.id, instance_id=instance_id, token="t", device=f"/dev/{volume.name}", status="attached"
        )
        here = AttachmentState.ATTACHED if instance_id == HERE else AttachmentState.UNAVAILABLE
        with changing("attach", volume.name, instance_id, force) as state:
            state.volumes[volume.name] = replace(volume, state=here, attachments=(attachment,))
        return attachment

    def detach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> None:
        volume = self.get(name)
        with changing("detach", volume.name, instance_id, force) as state:
            state.volumes[volume.name] = replace(volume, state=AttachmentState.AVAILABLE, attachments=())

    def network_name(self, name: str, instance_id: InstanceId) -> str:
        return ""

    def instance_id(self) -> InstanceId:
        return HERE

    def devices(self) -> tuple[BlockDevice, ...]:
        return tuple(
            BlockDevice(provider="shelf", instance_id=HERE, volume_id=volume.id, device=item.device, status=item.status)
            for volume in self.list()
            for item in volume.attachments
            if item.instance_id == HERE
        )

    def volume_id(self, name: str) -> VolumeId:
        return self.get(name).id

    def recover(self) -> Iterator[str]:
        return iter(())

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        with changing("expand", volume_id, size_bytes) as state:
            volume = replace(self.get(volume_id), size_bytes=size_bytes)
            state.volumes[volume.name] = volume
        return volume

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        with changing("create_snapshot", volume_id, name, description) as state:
            identifier = SnapshotId(f"snap-{len(state.snapshots) + 1}")
            taken = Snapshot(id=identifier, name=name, volume_id=volume_id, description=description)
            state.snapshots[identifier] = taken
        return taken

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        for item in read().snapshots.values():
            if volume_id in (None, item.volume_id) and snapshot_id in (None, item.id):
                yield item

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        with changing("remove_snapshot", snapshot_id) as state:
            state.snapshots.pop(snapshot_id, None)

    def copy_snapshot(self, snapshot_id: SnapshotId, name: str, region: str) -> Snapshot:
        with changing("copy_snapshot", snapshot_id, name, region) as state:
            return replace(state.snapshots[snapshot_id], id=SnapshotId("copied"), name=name, zone=region)

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        with changing("rollback", volume_id, snapshot_id):
            return self.get(volume_id)


@hookimpl
def rexray_volume_drivers() -> Sequence[type[VolumeDriver]]:
    """The driver."""
    return [Shelf]
