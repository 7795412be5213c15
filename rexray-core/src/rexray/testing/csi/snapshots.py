"""The snapshots of the controller, group snapshots, and the blocks of snapshots."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import NotFound
from rexray.testing.csi.controller import MemoryController, page


class MemorySnapshots(MemoryController):
    """The snapshots of the controller, the group controller, and the blocks of snapshots."""

    def CreateSnapshot(self, request: pb.CreateSnapshotRequest) -> pb.CreateSnapshotResponse:
        """Idempotent by name."""
        return pb.CreateSnapshotResponse(snapshot=self._take(request.name, request.source_volume_id))

    def _take(self, name: str, volume_id: str, group: str = "") -> pb.Snapshot:
        self.snapshots[name] = pb.Snapshot(
            snapshot_id=name,
            source_volume_id=volume_id,
            size_bytes=self.volume(volume_id).capacity_bytes,
            creation_time=Timestamp(seconds=1_500_000_000),
            ready_to_use=True,
            group_snapshot_id=group,
        )
        return self.snapshots[name]

    def DeleteSnapshot(self, request: pb.DeleteSnapshotRequest) -> pb.DeleteSnapshotResponse:
        """Gone is gone."""
        self.snapshots.pop(request.snapshot_id, None)
        return pb.DeleteSnapshotResponse()

    def ListSnapshots(self, request: pb.ListSnapshotsRequest) -> pb.ListSnapshotsResponse:
        """By name, of a volume or not."""
        found = [
            snapshot
            for _, snapshot in sorted(self.snapshots.items())
            if request.source_volume_id in ("", snapshot.source_volume_id)
            and request.snapshot_id in ("", snapshot.snapshot_id)
        ]
        items, token = page(found, request.max_entries, request.starting_token)
        entries = [pb.ListSnapshotsResponse.Entry(snapshot=snapshot) for snapshot in items]
        return pb.ListSnapshotsResponse(entries=entries, next_token=token)

    def GetSnapshot(self, request: pb.GetSnapshotRequest) -> pb.GetSnapshotResponse:
        """One snapshot."""
        if request.snapshot_id not in self.snapshots:
            raise NotFound(f"no snapshot {request.snapshot_id!r}")
        return pb.GetSnapshotResponse(snapshot=self.snapshots[request.snapshot_id])

    def GroupControllerGetCapabilities(
        self, request: pb.GroupControllerGetCapabilitiesRequest
    ) -> pb.GroupControllerGetCapabilitiesResponse:
        """The one that there is."""
        kind = pb.GroupControllerServiceCapability.RPC
        rpc = kind(type=kind.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT)
        return pb.GroupControllerGetCapabilitiesResponse(capabilities=[pb.GroupControllerServiceCapability(rpc=rpc)])

    def CreateVolumeGroupSnapshot(
        self, request: pb.CreateVolumeGroupSnapshotRequest
    ) -> pb.CreateVolumeGroupSnapshotResponse:
        """A snapshot for each volume."""
        for volume_id in request.source_volume_ids:
            self._take(f"{request.name}-{volume_id}", volume_id, request.name)
        return pb.CreateVolumeGroupSnapshotResponse(group_snapshot=self._group(request.name))

    def _group(self, name: str) -> pb.VolumeGroupSnapshot:
        members = [snapshot for snapshot in self.snapshots.values() if snapshot.group_snapshot_id == name]
        if not members:
            raise NotFound(f"no group snapshot {name!r}")
        return pb.VolumeGroupSnapshot(group_snapshot_id=name, snapshots=members, ready_to_use=True)

    def GetVolumeGroupSnapshot(self, request: pb.GetVolumeGroupSnapshotRequest) -> pb.GetVolumeGroupSnapshotResponse:
        """One group."""
        return pb.GetVolumeGroupSnapshotResponse(group_snapshot=self._group(request.group_snapshot_id))

    def DeleteVolumeGroupSnapshot(
        self, request: pb.DeleteVolumeGroupSnapshotRequest
    ) -> pb.DeleteVolumeGroupSnapshotResponse:
        """With its members."""
        for snapshot in self._group(request.group_snapshot_id).snapshots:
            del self.snapshots[snapshot.snapshot_id]
        return pb.DeleteVolumeGroupSnapshotResponse()

    def GetMetadataAllocated(self, request: pb.GetMetadataAllocatedRequest) -> list[pb.GetMetadataAllocatedResponse]:
        """Three blocks in two messages."""
        blocks = [pb.BlockMetadata(byte_offset=offset, size_bytes=4096) for offset in (0, 8192, 16384)]
        found = [block for block in blocks if block.byte_offset >= request.starting_offset]
        return [pb.GetMetadataAllocatedResponse(block_metadata=part) for part in (found[:2], found[2:])]

    def GetMetadataDelta(self, request: pb.GetMetadataDeltaRequest) -> list[pb.GetMetadataDeltaResponse]:
        """One block."""
        block = pb.BlockMetadata(byte_offset=4096, size_bytes=512)
        return [pb.GetMetadataDeltaResponse(block_metadata=[block])]
