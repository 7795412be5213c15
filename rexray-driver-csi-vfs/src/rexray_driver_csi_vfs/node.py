"""CSI's Node service: making attached volumes visible at the paths that an orchestrator names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import grpc

from rexray import faults, mounts
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.mountgroup import give_to_group
from rexray.errors import AlreadyExists, InUse, NotFound, NotReady
from rexray_driver_csi_vfs import binding, health, requests
from rexray_driver_csi_vfs.driver import NODE_CAPABILITIES
from rexray_driver_csi_vfs.host import HostCalls
from rexray_driver_csi_vfs.model import NodeMeta

Context = grpc.ServicerContext
T = TypeVar("T")
_Capability = pb.NodeServiceCapability
EMPTY: Mapping[str, Any] = MappingProxyType({})
_Single = pb.VolumeCapability.AccessMode.SINGLE_NODE_SINGLE_WRITER


class Node(HostCalls):
    """Every path is a bind mount: DEV/NAME → staging path → target path."""

    def NodeGetCapabilities(self, request: pb.NodeGetCapabilitiesRequest, _: Context) -> pb.NodeGetCapabilitiesResponse:
        """What this service can do."""
        return pb.NodeGetCapabilitiesResponse(
            capabilities=[_Capability(rpc=_Capability.RPC(type=name)) for name in NODE_CAPABILITIES]
        )

    def NodeGetInfo(self, request: pb.NodeGetInfoRequest, _: Context) -> pb.NodeGetInfoResponse:
        """Who this node is."""
        return pb.NodeGetInfoResponse(
            node_id=self._host.node_id,
            max_volumes_per_node=self._host.max_volumes,
            accessible_topology=pb.Topology(segments=self._host.topology),
        )

    def NodeStageVolume(self, request: pb.NodeStageVolumeRequest, _: Context) -> pb.NodeStageVolumeResponse:
        """Bind the attached volume at the staging path."""
        name = requests.required(request.volume_id, "volume_id")
        staging = self._path(request.staging_target_path, "staging_target_path")
        capability = requests.capability_of(request, self._host.fs_type)
        source = self._source(name)
        self._attached(name)
        self._give(name, capability)
        with self._host.node_lock.hold():
            device = self._attached(name)
            read_only = requests.reads_only(capability) or mounts.is_read_only(device)
            if self._host.live(name).staged.get(staging, read_only) != read_only:
                raise AlreadyExists(f"volume {name!r} is staged at {staging} {requests.access(not read_only)}")
            with self._noted(name, staged={staging: read_only}):
                faults.point("vfs-stage-noted")
                binding.show(source, device, staging, requests.mount_options(capability, read_only=read_only))
        return pb.NodeStageVolumeResponse()

    def NodeUnstageVolume(self, request: pb.NodeUnstageVolumeRequest, _: Context) -> pb.NodeUnstageVolumeResponse:
        """Undo that; not staged is success. The directory is the orchestrator's and stays."""
        name = requests.required(request.volume_id, "volume_id")
        self._host.volumes.path(name)
        staging = self._path(request.staging_target_path, "staging_target_path")
        with self._host.node_lock.hold():
            self._hide(name, staging)
            faults.point("vfs-unstage-unmounted")
            self._forget(name, staging)
        return pb.NodeUnstageVolumeResponse()

    def NodePublishVolume(self, request: pb.NodePublishVolumeRequest, _: Context) -> pb.NodePublishVolumeResponse:
        """Bind the staged volume at the target path, which is made; without a staging path, through MNT/NAME."""
        name = requests.required(request.volume_id, "volume_id")
        target = self._path(request.target_path, "target_path")
        capability = requests.capability_of(request, self._host.fs_type)
        source = self._source(name)
        staging = request.staging_target_path and self._path(request.staging_target_path, "staging_target_path")
        self._staged(name, staging) if staging else self._attached(name)
        self._give(name, capability)
        with self._host.node_lock.hold(), self._origin(name, staging) as origin:
            read_only = request.readonly or requests.reads_only(capability) or mounts.is_read_only(origin)
            live = self._host.live(name)
            if target in live.targets and mounts.is_read_only(target) != read_only:
                raise AlreadyExists(f"volume {name!r} is published at {target} {requests.access(not read_only)}")
            _refuse_second_writer(name, live, target, capability.access_mode.mode)
            with self._noted(name, targets={target: int(capability.access_mode.mode)}):
                faults.point("vfs-publish-noted")
                binding.show(source, origin, target, requests.mount_options(capability, read_only=read_only))
        return pb.NodePublishVolumeResponse()

    def NodeUnpublishVolume(self, request: pb.NodeUnpublishVolumeRequest, _: Context) -> pb.NodeUnpublishVolumeResponse:
        """Undo that, and remove the target's directory; not published is success, and touches nothing."""
        name = requests.required(request.volume_id, "volume_id")
        self._host.volumes.path(name)
        target = self._path(request.target_path, "target_path")
        with self._host.node_lock.hold():
            if self._hide(name, target) or target in self._host.record(name).targets:
                faults.point("vfs-unpublish-unmounted")
                binding.remove_empty(target)
                self._forget(name, target)
            self._drop_private_mount(name)
        return pb.NodeUnpublishVolumeResponse()

    def NodeGetVolumeStats(self, request: pb.NodeGetVolumeStatsRequest, _: Context) -> pb.NodeGetVolumeStatsResponse:
        """Bytes and inodes of the filesystem that the volume's directory is on."""
        name = requests.required(request.volume_id, "volume_id")
        path = requests.required(request.volume_path, "volume_path")
        self._mounted(name, path)
        facts = os.statvfs(path)
        unit = facts.f_frsize
        return pb.NodeGetVolumeStatsResponse(
            usage=[
                pb.VolumeUsage(
                    unit=pb.VolumeUsage.BYTES,
                    total=facts.f_blocks * unit,
                    available=facts.f_bavail * unit,
                    used=(facts.f_blocks - facts.f_bfree) * unit,
                ),
                pb.VolumeUsage(
                    unit=pb.VolumeUsage.INODES,
                    total=facts.f_files,
                    available=facts.f_favail,
                    used=facts.f_files - facts.f_ffree,
                ),
            ]
        )

    def NodeExpandVolume(self, request: pb.NodeExpandVolumeRequest, _: Context) -> pb.NodeExpandVolumeResponse:
        """A directory needs nothing done to it; the capacity is the one that the controller noted."""
        name = requests.required(request.volume_id, "volume_id")
        self._mounted(name, requests.required(request.volume_path, "volume_path"))
        return pb.NodeExpandVolumeResponse(capacity_bytes=self._host.volumes.find(name).capacity_bytes)

    def NodeGetVolumeHealth(self, request: pb.NodeGetVolumeHealthRequest, _: Context) -> pb.NodeGetVolumeHealthResponse:
        """What is wrong with one volume, mounted or not."""
        name = requests.required(request.volume_id, "volume_id")
        self._source(name)
        return pb.NodeGetVolumeHealthResponse(volume_health=health.of_volume(self._host, name))

    def NodeGetStorageHealth(
        self, request: pb.NodeGetStorageHealthRequest, _: Context
    ) -> pb.NodeGetStorageHealthResponse:
        """What is wrong with the storage below all volumes."""
        return pb.NodeGetStorageHealthResponse(backend_health=list(health.of_storage(self._host)))

    def _source(self, name: str) -> Path:
        """The volume's directory; ``NotFound`` if there is no such volume."""
        self._host.volumes.find(name)
        return self._host.volumes.path(name)

    def _path(self, path: str, field: str) -> str:
        return binding.outside_path(path, field, self._host.roots)

    def _attached(self, name: str) -> Path:
        """Where the volume is attached; ``NotReady`` if it is not."""
        device = self._host.dev / name
        if not binding.is_shown(self._host.volumes.path(name), device):
            raise NotReady(f"volume {name!r} is not attached to this node: ControllerPublishVolume comes first")
        return device

    def _staged(self, name: str, path: str) -> None:
        """``NotReady`` unless the volume is staged at the path."""
        if not binding.is_shown(self._host.volumes.path(name), path):
            raise NotReady(f"volume {name!r} is not staged at {path}: NodeStageVolume comes first")

    @contextmanager
    def _origin(self, name: str, staging: str) -> Iterator[str]:
        """Where the volume is staged; without a staging path that is MNT/NAME, undone on failure."""
        if staging:
            self._staged(name, staging)
            yield staging
            return
        device = self._attached(name)
        read_only = mounts.is_read_only(device)
        private = str(self._host.mnt / name)
        with self._noted(name, staged={private: read_only}):
            binding.show(self._source(name), device, private, ("ro",) if read_only else ("rw",))
        try:
            yield private
        except BaseException:
            self._drop_private_mount(name)
            raise

    def _drop_private_mount(self, name: str) -> None:
        """Undo that when nothing is published any more."""
        private = str(self._host.mnt / name)
        if private in self._host.record(name).staged and not self._host.live(name).targets:
            self._hide(name, private)
            binding.remove_empty(private)
            self._forget(name, private)

    def _mounted(self, name: str, path: str) -> None:
        """``NotFound`` unless the volume exists and is mounted at the path."""
        source = self._source(name)
        with suppress(OSError, ValueError):
            if os.path.isabs(path) and binding.is_shown(source, path):
                return
        raise NotFound(f"volume {name!r} is not mounted at {path!r}")

    def _give(self, name: str, capability: pb.VolumeCapability) -> None:
        """Give the volume to the capability's group, if it has one; outside of the lock, for it can take long."""
        if capability.mount.volume_mount_group:
            with self._host.volumes.reading(name) as source:
                give_to_group(source, capability.mount.volume_mount_group)

    @contextmanager
    def _noted(
        self, name: str, *, staged: Mapping[str, bool] = EMPTY, targets: Mapping[str, int] = EMPTY
    ) -> Iterator[None]:
        """Note mounts that are about to be made; the record is as before if that fails."""
        before = self._host.record(name)
        after = NodeMeta(staged={**before.staged, **staged}, targets={**before.targets, **targets})
        if after != before:
            self._host.keep(name, after)
        try:
            yield
        except BaseException:
            self._host.keep(name, before)
            raise

    def _forget(self, name: str, path: str) -> None:
        """Note that nothing is mounted at the path any more."""
        before = self._host.record(name)
        after = NodeMeta(staged=_without(before.staged, path), targets=_without(before.targets, path))
        if after != before:
            self._host.keep(name, after)

    def _hide(self, name: str, path: str) -> bool:
        """Unmount the volume from the path; False if nothing is mounted, ``InUse`` if something else is."""
        hidden = False
        while mounts.is_mount_point(path):
            if not mounts.is_bound(self._host.volumes.path(name), path):
                live = self._host.live(name)
                if path not in live.staged and path not in live.targets:
                    raise InUse(f"{path} has something else mounted than volume {name!r}: it is left alone")
            mounts.unmount(path)
            hidden = True
        return hidden


def _refuse_second_writer(name: str, live: NodeMeta, target: str, mode: int) -> None:
    others = [path for path in live.targets if path != target]
    if others and (mode == _Single or _Single in live.targets.values()):
        raise NotReady(f"volume {name!r} has a single writer at {', '.join(others)}: unpublish it there first")


def _without(paths: Mapping[str, T], path: str) -> dict[str, T]:
    return {key: value for key, value in paths.items() if key != path}
