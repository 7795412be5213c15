"""CSI's Node service: making attached volumes visible at the paths that an orchestrator names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import grpc

from rexray import faults, mounts
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, NotReady
from rexray_driver_csi_vfs import health, requests
from rexray_driver_csi_vfs.driver import NODE_CAPABILITIES
from rexray_driver_csi_vfs.host import Host
from rexray_driver_csi_vfs.model import NodeMeta
from rexray_driver_csi_vfs.ownership import give_to_group

Context = grpc.ServicerContext
T = TypeVar("T")
_Capability = pb.NodeServiceCapability
_Single = pb.VolumeCapability.AccessMode.SINGLE_NODE_SINGLE_WRITER


class Node:
    """Every path is a bind mount: DEV/NAME → staging path → target path."""

    def __init__(self, host: Host) -> None:
        self._host = host

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
        staging = _absolute(request.staging_target_path, "staging_target_path")
        capability = requests.capability_of(request)
        requests.check_capability(capability, self._host.fs_type)
        with self._host.node_lock.hold():
            source = self._source(name)
            device = self._attached(name)
            read_only = _reads_only(capability) or mounts.is_read_only(device)
            live = self._host.live(name)
            if live.staged.get(staging, read_only) != read_only:
                raise AlreadyExists(f"volume {name!r} is staged at {staging} with the other access")
            _give(source, capability)
            self._host.nodes.save(name, replace(live, staged={**live.staged, staging: read_only}))
            faults.point("vfs-stage-noted")
            self._show(source, device, staging, _options(capability, read_only=read_only))
        return pb.NodeStageVolumeResponse()

    def NodeUnstageVolume(self, request: pb.NodeUnstageVolumeRequest, _: Context) -> pb.NodeUnstageVolumeResponse:
        """Undo that; not staged is success. The directory is the orchestrator's and stays."""
        name = requests.required(request.volume_id, "volume_id")
        staging = _absolute(request.staging_target_path, "staging_target_path")
        with self._host.node_lock.hold():
            self._hide(name, staging)
            self._keep(name, replace(live := self._host.live(name), staged=_without(live.staged, staging)))
        return pb.NodeUnstageVolumeResponse()

    def NodePublishVolume(self, request: pb.NodePublishVolumeRequest, _: Context) -> pb.NodePublishVolumeResponse:
        """Bind the staged volume at the target path, which is made; without a staging path, through MNT/NAME."""
        name = requests.required(request.volume_id, "volume_id")
        target = _absolute(request.target_path, "target_path")
        capability = requests.capability_of(request)
        requests.check_capability(capability, self._host.fs_type)
        with self._host.node_lock.hold():
            source = self._source(name)
            staging = self._staging(name, source, request.staging_target_path)
            read_only = request.readonly or _reads_only(capability) or mounts.is_read_only(staging)
            live = self._host.live(name)
            if target in live.targets and mounts.is_read_only(target) != read_only:
                raise AlreadyExists(f"volume {name!r} is published at {target} with the other access")
            _refuse_second_writer(name, live, target, capability.access_mode.mode)
            _give(source, capability)
            targets = {**live.targets, target: int(capability.access_mode.mode)}
            self._host.nodes.save(name, replace(live, targets=targets))
            faults.point("vfs-publish-noted")
            self._show(source, staging, target, _options(capability, read_only=read_only))
        return pb.NodePublishVolumeResponse()

    def NodeUnpublishVolume(self, request: pb.NodeUnpublishVolumeRequest, _: Context) -> pb.NodeUnpublishVolumeResponse:
        """Undo that, and remove the target's directory; not published is success."""
        name = requests.required(request.volume_id, "volume_id")
        target = _absolute(request.target_path, "target_path")
        with self._host.node_lock.hold():
            self._hide(name, target)
            faults.point("vfs-unpublish-unmounted")
            _remove_empty(target)
            live = self._host.live(name)
            left = replace(live, targets=_without(live.targets, target))
            private = str(self._host.mnt / name)
            if not left.targets and mounts.is_mount_point(private):
                self._hide(name, private)
                _remove_empty(private)
                left = replace(left, staged=_without(left.staged, private))
            self._keep(name, left)
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

    def _attached(self, name: str) -> Path:
        """Where the volume is attached; ``NotReady`` if it is not."""
        device = self._host.dev / name
        if not mounts.is_bound(self._host.volumes.path(name), device):
            raise NotReady(f"volume {name!r} is not attached to this node: ControllerPublishVolume comes first")
        return device

    def _staging(self, name: str, source: Path, path: str) -> str:
        """Where the volume is staged, after making sure that it is."""
        if not path:
            private = str(self._host.mnt / name)
            device = self._attached(name)
            read_only = mounts.is_read_only(device)
            live = self._host.live(name)
            self._host.nodes.save(name, replace(live, staged={**live.staged, private: read_only}))
            self._show(source, device, private, ("ro",) if read_only else ("rw",))
            return private
        staging = _absolute(path, "staging_target_path")
        if not mounts.is_bound(source, staging):
            raise NotReady(f"volume {name!r} is not staged at {staging}: NodeStageVolume comes first")
        return staging

    def _mounted(self, name: str, path: str) -> None:
        """``NotFound`` unless the volume exists and is mounted at the path."""
        if not os.path.isabs(path) or not mounts.is_bound(self._source(name), path):
            raise NotFound(f"volume {name!r} is not mounted at {path!r}")

    def _show(self, source: Path, origin: str | Path, target: str, options: tuple[str, ...]) -> None:
        """Bind the origin at the target; what was made is undone when that fails."""
        if not mounts.is_bound(source, target) and mounts.is_mount_point(target):
            raise InUse(f"{target} has something else mounted at it: unmount that first")
        made = _make_directory(target)
        try:
            mounts.bind(origin, target, options=options)
        except Exception:
            if made:
                _remove_empty(target)
            raise

    def _hide(self, name: str, target: str) -> None:
        """Unmount the volume from the target; ``InUse`` if what is mounted there is something else."""
        while mounts.is_mount_point(target):
            source = self._host.volumes.path(name)
            if source.exists() and not mounts.is_bound(source, target):
                raise InUse(f"{target} has something else mounted than volume {name!r}: it is left alone")
            mounts.unmount(target)

    def _keep(self, name: str, meta: NodeMeta) -> None:
        if meta.staged or meta.targets:
            self._host.nodes.save(name, meta)
        else:
            self._host.nodes.forget(name)


