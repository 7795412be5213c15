"""The calls of CSI's Controller service that attach volumes to this host: a bind mount at ``DEV/NAME``."""

from __future__ import annotations

import os
from dataclasses import replace

import grpc

from rexray import faults, mounts
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import AlreadyExists, InvalidRequest, NotFound, OutOfCapacity
from rexray_driver_csi_vfs import binding, requests
from rexray_driver_csi_vfs.host import HostCalls
from rexray_driver_csi_vfs.model import VolumeMeta

Context = grpc.ServicerContext


class AttachCalls(HostCalls):
    """A volume's metadata says that it is attached before it is bound and until it is bound no more."""

    def ControllerPublishVolume(
        self, request: pb.ControllerPublishVolumeRequest, _: Context
    ) -> pb.ControllerPublishVolumeResponse:
        """Bind the volume at ``DEV/NAME``, which the publish context names."""
        name = requests.required(request.volume_id, "volume_id")
        node = requests.required(request.node_id, "node_id")
        if not request.HasField("volume_capability"):
            raise InvalidRequest("volume_capability is missing")
        requests.check_capability(request.volume_capability, self._host.fs_type)
        device = self._host.dev / name
        with self._host.node_lock.hold(), self._host.volumes.lock():
            meta = self._host.volumes.find(name)
            if node != self._host.node_id:
                raise NotFound(f"node {node!r} does not exist: this host is {self._host.node_id!r}")
            self._check_access(name, meta, request.readonly)
            if node not in meta.published:
                self._check_limit(name)
                self._host.volumes.save(name, replace(meta, published={node: request.readonly}))
            faults.point("vfs-attach-noted")
            try:
                options = ("ro",) if request.readonly else ("rw",)
                binding.show(self._host.volumes.path(name), self._host.volumes.path(name), device, options)
            except BaseException:
                if node not in meta.published:
                    self._host.volumes.save(name, meta)
                raise
        return pb.ControllerPublishVolumeResponse(publish_context={"path": str(device)})

    def ControllerUnpublishVolume(
        self, request: pb.ControllerUnpublishVolumeRequest, _: Context
    ) -> pb.ControllerUnpublishVolumeResponse:
        """Undo that; not attached, or no such volume, is success."""
        name = requests.required(request.volume_id, "volume_id")
        device = self._host.dev / self._host.volumes.path(name).name
        with self._host.node_lock.hold(), self._host.volumes.lock():
            meta = self._host.volumes.find(name) if self._host.volumes.exists(name) else VolumeMeta()
            if request.node_id not in ("", self._host.node_id, *meta.published):
                return pb.ControllerUnpublishVolumeResponse()
            self._host.refuse_if_mounted(name)
            while mounts.is_mount_point(device):
                mounts.unmount(device)
            faults.point("vfs-detach-unmounted")
            binding.remove_empty(device)
            if meta.published:
                self._host.volumes.save(name, replace(meta, published={}))
        return pb.ControllerUnpublishVolumeResponse()

    def _check_access(self, name: str, meta: VolumeMeta, read_only: bool) -> None:
        before = meta.published.get(self._host.node_id, read_only)
        if before != read_only:
            raise AlreadyExists(
                f"volume {name!r} is attached {requests.access(before)} and was asked for {requests.access(read_only)}"
            )

    def _check_limit(self, name: str) -> None:
        limit = self._host.max_volumes
        if limit and sum(other != name for other in os.listdir(self._host.dev)) >= limit:
            raise OutOfCapacity(f"node {self._host.node_id!r} has {limit} volumes attached, as many as it may")
