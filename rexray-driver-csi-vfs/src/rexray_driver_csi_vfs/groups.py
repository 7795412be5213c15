"""CSI's GroupController service: snapshots of several volumes, all of them or none."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import grpc

from rexray import faults
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import AlreadyExists, Busy, InvalidRequest, NotFound
from rexray.names import check_name
from rexray_driver_csi_vfs import requests
from rexray_driver_csi_vfs.driver import GROUP_CAPABILITIES
from rexray_driver_csi_vfs.host import HostCalls
from rexray_driver_csi_vfs.model import GroupMeta
from rexray_driver_csi_vfs.snapshots import describe, refuse_parameters, take

Context = grpc.ServicerContext
_LONGEST_WAIT = 60.0
_Capability = pb.GroupControllerServiceCapability


class GroupController(HostCalls):
    """A group's id is its name. Its record has no members until all of them are taken."""

    def drop_interrupted(self) -> None:
        """Delete the groups that died half taken or half deleted, but none that another process is at."""
        for name in self._host.groups.names():
            with contextlib.suppress(Busy), self._changing(name, "recovery", seconds=0):
                if not self._host.is_complete(name):
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
        with self._changing(name, "CreateVolumeGroupSnapshot", context.time_remaining()):
            meta = self._host.groups.load(name)
            if meta is None or not meta.snapshots:
                for source in sources:
                    self._host.volumes.find(source)
                self._drop(name)
                meta = self._take(name, sources, context)
            elif tuple(meta.sources) != sources:
                raise AlreadyExists(
                    f"group snapshot {name!r} exists of {', '.join(meta.sources)}, "
                    f"and was asked for of {', '.join(sources)}"
                )
            return pb.CreateVolumeGroupSnapshotResponse(group_snapshot=self._describe(name, meta))

    def DeleteVolumeGroupSnapshot(
        self, request: pb.DeleteVolumeGroupSnapshotRequest, context: Context
    ) -> pb.DeleteVolumeGroupSnapshotResponse:
        """Delete a group with its members; a missing one is success."""
        name = check_name(requests.required(request.group_snapshot_id, "group_snapshot_id"), "group snapshot")
        with self._changing(name, "DeleteVolumeGroupSnapshot", context.time_remaining()):
            meta = self._host.groups.load(name)
            if meta is not None:
                _check_members(name, meta, request.snapshot_ids)
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
        _check_members(name, meta, request.snapshot_ids)
        return pb.GetVolumeGroupSnapshotResponse(group_snapshot=self._describe(name, meta))

    def _take(self, name: str, sources: tuple[str, ...], context: Context) -> GroupMeta:
        meta = GroupMeta(sources=sources, created=time.time_ns())
        self._host.groups.save(name, meta, durable=True)
        members = _members(name, meta)
        try:
            for member, source in zip(members, sources, strict=True):
                if not take(self._host, member, source, group=name, seconds=context.time_remaining()):
                    raise AlreadyExists(f"snapshot {member!r} exists outside of group snapshot {name!r}")
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
        for member in _members(name, meta):
            self._host.snapshots.remove(member)
        self._host.groups.forget(name)

    def _changing(self, name: str, call: str, seconds: float | None) -> AbstractContextManager[None]:
        """One change of a group at a time, on this host; ``Busy`` names the other one."""
        owner = f"{call} of {name}"
        wait = _LONGEST_WAIT if seconds is None else min(seconds, _LONGEST_WAIT)
        return self._host.group_locks.hold("groups", owner=owner, timeout=wait)

    def _describe(self, name: str, meta: GroupMeta) -> pb.VolumeGroupSnapshot:
        group = pb.VolumeGroupSnapshot(
            group_snapshot_id=name,
            snapshots=[describe(self._host, member) for member in meta.snapshots],
            ready_to_use=True,
        )
        group.creation_time.FromNanoseconds(meta.created)
        return group


def _members(group: str, meta: GroupMeta) -> tuple[str, ...]:
    """The ids of a group's snapshots, in the order of their volumes: the same at every try, and short."""
    return tuple(f"group-{hashlib.sha256(f'{group}/{source}'.encode()).hexdigest()[:32]}" for source in meta.sources)


def _check_members(name: str, meta: GroupMeta, given: Sequence[str]) -> None:
    members = _members(name, meta)
    if given and set(given) != set(members):
        raise InvalidRequest(f"snapshot_ids are not those of group snapshot {name!r}: {', '.join(members)}")