def _absolute(path: str, field: str) -> str:
    requests.required(path, field)
    if not os.path.isabs(path) or "\0" in path:
        raise InvalidRequest(f"{field} {path!r} is not an absolute path")
    return os.path.normpath(path)


def _reads_only(capability: pb.VolumeCapability) -> bool:
    return capability.access_mode.mode in requests.READ_ONLY_MODES


def _options(capability: pb.VolumeCapability, *, read_only: bool) -> tuple[str, ...]:
    flags = tuple(capability.mount.mount_flags)
    mounts.parse_options(flags)
    return (*flags, "ro" if read_only else "rw")


def _give(source: Path, capability: pb.VolumeCapability) -> None:
    if capability.mount.volume_mount_group:
        give_to_group(source, capability.mount.volume_mount_group)


def _refuse_second_writer(name: str, live: NodeMeta, target: str, mode: int) -> None:
    others = [path for path in live.targets if path != target]
    if others and (mode == _Single or _Single in live.targets.values()):
        raise NotReady(f"volume {name!r} has a single writer at {', '.join(others)}: unpublish it there first")


def _without(paths: Mapping[str, T], path: str) -> dict[str, T]:
    return {key: value for key, value in paths.items() if key != path}


def _make_directory(path: str) -> bool:
    try:
        os.mkdir(path, 0o750)
    except FileExistsError:
        if os.path.islink(path) or not os.path.isdir(path):
            raise InvalidRequest(f"{path} exists and is not a directory") from None
        return False
    except FileNotFoundError:
        raise InvalidRequest(f"{path}: its parent directory does not exist: the orchestrator makes that") from None
    return True


def _remove_empty(path: str) -> None:
    """Remove an empty directory; what has something in it is not ours to delete."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InUse(f"{path} is not mounted and cannot be removed: {error.strerror}") from None
