"""CSI's GroupController service: snapshots of several volumes, all of them or none."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

import grpc

from rexray import faults
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import AlreadyExists, InvalidRequest, NotFound
from rexray.names import check_name
from rexray_driver_csi_vfs import requests
from rexray_driver_csi_vfs.driver import GROUP_CAPABILITIES
from rexray_driver_csi_vfs.host import Host
from rexray_driver_csi_vfs.model import GroupMeta
from rexray_driver_csi_vfs.snapshots import describe, refuse_parameters, take

Context = grpc.ServicerContext
_Capability = pb.GroupControllerServiceCapability


class GroupController:
    """A group's id is its name. Its record has no members until all of them are taken."""

    def __init__(self, host: Host) -> None:
        self._host = host
        for name in host.groups.names():
            if not host.is_complete(name):
                self._drop(name)

    def GroupControllerGetCapabilities(
        self, request: pb.GroupControllerGetCapabilitiesRequest, _: Context
    ) -> pb.GroupControllerGetCapabilitiesResponse:
        """What this service can do."""
        return pb.GroupControllerGetCapabilitiesResponse(
            capabilities=[_Capability(rpc=_Capability.RPC(type=name)) for name in GROUP_CAPABILITIES]
        )

    def CreateVolumeGroupSnapshot(
        self, request: pb.CreateVolumeGroupSnapshotRequest, context: Context
    ) -> pb.CreateVolumeGroupSnapshotResponse:
        """The group of that name, taken if it is missing; what was taken is deleted if one of them fails."""
        name = check_name(requests.required(request.name, "name"), "group snapshot")
        sources = tuple(sorted(set(request.source_volume_ids)))
        if not sources:
            raise InvalidRequest("source_volume_ids is missing")
        refuse_parameters(request.parameters)
        meta = self._host.groups.load(name)
        if meta is not None and meta.snapshots:
            if tuple(meta.sources) != sources:
                raise AlreadyExists(
                    f"group snapshot {name!r} exists of {', '.join(meta.sources)}, "
                    f"and was asked for of {', '.join(sources)}"
                )
            return pb.CreateVolumeGroupSnapshotResponse(group_snapshot=self._describe(name, meta))
        for source in sources:
            self._host.volumes.find(source)
        self._drop(name)
        taken = self._take(name, sources, context)
        return pb.CreateVolumeGroupSnapshotResponse(group_snapshot=self._describe(name, taken))

    def DeleteVolumeGroupSnapshot(
        self, request: pb.DeleteVolumeGroupSnapshotRequest, _: Context
    ) -> pb.DeleteVolumeGroupSnapshotResponse:
        """Delete a group with its members; a missing one is success."""
        name = check_name(requests.required(request.group_snapshot_id, "group_snapshot_id"), "group snapshot")
        meta = self._host.groups.load(name)
        if meta is not None:
            _check_members(name, meta, tuple(request.snapshot_ids))
            self._drop(name)
        return pb.DeleteVolumeGroupSnapshotResponse()

    def GetVolumeGroupSnapshot(
        self, request: pb.GetVolumeGroupSnapshotRequest, _: Context
    ) -> pb.GetVolumeGroupSnapshotResponse:
        """One group with its members."""
        name = check_name(requests.required(request.group_snapshot_id, "group_snapshot_id"), "group snapshot")
        meta = self._host.groups.load(name)
        if meta is None or not meta.snapshots:
            raise NotFound(f"group snapshot {name!r} does not exist")
        _check_members(name, meta, tuple(request.snapshot_ids))
        return pb.GetVolumeGroupSnapshotResponse(group_snapshot=self._describe(name, meta))

    def _take(self, name: str, sources: tuple[str, ...], context: Context) -> GroupMeta:
        meta = GroupMeta(sources=sources, created=time.time_ns())
        self._host.groups.save(name, meta, durable=True)
        members = tuple(_member(name, source) for source in sources)
        try:
            for member, source in zip(members, sources, strict=True):
                take(self._host, member, source, group=name, seconds=context.time_remaining())
                faults.point("vfs-group-member")
        except BaseException:
            self._drop(name)
            raise
        complete = replace(meta, snapshots=members)
        self._host.groups.save(name, complete, durable=True)
        return complete

    def _drop(self, name: str) -> None:
        """Delete a group, member by member; it counts as incomplete from the first step on."""
        meta = self._host.groups.load(name)
        if meta is None:
            return
        self._host.groups.save(name, replace(meta, snapshots=()), durable=True)
        for source in meta.sources:
            self._host.snapshots.remove(_member(name, source))
        self._host.groups.forget(name)

    def _describe(self, name: str, meta: GroupMeta) -> pb.VolumeGroupSnapshot:
        group = pb.VolumeGroupSnapshot(
            group_snapshot_id=name,
            snapshots=[describe(self._host, member) for member in meta.snapshots],
            ready_to_use=True,
        )
        group.creation_time.FromNanoseconds(meta.created)
        return group


def _member(group: str, source: str) -> str:
    """The id of a group's snapshot of one volume: the same at every try, and short whatever the names are."""
    return f"group-{hashlib.sha256(f'{group}/{source}'.encode()).hexdigest()[:32]}"


def _check_members(name: str, meta: GroupMeta, given: tuple[str, ...]) -> None:
    if given and set(given) != set(meta.snapshots):
        raise InvalidRequest(f"snapshot_ids are not those of group snapshot {name!r}: {', '.join(meta.snapshots)}")
