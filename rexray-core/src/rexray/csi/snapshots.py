"""Snapshots of a CSI service, for the volume driver ``csi``. CSI keeps no name of a snapshot: its id stands for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from datetime import UTC

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import InvalidRequest
from rexray.mixins import Snapshots
from rexray.types import Snapshot, SnapshotId, VolumeId


class CSISnapshots(Snapshots):
    """The mixin's methods as CSI calls."""

    @abstractmethod
    def _call(self, call: rpc.Call[rpc.Req, rpc.Rep], request: rpc.Req) -> rpc.Rep: ...

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        """CSI has no place for a description: one is ``InvalidRequest``."""
        if description:
            raise InvalidRequest("CSI snapshots have no description: leave it out")
        request = pb.CreateSnapshotRequest(source_volume_id=volume_id, name=name)
        return _snapshot(self._call(rpc.CREATE_SNAPSHOT, request).snapshot)

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        """The snapshots, a page a call."""
        request = pb.ListSnapshotsRequest(
            max_entries=1000, source_volume_id=volume_id or "", snapshot_id=snapshot_id or ""
        )
        while True:
            page = self._call(rpc.LIST_SNAPSHOTS, request)
            yield from (_snapshot(entry.snapshot) for entry in page.entries)
            if not page.next_token:
                return
            request.starting_token = page.next_token

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        """Delete by id."""
        self._call(rpc.DELETE_SNAPSHOT, pb.DeleteSnapshotRequest(snapshot_id=snapshot_id))


def _snapshot(snapshot: pb.Snapshot) -> Snapshot:
    return Snapshot(
        id=SnapshotId(snapshot.snapshot_id),
        name=snapshot.snapshot_id,
        volume_id=VolumeId(snapshot.source_volume_id),
        size_bytes=snapshot.size_bytes,
        created=snapshot.creation_time.ToDatetime(UTC) if snapshot.HasField("creation_time") else None,
        status="ready" if snapshot.ready_to_use else "pending",
        ready=snapshot.ready_to_use,
    )
