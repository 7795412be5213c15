"""The identity and controller services whose volumes are entries of a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from google.protobuf.wrappers_pb2 import BoolValue, Int64Value

from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import AlreadyExists, InvalidRequest, NotFound, StalePage

T = TypeVar("T")

_Controller = pb.ControllerServiceCapability


def page(items: Sequence[T], size: int, token: str) -> tuple[Sequence[T], str]:
    """A page of a list, and the token of the next one."""
    if token and not token.removeprefix("page-").isdecimal():
        raise StalePage(f"no such page: {token}")
    start = int(token.removeprefix("page-") or 0)
    end = start + size if size else len(items)
    return items[start:end], f"page-{end}" if end < len(items) else ""


class MemoryIdentity:
    """The identity service."""

    def GetPluginInfo(self, request: pb.GetPluginInfoRequest) -> pb.GetPluginInfoResponse:
        """Who it is."""
        return pb.GetPluginInfoResponse(name="memory.rexray.io", vendor_version="1.0", manifest={"kind": "test"})

    def GetPluginCapabilities(self, request: pb.GetPluginCapabilitiesRequest) -> pb.GetPluginCapabilitiesResponse:
        """Both controllers, and growth while in use."""
        service = pb.PluginCapability.Service
        kinds = (service.CONTROLLER_SERVICE, service.GROUP_CONTROLLER_SERVICE)
        expansion = pb.PluginCapability.VolumeExpansion(type=pb.PluginCapability.VolumeExpansion.ONLINE)
        return pb.GetPluginCapabilitiesResponse(
            capabilities=[
                *(pb.PluginCapability(service=service(type=kind)) for kind in kinds),
                pb.PluginCapability(volume_expansion=expansion),
            ]
        )

    def Probe(self, request: pb.ProbeRequest) -> pb.ProbeResponse:
        """Always ready."""
        return pb.ProbeResponse(ready=BoolValue(value=True))


class MemoryController(MemoryIdentity):
    """The controller service; names are IDs."""

    def __init__(self) -> None:
        self.volumes: dict[str, pb.Volume] = {}
        self.snapshots: dict[str, pb.Snapshot] = {}
        self.published: dict[str, set[str]] = {}
        self.sick: dict[str, pb.VolumeHealth] = {}

    def volume(self, volume_id: str) -> pb.Volume:
        """A volume that must exist."""
        if volume_id not in self.volumes:
            raise NotFound(f"no volume {volume_id!r}")
        return self.volumes[volume_id]

    def ControllerGetCapabilities(
        self, request: pb.ControllerGetCapabilitiesRequest
    ) -> pb.ControllerGetCapabilitiesResponse:
        """Everything."""
        kinds = [number for name, number in _Controller.RPC.Type.items() if number]
        return pb.ControllerGetCapabilitiesResponse(
            capabilities=[_Controller(rpc=_Controller.RPC(type=kind)) for kind in kinds]  # type: ignore[arg-type]
        )

    def CreateVolume(self, request: pb.CreateVolumeRequest) -> pb.CreateVolumeResponse:
        """Idempotent by name and size."""
        if not request.name or not request.volume_capabilities:
            raise InvalidRequest("a volume needs a name and a capability")
        size = request.capacity_range.required_bytes
        known = self.volumes.get(request.name)
        if known is not None and known.capacity_bytes != size:
            raise AlreadyExists(f"{request.name} has {known.capacity_bytes} bytes, not {size}")
        source = request.volume_content_source if request.HasField("volume_content_source") else None
        self.volumes[request.name] = pb.Volume(
            volume_id=request.name,
            capacity_bytes=size,
            volume_context={"path": f"/vol/{request.name}"},
            content_source=source,
            accessible_topology=request.accessibility_requirements.preferred,
        )
        return pb.CreateVolumeResponse(volume=self.volumes[request.name])

    def DeleteVolume(self, request: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        """Gone is gone."""
        self.volumes.pop(request.volume_id, None)
        return pb.DeleteVolumeResponse()

    def ListVolumes(self, request: pb.ListVolumesRequest) -> pb.ListVolumesResponse:
        """By name."""
        names, token = page(sorted(self.volumes), request.max_entries, request.starting_token)
        entries = [
            pb.ListVolumesResponse.Entry(
                volume=self.volumes[name],
                status=pb.ListVolumesResponse.VolumeStatus(published_node_ids=self._nodes(name)),
            )
            for name in names
        ]
        return pb.ListVolumesResponse(entries=entries, next_token=token)

    def _nodes(self, name: str) -> Iterable[str]:
        return sorted(self.published.get(name, ()))

    def ControllerGetVolume(self, request: pb.ControllerGetVolumeRequest) -> pb.ControllerGetVolumeResponse:
        """One volume."""
        status = pb.ControllerGetVolumeResponse.VolumeStatus(published_node_ids=self._nodes(request.volume_id))
        return pb.ControllerGetVolumeResponse(volume=self.volume(request.volume_id), status=status)

    def ControllerModifyVolume(self, request: pb.ControllerModifyVolumeRequest) -> pb.ControllerModifyVolumeResponse:
        """The new values join the context."""
        self.volume(request.volume_id).volume_context.update(request.mutable_parameters)
        return pb.ControllerModifyVolumeResponse()

    def ControllerExpandVolume(self, request: pb.ControllerExpandVolumeRequest) -> pb.ControllerExpandVolumeResponse:
        """Never smaller."""
        volume = self.volume(request.volume_id)
        volume.capacity_bytes = max(volume.capacity_bytes, request.capacity_range.required_bytes)
        return pb.ControllerExpandVolumeResponse(capacity_bytes=volume.capacity_bytes, node_expansion_required=True)

    def ValidateVolumeCapabilities(
        self, request: pb.ValidateVolumeCapabilitiesRequest
    ) -> pb.ValidateVolumeCapabilitiesResponse:
        """Anything but block."""
        self.volume(request.volume_id)
        if any(capability.HasField("block") for capability in request.volume_capabilities):
            return pb.ValidateVolumeCapabilitiesResponse(message="no block volumes here")
        confirmed = pb.ValidateVolumeCapabilitiesResponse.Confirmed(volume_capabilities=request.volume_capabilities)
        return pb.ValidateVolumeCapabilitiesResponse(confirmed=confirmed)

    def GetCapacity(self, request: pb.GetCapacityRequest) -> pb.GetCapacityResponse:
        """A tebibyte."""
        return pb.GetCapacityResponse(available_capacity=2**40, maximum_volume_size=Int64Value(value=2**30))

    def ControllerPublishVolume(self, request: pb.ControllerPublishVolumeRequest) -> pb.ControllerPublishVolumeResponse:
        """To any node."""
        self.volume(request.volume_id)
        if not request.node_id:
            raise InvalidRequest("which node?")
        self.published.setdefault(request.volume_id, set()).add(request.node_id)
        return pb.ControllerPublishVolumeResponse(publish_context={"device": f"/dev/{request.volume_id}"})

    def ControllerUnpublishVolume(
        self, request: pb.ControllerUnpublishVolumeRequest
    ) -> pb.ControllerUnpublishVolumeResponse:
        """From one node, or from all."""
        nodes = self.published.get(request.volume_id, set())
        nodes.difference_update({request.node_id} if request.node_id else set(nodes))
        return pb.ControllerUnpublishVolumeResponse()

    def ControllerListVolumeHealth(
        self, request: pb.ControllerListVolumeHealthRequest
    ) -> pb.ControllerListVolumeHealthResponse:
        """The sick ones."""
        names, token = page(sorted(self.sick), request.max_entries, request.starting_token)
        return pb.ControllerListVolumeHealthResponse(entries=[self.sick[name] for name in names], next_token=token)

    def ControllerGetVolumeHealth(
        self, request: pb.ControllerGetVolumeHealthRequest
    ) -> pb.ControllerGetVolumeHealthResponse:
        """Of one volume."""
        self.volume(request.volume_id)
        health = self.sick.get(request.volume_id, pb.VolumeHealth(volume_id=request.volume_id))
        return pb.ControllerGetVolumeHealthResponse(volume_health=health)
