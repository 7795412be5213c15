"""CSI's GroupController service of the bridge: snapshots of several volumes, all of them or none."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence

import grpc

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge import abilities, words
from rexray.csi.bridge.quieting import Quiet, not_here
from rexray.csi.bridge.snapshots import refuse_parameters
from rexray.drivers import StorageDriver
from rexray.errors import InvalidRequest, NotFound, Unsupported
from rexray.mixins import GroupSnapshots, Snapshots
from rexray.types import SnapshotGroup, SnapshotId, VolumeId

Context = grpc.ServicerContext
_Capability = pb.GroupControllerServiceCapability


class GroupController:
    """Group snapshots of a storage driver that has them."""

    def __init__(self, storage: StorageDriver, quiet: Quiet = not_here) -> None:
        if not isinstance(storage, GroupSnapshots):
            raise Unsupported(f"storage driver {storage.name!r} has no group snapshots")
        self._storage = storage
        self._quiet = quiet
        self._groups: GroupSnapshots = storage

    def GroupControllerGetCapabilities(
        self, request: pb.GroupControllerGetCapabilitiesRequest, _: Context
    ) -> pb.GroupControllerGetCapabilitiesResponse:
        """What this service can do."""
        known = [_Capability(rpc=_Capability.RPC(type=name)) for name in abilities.GROUP]
        return pb.GroupControllerGetCapabilitiesResponse(capabilities=known)

    def CreateVolumeGroupSnapshot(
        self, request: pb.CreateVolumeGroupSnapshotRequest, _: Context
    ) -> pb.CreateVolumeGroupSnapshotResponse:
        """The group of that name, taken if it is missing."""
        name = words.check_new_name(request.name)
        if not request.source_volume_ids:
            raise InvalidRequest("source_volume_ids is missing")
        refuse_parameters(dict(request.parameters))
        sources = sorted({VolumeId(source) for source in request.source_volume_ids})
        with self._quiet(sources, "CreateVolumeGroupSnapshot"):
            group = self._groups.create_snapshot_group(name, sources)
        return pb.CreateVolumeGroupSnapshotResponse(group_snapshot=self._describe(group))

    def DeleteVolumeGroupSnapshot(
        self, request: pb.DeleteVolumeGroupSnapshotRequest, _: Context
    ) -> pb.DeleteVolumeGroupSnapshotResponse:
        """Delete a group with its members; a missing one is success, and so is a member that is gone already."""
        group_id = SnapshotId(words.required(request.group_snapshot_id, "group_snapshot_id"))
        with contextlib.suppress(NotFound):
            group = self._groups.snapshot_group(group_id)
            gone = {given for given in request.snapshot_ids if self._is_gone(group, given)}
            _check_members(group, request.snapshot_ids, gone)
        self._groups.remove_snapshot_group(group_id)
        return pb.DeleteVolumeGroupSnapshotResponse()

    def GetVolumeGroupSnapshot(
        self, request: pb.GetVolumeGroupSnapshotRequest, _: Context
    ) -> pb.GetVolumeGroupSnapshotResponse:
        """One group with its members."""
        group = self._groups.snapshot_group(SnapshotId(words.required(request.group_snapshot_id, "group_snapshot_id")))
        _check_members(group, request.snapshot_ids)
        return pb.GetVolumeGroupSnapshotResponse(group_snapshot=self._describe(group))

    def _is_gone(self, group: SnapshotGroup, snapshot_id: str) -> bool:
        """Whether there is no such snapshot, as of a group whose deletion was interrupted."""
        if any(member.id == snapshot_id for member in group.snapshots) or not isinstance(self._storage, Snapshots):
            return False
        try:
            return not any(self._storage.snapshots(snapshot_id=SnapshotId(snapshot_id)))
        except NotFound:
            return True

    def _describe(self, group: SnapshotGroup) -> pb.VolumeGroupSnapshot:
        found = pb.VolumeGroupSnapshot(
            group_snapshot_id=group.id,
            snapshots=[words.describe_snapshot(self._storage, member) for member in group.snapshots],
            ready_to_use=group.ready,
        )
        if group.created is not None:
            found.creation_time.FromDatetime(group.created)
        return found


def _check_members(group: SnapshotGroup, given: Sequence[str], gone: Collection[str] = ()) -> None:
    members = {snapshot.id for snapshot in group.snapshots}
    if given and set(given) - set(gone) != members:
        raise InvalidRequest(f"snapshot_ids are not those of group snapshot {group.id!r}: {', '.join(sorted(members))}")
