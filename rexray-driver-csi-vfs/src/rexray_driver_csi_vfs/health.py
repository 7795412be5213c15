"""What is wrong with a volume, or with the storage below all of them. A healthy one has an empty list."""

from __future__ import annotations

import os
from collections.abc import Iterator

import grpc

from rexray import mounts
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.paging import page
from rexray.errors import NotFound
from rexray_driver_csi_vfs import requests
from rexray_driver_csi_vfs.host import Host, HostCalls

FULL_SHARE = 0.98
"""The share of its blocks from which on a filesystem counts as nearly full."""

_Entry = pb.VolumeHealth.VolumeHealthEntry
_Backend = pb.NodeGetStorageHealthResponse.StorageBackendHealth


def of_volume(host: Host, name: str) -> pb.VolumeHealth:
    """The health of one volume as seen from this host, which is all that there is to see it from."""
    return pb.VolumeHealth(volume_id=name, health_statuses=list(_faults(host, name)))


def _faults(host: Host, name: str) -> Iterator[pb.VolumeHealth.VolumeHealthEntry]:
    try:
        meta = host.volumes.find(name)
        with os.scandir(host.volumes.path(name)):
            pass
    except NotFound as error:
        yield _Entry(status=pb.INACCESSIBLE, reason="DirectoryMissing", message=str(error))
        return
    except OSError as error:
        yield _Entry(status=pb.INACCESSIBLE, reason="DirectoryUnreadable", message=str(error.strerror))
        return
    source = host.volumes.path(name)
    if meta.published and not mounts.is_bound(source, host.dev / name):
        message = f"attached, but not bound at {host.dev / name}: attach it again"
        yield _Entry(status=pb.DEGRADED, reason="NotBound", message=message)
    record = host.nodes.load(name)
    if record is not None:
        live = host.live(name)
        for path in [*record.staged, *record.targets]:
            if path not in live.staged and path not in live.targets:
                yield _Entry(status=pb.DEGRADED, reason="NotMounted", message=f"not mounted at {path} any more")


def of_storage(host: Host) -> Iterator[pb.NodeGetStorageHealthResponse.StorageBackendHealth]:
    """What is wrong with the directories and their filesystem."""
    for folder in (host.volumes.root, host.snapshots.root, host.dev, host.mnt):
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            message = f"{folder} cannot be used by this process"
            yield _Backend(status=pb.STORAGE_UNREACHABLE, reason="DirectoryUnusable", message=message)
            return
    free, total = host.size()
    if total and free < total * (1 - FULL_SHARE):
        message = f"{free} of {total} bytes are free"
        yield _Backend(status=pb.STORAGE_DEGRADED, reason="NearlyFull", message=message)
    if mounts.is_read_only(host.volumes.root):
        message = f"{host.volumes.root} is on a read-only filesystem"
        yield _Backend(status=pb.STORAGE_DEGRADED, reason="ReadOnly", message=message)


class HealthCalls(HostCalls):
    """The calls of CSI's Controller service that tell what is wrong with volumes."""

    def ControllerGetVolumeHealth(
        self, request: pb.ControllerGetVolumeHealthRequest, _: grpc.ServicerContext
    ) -> pb.ControllerGetVolumeHealthResponse:
        """What is wrong with one volume."""
        name = requests.required(request.volume_id, "volume_id")
        self._host.volumes.find(name)
        return pb.ControllerGetVolumeHealthResponse(volume_health=of_volume(self._host, name))

    def ControllerListVolumeHealth(
        self, request: pb.ControllerListVolumeHealthRequest, _: grpc.ServicerContext
    ) -> pb.ControllerListVolumeHealthResponse:
        """The volumes of a page that something is wrong with."""
        names, token = page(self._host.volumes.names(), request.starting_token, request.max_entries)
        found = [of_volume(self._host, name) for name in names]
        return pb.ControllerListVolumeHealthResponse(
            entries=[entry for entry in found if entry.health_statuses], next_token=token
        )
