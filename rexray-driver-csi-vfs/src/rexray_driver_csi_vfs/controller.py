"""CSI's Controller service: volumes; :mod:`attaching`, :mod:`snapshots` and :mod:`health` have the rest of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.paging import page
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, OutOfCapacity
from rexray_driver_csi_vfs import requests
from rexray_driver_csi_vfs.attaching import AttachCalls
from rexray_driver_csi_vfs.copying import copy_tree
from rexray_driver_csi_vfs.driver import CONTROLLER_CAPABILITIES
from rexray_driver_csi_vfs.health import HealthCalls
from rexray_driver_csi_vfs.host import Host
from rexray_driver_csi_vfs.model import VolumeMeta
from rexray_driver_csi_vfs.ownership import apply_parameters
from rexray_driver_csi_vfs.snapshots import SnapshotCalls

Context = grpc.ServicerContext
_Capability = pb.ControllerServiceCapability


class Controller(AttachCalls, SnapshotCalls, HealthCalls):
    """Volumes are directories; a volume's id is its name."""

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
        if request.HasField("volume_content_source"):
            requests.check_source(request.volume_content_source)
        wanted = VolumeMeta(
            parameters=requests.parameters(request.parameters, "parameter"),
            mutable=requests.parameters(request.mutable_parameters, "mutable parameter"),
            source_volume=request.volume_content_source.volume.volume_id,
            source_snapshot=request.volume_content_source.snapshot.snapshot_id,
        )
        if not self._volumes.exists(name):
            size = self._capacity(request.capacity_range, at_least=self._source_size(wanted))
            fresh = replace(wanted, capacity_bytes=size)
            if self._volumes.create(name, fresh, lambda folder: self._fill(folder, fresh, context.time_remaining())):
                return pb.CreateVolumeResponse(volume=self._describe(name, fresh))
        return pb.CreateVolumeResponse(volume=self._existing(name, wanted, request.capacity_range))

    def DeleteVolume(self, request: pb.DeleteVolumeRequest, _: Context) -> pb.DeleteVolumeResponse:
        """Delete the directory; one that is attached or mounted is in use."""
        name = requests.required(request.volume_id, "volume_id")
        self._volumes.remove(name, guard=self._unused(name))
        return pb.DeleteVolumeResponse()

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
            apply_parameters(self._volumes.path(name), changes)
            self._volumes.save(name, replace(meta, mutable={**meta.mutable, **changes}), durable=True)
        return pb.ControllerModifyVolumeResponse()

    def ControllerExpandVolume(
        self, request: pb.ControllerExpandVolumeRequest, _: Context
    ) -> pb.ControllerExpandVolumeResponse:
        """Note a larger capacity; a volume never shrinks, and its node has nothing to do."""
        name = requests.required(request.volume_id, "volume_id")
        asked = request.capacity_range
        if not (asked.required_bytes or asked.limit_bytes):
            raise InvalidRequest("capacity_range is missing")
        with self._volumes.lock():
            meta = self._volumes.find(name)
            now, largest = meta.capacity_bytes, self._host.size()[1]
            size = requests.capacity(asked, at_least=now, largest=largest, default=now)
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

    @contextlib.contextmanager
    def _unused(self, name: str) -> Iterator[None]:
        """Keep a volume from being attached and mounted; ``InUse`` if it is. It is deleted meanwhile."""
        with self._host.node_lock.hold(), self._volumes.lock():
            if self._volumes.exists(name):
                if nodes := ", ".join(self._volumes.find(name).published):
                    raise InUse(f"volume {name!r} is attached to {nodes}: detach it first")
                self._host.refuse_if_mounted(name)
            yield
            self._host.nodes.forget(name)

    def _existing(self, name: str, wanted: VolumeMeta, range_: pb.CapacityRange) -> pb.Volume:
        """The volume if it is what was asked for.

        A directory that somebody put there has no capacity noted: the one that is asked for becomes its.
        """
        with self._volumes.lock():
            meta = self._volumes.find(name)
            asked = (wanted.parameters, wanted.source_volume, wanted.source_snapshot)
            if (meta.parameters, meta.source_volume, meta.source_snapshot) != asked:
                raise AlreadyExists(
                    f"volume {name!r} exists with {_origin(meta)}, and was asked for with {_origin(wanted)}"
                )
            if not meta.capacity_bytes:
                meta = replace(meta, capacity_bytes=self._capacity(range_, at_least=0))
                self._volumes.save(name, meta, durable=True)
        if not requests.fits(meta.capacity_bytes, range_):
            raise AlreadyExists(
                f"volume {name!r} exists with {meta.capacity_bytes} bytes, and was asked for with "
                f"{range_.required_bytes} to {range_.limit_bytes or 'any number of'}"
            )
        return self._describe(name, meta)

    def _capacity(self, wanted: pb.CapacityRange, *, at_least: int) -> int:
        return requests.capacity(wanted, at_least=at_least, largest=self._host.size()[1])

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
        apply_parameters(folder, {**wanted.parameters, **wanted.mutable})

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


def _origin(meta: VolumeMeta) -> str:
    source = meta.source_volume and f"volume {meta.source_volume!r}"
    source = source or (meta.source_snapshot and f"snapshot {meta.source_snapshot!r}") or "nothing"
    return f"parameters {dict(meta.parameters)} copied from {source}"
