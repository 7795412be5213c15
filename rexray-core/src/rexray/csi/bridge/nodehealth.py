"""The calls of CSI's Node service that tell what is wrong on this host. What is well has an empty list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge import words
from rexray.csi.bridge.nodecalls import NodeCalls
from rexray.csi.bridge.staged import Staged
from rexray.errors import NotFound

_Entry = pb.VolumeHealth.VolumeHealthEntry
_Backend = pb.NodeGetStorageHealthResponse.StorageBackendHealth


class NodeHealthCalls(NodeCalls):
    """Health as seen from this host."""

    def NodeGetVolumeHealth(
        self, request: pb.NodeGetVolumeHealthRequest, _: grpc.ServicerContext
    ) -> pb.NodeGetVolumeHealthResponse:
        """What is wrong with a volume that is staged here."""
        volume_id = words.required(request.volume_id, "volume_id")
        staged = self._staged.find(volume_id)
        if staged is None:
            raise NotFound(f"volume {volume_id!r} is not staged on this node")
        found = pb.VolumeHealth(volume_id=volume_id, health_statuses=list(self._wrong_with(staged)))
        return pb.NodeGetVolumeHealthResponse(volume_health=found)

    def NodeGetStorageHealth(
        self, request: pb.NodeGetStorageHealthRequest, _: grpc.ServicerContext
    ) -> pb.NodeGetStorageHealthResponse:
        """Why volumes of this platform cannot be used on this host."""
        viability = type(self._node).viable()
        wrong = _Backend(status=pb.STORAGE_UNREACHABLE, reason="NotViable", message=viability.reason)
        return pb.NodeGetStorageHealthResponse(backend_health=[] if viability.ok else [wrong])

    def _wrong_with(self, staged: Staged) -> Iterator[pb.VolumeHealth.VolumeHealthEntry]:
        paths = [*([staged.staging] if staged.access == "mount" else []), *staged.targets]
        for path in paths:
            mounts = self._os.mounts(target=Path(path))
            if not mounts:
                yield _Entry(status=pb.DEGRADED, reason="NotMounted", message=f"not mounted at {path} any more")
            elif path == staged.staging and mounts[-1].read_only and not staged.record.read_only:
                message = f"the filesystem at {path} has become read-only"
                yield _Entry(status=pb.DEGRADED, reason="ReadOnly", message=message)
