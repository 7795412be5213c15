"""CSI's Controller service: volumes, and their attachment to this host."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import grpc

from rexray import faults, mounts
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, OutOfCapacity, RexrayError
from rexray_driver_csi_vfs import health, requests
from rexray_driver_csi_vfs.copying import copy_tree
from rexray_driver_csi_vfs.driver import CONTROLLER_CAPABILITIES
from rexray_driver_csi_vfs.host import Host
from rexray_driver_csi_vfs.model import VolumeMeta
from rexray_driver_csi_vfs.paging import page
from rexray_driver_csi_vfs.snapshots import SnapshotCalls

Context = grpc.ServicerContext
_Capability = pb.ControllerServiceCapability


class Controller(SnapshotCalls):
    """Volumes are directories; attaching one binds it at ``DEV/NAME``. A volume's id is its name."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._volumes = host.volumes

    def ControllerGetCapabilities(
        self, request: pb.ControllerGetCapabilitiesRequest, _: Context
    ) -> pb.ControllerGetCapabilitiesResponse:
        """What this service can do."""
        return pb.ControllerGetCapabilitiesResponse(
            capabilities=[_Capability(rpc=_Capability.RPC(type=name)) for name in CONTROLLER_CAPABILITIES]
        )

    def CreateVolume(self, request: pb.CreateVolumeRequest, context: Context) -> pb.CreateVolumeResponse:
        """The volume of that name, made if it is missing, as a copy where a source is named."""
        name = requests.required(request.name, "name")
        self._volumes.path(name)
        if not request.volume_capabilities:
            raise InvalidRequest("volume_capabilities is missing")
        for capability in request.volume_capabilities:
            requests.check_capability(capability, self._host.fs_type)
        requests.check_topology(request.accessibility_requirements, self._host.topology)
        wanted = VolumeMeta(
            parameters=requests.parameters(request.parameters, "parameter"),
            mutable=requests.parameters(request.mutable_parameters, "mutable parameter"),
            source_volume=request.volume_content_source.volume.volume_id,
            source_snapshot=request.volume_content_source.snapshot.snapshot_id,
        )
        if self._volumes.exists(name):
            return pb.CreateVolumeResponse(volume=self._existing(name, wanted, request.capacity_range))
        at_least = self._source_size(wanted)
        largest = self._host.size()[1]
        size = requests.capacity(request.capacity_range, at_least=at_least, largest=largest)
        wanted = replace(wanted, capacity_bytes=size)
        self._volumes.create(name, wanted, lambda folder: self._fill(folder, wanted, context.time_remaining()))
        return pb.CreateVolumeResponse(volume=self._describe(name, wanted))

    def DeleteVolume(self, request: pb.DeleteVolumeRequest, _: Context) -> pb.DeleteVolumeResponse:
        """Delete the directory; one that is attached or mounted is in use."""
        name = requests.required(request.volume_id, "volume_id")
        with self._host.node_lock.hold(), self._volumes.lock():
            if self._volumes.exists(name):
                if nodes := ", ".join(self._volumes.find(name).published):
                    raise InUse(f"volume {name!r} is attached to {nodes}: detach it first")
                self._host.refuse_if_mounted(name)
                self._host.nodes.forget(name)
        self._volumes.remove(name)
        return pb.DeleteVolumeResponse()

    def ControllerPublishVolume(
        self, request: pb.ControllerPublishVolumeRequest, _: Context
    ) -> pb.ControllerPublishVolumeResponse:
        """Bind the volume at ``DEV/NAME``, which the publish context names."""
        name = requests.required(request.volume_id, "volume_id")
        node = requests.required(request.node_id, "node_id")
        if not request.HasField("volume_capability"):
            raise InvalidRequest("volume_capability is missing")
        requests.check_capability(request.volume_capability, self._host.fs_type)
        read_only = request.readonly
        with self._volumes.lock():
            meta = self._volumes.find(name)
            if node != self._host.node_id:
                raise NotFound(f"node {node!r} does not exist: this host is {self._host.node_id!r}")
            before = meta.published.get(node)
            if before is not None and before != read_only:
                raise AlreadyExists(
                    f"volume {name!r} is attached {_access(before)} and was asked for {_access(read_only)}"
                )
            if before is None:
                self._check_limit(name)
                self._volumes.save(name, replace(meta, published={node: read_only}))
            faults.point("vfs-attach-noted")
            try:
                device = self._bind(name, read_only)
            except (RexrayError, OSError):
                self._volumes.save(name, meta)
                raise
        return pb.ControllerPublishVolumeResponse(publish_context={"path": str(device)})

    def ControllerUnpublishVolume(
        self, request: pb.ControllerUnpublishVolumeRequest, _: Context
    ) -> pb.ControllerUnpublishVolumeResponse:
        """Undo that; not attached, or no such volume, is success."""
        name = requests.required(request.volume_id, "volume_id")
        self._volumes.path(name)
        if request.node_id in ("", self._host.node_id):
            with self._host.node_lock.hold(), self._volumes.lock():
                self._host.refuse_if_mounted(name)
                device = self._host.dev / name
                while mounts.is_mount_point(device):
                    mounts.unmount(device)
                faults.point("vfs-detach-unmounted")
                with contextlib.suppress(FileNotFoundError):
                    device.rmdir()
                if self._volumes.exists(name) and (meta := self._volumes.find(name)).published:
                    self._volumes.save(name, replace(meta, published={}))
        return pb.ControllerUnpublishVolumeResponse()

    def ValidateVolumeCapabilities(
        self, request: pb.ValidateVolumeCapabilitiesRequest, _: Context
    ) -> pb.ValidateVolumeCapabilitiesResponse:
        """Whether the volume can be used so."""
        self._volumes.find(requests.required(request.volume_id, "volume_id"))
        if not request.volume_capabilities:
            raise InvalidRequest("volume_capabilities is missing")
        try:
            for capability in request.volume_capabilities:
                requests.check_capability(capability, self._host.fs_type)
            requests.parameters(request.parameters, "parameter")
            requests.parameters(request.mutable_parameters, "mutable parameter")
        except InvalidRequest as error:
            return pb.ValidateVolumeCapabilitiesResponse(message=str(error))
        return pb.ValidateVolumeCapabilitiesResponse(
            confirmed=pb.ValidateVolumeCapabilitiesResponse.Confirmed(
                volume_context=request.volume_context,
                volume_capabilities=request.volume_capabilities,
                parameters=request.parameters,
                mutable_parameters=request.mutable_parameters,
            )
        )

    def ListVolumes(self, request: pb.ListVolumesRequest, _: Context) -> pb.ListVolumesResponse:
        """A page of volumes, by name, with the nodes that they are attached to."""
        names, token = page(self._volumes.names(), request.starting_token, request.max_entries)
        entries = []
        for name in names:
            with contextlib.suppress(NotFound):  # deleted since the names were read
                meta = self._volumes.find(name)
                status = pb.ListVolumesResponse.VolumeStatus(published_node_ids=list(meta.published))
                entries.append(pb.ListVolumesResponse.Entry(volume=self._describe(name, meta), status=status))
        return pb.ListVolumesResponse(entries=entries, next_token=token)

    def ControllerGetVolume(self, request: pb.ControllerGetVolumeRequest, _: Context) -> pb.ControllerGetVolumeResponse:
        """One volume."""
        name = requests.required(request.volume_id, "volume_id")
        meta = self._volumes.find(name)
        status = pb.ControllerGetVolumeResponse.VolumeStatus(published_node_ids=list(meta.published))
        return pb.ControllerGetVolumeResponse(volume=self._describe(name, meta), status=status)

    def ControllerModifyVolume(
        self, request: pb.ControllerModifyVolumeRequest, _: Context
    ) -> pb.ControllerModifyVolumeResponse:
        """Change permissions and owner of the directory."""
        name = requests.required(request.volume_id, "volume_id")
        changes = requests.parameters(request.mutable_parameters, "mutable parameter")
        with self._volumes.lock():
            meta = self._volumes.find(name)
            self._volumes.save(name, replace(meta, mutable={**meta.mutable, **changes}), durable=True)
            _apply(self._volumes.path(name), changes)
        return pb.ControllerModifyVolumeResponse()

    def ControllerExpandVolume(
        self, request: pb.ControllerExpandVolumeRequest, _: Context
    ) -> pb.ControllerExpandVolumeResponse:
        """Note a larger capacity; a volume never shrinks, and its node has nothing to do."""
        name = requests.required(request.volume_id, "volume_id")
        if not request.HasField("capacity_range"):
            raise InvalidRequest("capacity_range is missing")
        with self._volumes.lock():
            meta = self._volumes.find(name)
            size = requests.capacity(request.capacity_range, at_least=meta.capacity_bytes, largest=self._host.size()[1])
            if size != meta.capacity_bytes:
                self._volumes.save(name, replace(meta, capacity_bytes=size), durable=True)
        return pb.ControllerExpandVolumeResponse(capacity_bytes=size)

    def GetCapacity(self, request: pb.GetCapacityRequest, _: Context) -> pb.GetCapacityResponse:
        """The free bytes of the filesystem; none for what cannot be had here."""
        free, total = self._host.size()
        try:
            for capability in request.volume_capabilities:
                requests.check_capability(capability, self._host.fs_type)
            requests.parameters(request.parameters, "parameter")
            requests.check_topology(
                pb.TopologyRequirement(requisite=[request.accessible_topology]), self._host.topology
            )
        except (InvalidRequest, OutOfCapacity):
            return pb.GetCapacityResponse()
        answer = pb.GetCapacityResponse(available_capacity=free)
        answer.maximum_volume_size.value = total
        answer.minimum_volume_size.value = 1
        return answer

    def ControllerGetVolumeHealth(
        self, request: pb.ControllerGetVolumeHealthRequest, _: Context
    ) -> pb.ControllerGetVolumeHealthResponse:
        """What is wrong with one volume."""
        name = requests.required(request.volume_id, "volume_id")
        self._volumes.find(name)
        return pb.ControllerGetVolumeHealthResponse(volume_health=health.of_volume(self._host, name))

    def ControllerListVolumeHealth(
        self, request: pb.ControllerListVolumeHealthRequest, _: Context
    ) -> pb.ControllerListVolumeHealthResponse:
        """The volumes of a page that something is wrong with."""
        names, token = page(self._volumes.names(), request.starting_token, request.max_entries)
        found = [health.of_volume(self._host, name) for name in names]
        return pb.ControllerListVolumeHealthResponse(
            entries=[entry for entry in found if entry.health_statuses], next_token=token
        )

    def _existing(self, name: str, wanted: VolumeMeta, range_: pb.CapacityRange) -> pb.Volume:
        """The volume if it is what was asked for."""
        meta = self._volumes.find(name)
        asked = (wanted.parameters, wanted.source_volume, wanted.source_snapshot)
        if (meta.parameters, meta.source_volume, meta.source_snapshot) != asked:
            raise AlreadyExists(
                f"volume {name!r} exists with {_origin(meta)}, and was asked for with {_origin(wanted)}"
            )
        if not requests.fits(meta.capacity_bytes, range_):
            raise AlreadyExists(
                f"volume {name!r} exists with {meta.capacity_bytes} bytes, and was asked for with "
                f"{range_.required_bytes} to {range_.limit_bytes or 'any number of'}"
            )
        return self._describe(name, meta)

    def _source_size(self, wanted: VolumeMeta) -> int:
        if wanted.source_volume:
            return self._volumes.find(wanted.source_volume).capacity_bytes
        if wanted.source_snapshot:
            return self._host.snapshots.find(wanted.source_snapshot).size_bytes
        return 0

    def _fill(self, folder: Path, wanted: VolumeMeta, seconds: float | None) -> None:
        if wanted.source_volume:
            with self._volumes.reading(wanted.source_volume) as source:
                copy_tree(source, folder, seconds=seconds)
        elif wanted.source_snapshot:
            with self._host.snapshots.reading(wanted.source_snapshot) as source:
                copy_tree(source, folder, seconds=seconds)
        _apply(folder, {**wanted.parameters, **wanted.mutable})

    def _check_limit(self, name: str) -> None:
        limit = self._host.max_volumes
        if limit and sum(other != name for other in os.listdir(self._host.dev)) >= limit:
            raise OutOfCapacity(f"node {self._host.node_id!r} has {limit} volumes attached, as many as it may")

    def _bind(self, name: str, read_only: bool) -> Path:
        device = self._host.dev / name
        device.mkdir(exist_ok=True, mode=0o700)
        try:
            mounts.bind(self._volumes.path(name), device, options=("ro",) if read_only else ("rw",))
        except RexrayError:
            with contextlib.suppress(OSError):
                device.rmdir()
            raise
        return device

    def _describe(self, name: str, meta: VolumeMeta) -> pb.Volume:
        volume = pb.Volume(
            volume_id=name,
            capacity_bytes=meta.capacity_bytes,
            accessible_topology=[pb.Topology(segments=self._host.topology)],
        )
        if meta.source_volume:
            volume.content_source.volume.volume_id = meta.source_volume
        elif meta.source_snapshot:
            volume.content_source.snapshot.snapshot_id = meta.source_snapshot
        return volume


def _apply(folder: Path, parameters: Mapping[str, str]) -> None:
    """Give a directory its owner and permissions."""
    try:
        if "uid" in parameters or "gid" in parameters:
            os.chown(folder, int(parameters.get("uid", -1)), int(parameters.get("gid", -1)), follow_symlinks=False)
        if "mode" in parameters:
            os.chmod(folder, int(parameters["mode"].removeprefix("0o"), 8))
    except PermissionError as error:
        raise InvalidRequest(f"parameters uid, gid: this process may not change the owner: {error.strerror}") from None


def _access(read_only: bool) -> str:
    return "read-only" if read_only else "read-write"


def _origin(meta: VolumeMeta) -> str:
    source = meta.source_volume and f"volume {meta.source_volume!r}"
    source = source or (meta.source_snapshot and f"snapshot {meta.source_snapshot!r}") or "nothing"
    return f"parameters {dict(meta.parameters)} copied from {source}"
