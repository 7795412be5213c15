"""CSI's Node service of the bridge: attached volumes staged and published on this host, as filesystems or devices."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping
from pathlib import Path

import grpc

from rexray import faults
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge import abilities, words
from rexray.csi.bridge.nodehealth import NodeHealthCalls
from rexray.csi.bridge.staged import Staged, StagedVolumes
from rexray.csi.mountgroup import give_to_group
from rexray.drivers import NodeDriver, OSDriver, StorageDriver, Topology
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, NotReady
from rexray.locks import Locks
from rexray.paths import Paths
from rexray.types import Device, Directory, Instance
from rexray.volumes.preparing import Preparer, ignore_in_use, undone_on_error
from rexray.volumes.settings import VolumeSettings

Context = grpc.ServicerContext
_Capability = pb.NodeServiceCapability
_SINGLE_WRITER = words.Modes.SINGLE_NODE_SINGLE_WRITER


class Node(NodeHealthCalls):
    """It needs no credentials: what it must know of an attachment is in the publish context."""

    def __init__(
        self,
        node: NodeDriver,
        os_driver: OSDriver,
        settings: VolumeSettings,
        paths: Paths,
        storage: type[StorageDriver],
    ) -> None:
        self._node = node
        self._os = os_driver
        self._settings = settings
        self._has_topology = issubclass(storage, Topology)
        locks = Locks(paths.run / "device-locks")
        self._preparer = Preparer(node, os_driver, locks, attach_timeout=settings.attach_timeout)
        self._staged = StagedVolumes(paths, node.name)

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

    def NodeStageVolume(self, request: pb.NodeStageVolumeRequest, _: Context) -> pb.NodeStageVolumeResponse:
        """Connect the device; for a mount, make a filesystem where it is blank, and mount it at the staging path."""
        volume_id = words.required(request.volume_id, "volume_id")
        staging = words.path_of(request.staging_target_path, "staging_target_path")
        capability = words.capability_of(request)
        access = capability.WhichOneof("access_type") or ""
        attachment = words.attachment_of(volume_id, self._instance, request.publish_context)
        read_only = words.reads_only(capability) or attachment.read_only
        with self._staged.lock(volume_id, "NodeStageVolume"):
            known = self._staged.find(volume_id)
            if known is not None:
                _refuse_other_staging(known, staging, access, read_only)
            context = dict(request.publish_context)
            staged = known or self._staged.begin(
                volume_id, context, staging=staging, access=access, read_only=read_only
            )
            faults.point("csi-stage-noted")
            with undone_on_error(lambda: self._take_back(staged) if known is None else None):
                source = self._preparer.connect(attachment)
                faults.point("csi-stage-connected")
                if access == "mount":
                    self._mount(source, staged, capability, request.volume_context)
        return pb.NodeStageVolumeResponse()

    def NodeUnstageVolume(self, request: pb.NodeUnstageVolumeRequest, _: Context) -> pb.NodeUnstageVolumeResponse:
        """Unmount and disconnect; not staged is success. The directory is the orchestrator's and stays."""
        volume_id = words.required(request.volume_id, "volume_id")
        staging = words.path_of(request.staging_target_path, "staging_target_path")
        with self._staged.lock(volume_id, "NodeUnstageVolume"):
            staged = self._staged.find(volume_id)
            if staged is None or staged.staging != staging:
                return pb.NodeUnstageVolumeResponse()
            if live := [path for path in staged.targets if self._os.mounted(Path(path))]:
                raise InUse(f"volume {volume_id!r} is published at {', '.join(live)}: unpublish it first")
            self._take_back(staged)
        return pb.NodeUnstageVolumeResponse()

    def NodePublishVolume(self, request: pb.NodePublishVolumeRequest, _: Context) -> pb.NodePublishVolumeResponse:
        """Bind the staged filesystem, or the device node, at the target path, which is made."""
        volume_id = words.required(request.volume_id, "volume_id")
        target = words.path_of(request.target_path, "target_path")
        staging = words.path_of(request.staging_target_path, "staging_target_path")
        capability = words.capability_of(request)
        with self._staged.lock(volume_id, "NodePublishVolume"):
            staged = self._staged.need(volume_id)
            if staged.staging != staging:
                raise NotReady(f"volume {volume_id!r} is staged at {staged.staging}, not at {staging}")
            if staged.access != capability.WhichOneof("access_type"):
                raise InvalidRequest(f"volume {volume_id!r} is staged with access type {staged.access}")
            _refuse_second_writer(staged, target, capability.access_mode.mode)
            read_only = request.readonly or words.reads_only(capability) or staged.record.read_only
            self._refuse_other_access(staged, target, read_only=read_only)
            source = self._source_of(staged, read_only=read_only)
            self._staged.keep(staged.with_targets({**staged.targets, target: int(capability.access_mode.mode)}))
            faults.point("csi-publish-noted")
            options = (*words.mount_flags(capability), "ro" if read_only else "rw")
            with undone_on_error(lambda: self._hide(staged, target) if target not in staged.targets else None):
                self._os.bind(source, Path(target), options=options)
                if capability.mount.volume_mount_group and not read_only:
                    give_to_group(Path(target), capability.mount.volume_mount_group)
        return pb.NodePublishVolumeResponse()

    def NodeUnpublishVolume(self, request: pb.NodeUnpublishVolumeRequest, _: Context) -> pb.NodeUnpublishVolumeResponse:
        """Undo that, and remove the target; not published is success, and touches nothing."""
        volume_id = words.required(request.volume_id, "volume_id")
        target = words.path_of(request.target_path, "target_path")
        with self._staged.lock(volume_id, "NodeUnpublishVolume"):
            staged = self._staged.find(volume_id)
            if staged is not None and target in staged.targets:
                self._hide(staged, target)
        return pb.NodeUnpublishVolumeResponse()

    def NodeGetVolumeStats(self, request: pb.NodeGetVolumeStatsRequest, _: Context) -> pb.NodeGetVolumeStatsResponse:
        """How full the filesystem is; of a device, its size."""
        volume_id = words.required(request.volume_id, "volume_id")
        staged = self._shown_at(volume_id, words.required(request.volume_path, "volume_path"))
        if staged.access == "block":
            size = self._os.device_size(self._device(staged))
            return pb.NodeGetVolumeStatsResponse(usage=[pb.VolumeUsage(unit=pb.VolumeUsage.BYTES, total=size)])
        stats = self._os.filesystem_stats(Path(request.volume_path))
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
        path = words.required(request.volume_path, "volume_path")
        with self._staged.lock(volume_id, "NodeExpandVolume"):
            staged = self._shown_at(volume_id, path)
            device = self._device(staged)
            if staged.access == "mount" and not staged.record.read_only:
                self._os.grow(device, Path(staged.staging))
            return pb.NodeExpandVolumeResponse(capacity_bytes=self._os.device_size(device))

    @functools.cached_property
    def _instance(self) -> Instance:
        return self._node.instance()

    def _mount(
        self, source: Device | Directory, staged: Staged, capability: pb.VolumeCapability, context: Mapping[str, str]
    ) -> None:
        own = tuple(option for option in context.get("mountoptions", "").split(",") if option)
        flags = (*own, *words.mount_flags(capability), *(["ro"] if staged.record.read_only else []))
        self._preparer.mount(
            source,
            Path(staged.staging),
            fs_type=capability.mount.fs_type,
            default_fs_type=context.get("fstype", self._settings.fs_type),
            options=flags,
        )

    def _source_of(self, staged: Staged, *, read_only: bool) -> Path:
        """What is shown at a target: the staging path when it really is the mount, or the device."""
        if staged.access == "block":
            if read_only and not staged.record.read_only:
                raise InvalidRequest("readonly: a device is only read-only where ControllerPublishVolume made it so")
            return self._device(staged).path
        if not self._os.mounts(target=Path(staged.staging)):
            raise NotReady(f"nothing is mounted at {staged.staging}: NodeStageVolume comes first")
        return Path(staged.staging)

    def _device(self, staged: Staged) -> Device:
        """The device of a staged volume, verified again to be its own."""
        attachment = words.attachment_of(staged.record.volume_id, self._instance, staged.publish_context)
        source = self._preparer.connect(attachment)
        if isinstance(source, Directory):
            raise InvalidRequest(f"volume {staged.record.volume_id!r} is a directory and has no device")
        return source

    def _shown_at(self, volume_id: str, path: str) -> Staged:
        """The staged volume; ``NotFound`` unless it is at that path."""
        staged = self._staged.find(volume_id)
        known = staged is not None and (path in staged.targets or (path == staged.staging))
        if staged is None or not known:
            raise NotFound(f"volume {volume_id!r} is not at {path!r} on this node")
        if staged.access == "mount" and not self._os.mounted(Path(path)):
            raise NotFound(f"volume {volume_id!r} is not mounted at {path!r}")
        return staged

    def _refuse_other_access(self, staged: Staged, target: str, *, read_only: bool) -> None:
        if target in staged.targets:
            for mount in self._os.mounts(target=Path(target)):
                if mount.read_only != read_only:
                    how = "read-only" if mount.read_only else "for writing"
                    raise AlreadyExists(f"volume {staged.record.volume_id!r} is published at {target} {how}")

    def _hide(self, staged: Staged, target: str) -> None:
        """Unmount a target, remove it, and forget it."""
        self._os.unmount(Path(target))
        faults.point("csi-unpublish-unmounted")
        with contextlib.suppress(FileNotFoundError):
            if os.path.isdir(target):
                os.rmdir(target)
            elif not os.stat(target).st_size:
                os.unlink(target)
        left = {path: mode for path, mode in staged.targets.items() if path != target}
        self._staged.keep(staged.with_targets(left))

    def _take_back(self, staged: Staged) -> None:
        """Unmount the staging path and disconnect; a device that somebody else here mounts stays connected."""
        if staged.access == "mount":
            self._os.unmount(Path(staged.staging))
        faults.point("csi-unstage-unmounted")
        attachment = words.attachment_of(staged.record.volume_id, self._instance, staged.publish_context)
        ignore_in_use(lambda: self._preparer.disconnect(attachment))
        faults.point("csi-unstage-disconnected")
        self._staged.forget(staged.record.volume_id)


def _refuse_other_staging(known: Staged, staging: str, access: str, read_only: bool) -> None:
    before = (known.staging, known.access, known.record.read_only)
    if before != (staging, access, read_only):
        how = "read-only" if known.record.read_only else "for writing"
        raise AlreadyExists(
            f"volume {known.record.volume_id!r} is staged at {known.staging} with access type {known.access}, {how}"
        )


def _refuse_second_writer(staged: Staged, target: str, mode: int) -> None:
    others = {path: other for path, other in staged.targets.items() if path != target}
    if others and (mode == _SINGLE_WRITER or _SINGLE_WRITER in others.values()):
        raise NotReady(f"volume {staged.record.volume_id!r} has a single writer at {', '.join(others)}")
