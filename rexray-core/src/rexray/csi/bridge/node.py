"""CSI's Node service of the bridge: what this host is, and its volumes; its other modules have the rest of it."""

from __future__ import annotations

from pathlib import Path

import grpc

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge import abilities, words
from rexray.csi.bridge.nodehealth import NodeHealthCalls
from rexray.csi.bridge.staged import Staged
from rexray.csi.bridge.staging import StagingCalls
from rexray.drivers import NodeDriver, OSDriver, StorageDriver
from rexray.errors import NotFound
from rexray.mixins import Topology
from rexray.paths import Paths
from rexray.volumes.settings import VolumeSettings

Context = grpc.ServicerContext
_Capability = pb.NodeServiceCapability


class Node(StagingCalls, NodeHealthCalls):
    """The calls of an orchestrator's node."""

    def __init__(
        self,
        node: NodeDriver,
        os_driver: OSDriver,
        settings: VolumeSettings,
        paths: Paths,
        storage: type[StorageDriver],
    ) -> None:
        super().__init__(node, os_driver, settings, paths)
        self._has_topology = issubclass(storage, Topology)

    def NodeGetCapabilities(self, request: pb.NodeGetCapabilitiesRequest, _: Context) -> pb.NodeGetCapabilitiesResponse:
        """What this host can do."""
        return pb.NodeGetCapabilitiesResponse(
            capabilities=[_Capability(rpc=_Capability.RPC(type=name)) for name in abilities.NODE]
        )

    def NodeGetInfo(self, request: pb.NodeGetInfoRequest, _: Context) -> pb.NodeGetInfoResponse:
        """Who this node is to the platform."""
        instance = self._instance
        where = pb.Topology(segments=words.segments(instance.zone)) if self._has_topology else None
        return pb.NodeGetInfoResponse(
            node_id=instance.id, max_volumes_per_node=instance.max_volumes, accessible_topology=where
        )

    def NodeGetVolumeStats(self, request: pb.NodeGetVolumeStatsRequest, _: Context) -> pb.NodeGetVolumeStatsResponse:
        """How full the filesystem is; of a device, its size."""
        volume_id = words.required(request.volume_id, "volume_id")
        path = words.place_of(request.volume_path, "volume_path")
        staged = self._shown_at(volume_id, path)
        if staged.access == "block":
            size = self._os.device_size(self._device(staged))
            return pb.NodeGetVolumeStatsResponse(usage=[pb.VolumeUsage(unit=pb.VolumeUsage.BYTES, total=size)])
        stats = self._os.filesystem_stats(Path(path))
        of_bytes = pb.VolumeUsage(
            unit=pb.VolumeUsage.BYTES,
            total=stats.total_bytes,
            used=stats.used_bytes,
            available=stats.available_bytes,
        )
        of_inodes = pb.VolumeUsage(
            unit=pb.VolumeUsage.INODES,
            total=stats.total_inodes,
            used=stats.used_inodes,
            available=stats.available_inodes,
        )
        return pb.NodeGetVolumeStatsResponse(usage=[of_bytes, of_inodes])

    def NodeExpandVolume(self, request: pb.NodeExpandVolumeRequest, _: Context) -> pb.NodeExpandVolumeResponse:
        """Grow the mounted filesystem to the size that the device has by now."""
        volume_id = words.required(request.volume_id, "volume_id")
        path = words.place_of(request.volume_path, "volume_path")
        with self._staged.lock(volume_id, "NodeExpandVolume"):
            staged = self._shown_at(volume_id, path)
            device = self._device(staged.without_size())
            if staged.access == "mount" and not staged.record.read_only:
                self._os.grow(device, Path(staged.staging))
            size = self._os.device_size(device)
            self._staged.keep(staged.with_size(size))
            return pb.NodeExpandVolumeResponse(capacity_bytes=size)

    def _shown_at(self, volume_id: str, path: str) -> Staged:
        """The staged volume; ``NotFound`` unless it is at that path."""
        staged = self._staged.find(volume_id)
        known = staged is not None and (path in staged.targets or (path == staged.staging))
        if staged is None or not known:
            raise NotFound(f"volume {volume_id!r} is not at {path!r} on this node")
        if staged.access == "mount" and not self._os.mounted(Path(path)):
            raise NotFound(f"volume {volume_id!r} is not mounted at {path!r}")
        return staged
