"""A whole CSI service in memory: the node, on top of the other services."""

from __future__ import annotations

from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import NotFound, NotReady
from rexray.testing.csi.snapshots import MemorySnapshots

_Node = pb.NodeServiceCapability


class MemoryCSI(MemorySnapshots):
    """Every service; the node is ``node-1``."""

    def __init__(self) -> None:
        super().__init__()
        self.staged: set[tuple[str, str]] = set()
        self.mounted: set[tuple[str, str]] = set()

    def NodeGetInfo(self, request: pb.NodeGetInfoRequest) -> pb.NodeGetInfoResponse:
        """The node."""
        return pb.NodeGetInfoResponse(
            node_id="node-1", max_volumes_per_node=8, accessible_topology=pb.Topology(segments={"zone": "z1"})
        )

    def NodeGetCapabilities(self, request: pb.NodeGetCapabilitiesRequest) -> pb.NodeGetCapabilitiesResponse:
        """Staging, statistics, and a capability from the future."""
        kinds = (_Node.RPC.STAGE_UNSTAGE_VOLUME, _Node.RPC.GET_VOLUME_STATS, 99)
        return pb.NodeGetCapabilitiesResponse(
            capabilities=[_Node(rpc=_Node.RPC(type=kind)) for kind in kinds]  # type: ignore[arg-type]
        )

    def NodeStageVolume(self, request: pb.NodeStageVolumeRequest) -> pb.NodeStageVolumeResponse:
        """Only what is attached."""
        if not self.published.get(request.volume_id):
            raise NotReady(f"{request.volume_id} is not attached")
        self.staged.add((request.volume_id, request.staging_target_path))
        return pb.NodeStageVolumeResponse()

    def NodeUnstageVolume(self, request: pb.NodeUnstageVolumeRequest) -> pb.NodeUnstageVolumeResponse:
        """Gone is gone."""
        self.staged.discard((request.volume_id, request.staging_target_path))
        return pb.NodeUnstageVolumeResponse()

    def NodePublishVolume(self, request: pb.NodePublishVolumeRequest) -> pb.NodePublishVolumeResponse:
        """Only what is staged."""
        if (request.volume_id, request.staging_target_path) not in self.staged:
            raise NotReady(f"{request.volume_id} is not staged at {request.staging_target_path!r}")
        self.mounted.add((request.volume_id, request.target_path))
        return pb.NodePublishVolumeResponse()

    def NodeUnpublishVolume(self, request: pb.NodeUnpublishVolumeRequest) -> pb.NodeUnpublishVolumeResponse:
        """Gone is gone."""
        self.mounted.discard((request.volume_id, request.target_path))
        return pb.NodeUnpublishVolumeResponse()

    def NodeExpandVolume(self, request: pb.NodeExpandVolumeRequest) -> pb.NodeExpandVolumeResponse:
        """To the volume's size."""
        return pb.NodeExpandVolumeResponse(capacity_bytes=self.volume(request.volume_id).capacity_bytes)

    def NodeGetVolumeStats(self, request: pb.NodeGetVolumeStatsRequest) -> pb.NodeGetVolumeStatsResponse:
        """Of what is mounted."""
        if (request.volume_id, request.volume_path) not in self.mounted:
            raise NotFound(f"{request.volume_id} is not at {request.volume_path}")
        usage = [
            pb.VolumeUsage(available=60, total=100, used=40, unit=pb.VolumeUsage.BYTES),
            pb.VolumeUsage(available=9, total=10, used=1, unit=pb.VolumeUsage.INODES),
        ]
        return pb.NodeGetVolumeStatsResponse(usage=usage)

    def NodeGetVolumeHealth(self, request: pb.NodeGetVolumeHealthRequest) -> pb.NodeGetVolumeHealthResponse:
        """As the controller sees it."""
        health = self.sick.get(request.volume_id, pb.VolumeHealth(volume_id=request.volume_id))
        return pb.NodeGetVolumeHealthResponse(volume_health=health)

    def NodeGetStorageHealth(self, request: pb.NodeGetStorageHealthRequest) -> pb.NodeGetStorageHealthResponse:
        """A path is down."""
        backend = pb.NodeGetStorageHealthResponse.StorageBackendHealth(
            status=pb.STORAGE_DEGRADED, reason="PathDown", message="one of two paths is down"
        )
        return pb.NodeGetStorageHealthResponse(backend_health=[backend])
