"""CSI's Controller service of the bridge: volumes; its other modules have the rest of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import grpc

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge import abilities, words
from rexray.csi.bridge.attaching import AttachCalls
from rexray.csi.bridge.health import HealthCalls
from rexray.csi.bridge.listing import Listing
from rexray.csi.bridge.quieting import Quiet, not_here
from rexray.csi.bridge.snapshots import SnapshotCalls
from rexray.csi.bridge.staged import LOCK_SECONDS, key_of
from rexray.drivers import StorageDriver
from rexray.errors import AlreadyExists, InvalidRequest, OutOfCapacity, OutOfRange, Unsupported
from rexray.locks import Locks
from rexray.mixins import Clone, Expand, HasCapacity, Modify, Snapshots
from rexray.paths import Paths
from rexray.types import SnapshotId, Volume, VolumeId, VolumeSpec
from rexray.volumes.claims import Claims
from rexray.volumes.options import OPTIONS, Reader
from rexray.volumes.settings import VolumeSettings

Context = grpc.ServicerContext
_Capability = pb.ControllerServiceCapability
_NOT_HERE = {"size", "snapshotid", "snapshotname", "volumeid", "volumename", "overwritefs"}
"""Options that CSI says by fields of its own, or that a call which may be repeated must not have."""
PARAMETERS = tuple(option for option in OPTIONS if option not in _NOT_HERE)
"""The parameters of a volume; drivers add ``StorageDriver.create_options``."""


class Controller(AttachCalls, SnapshotCalls, HealthCalls):
    """The storage driver's calls."""

    def __init__(self, storage: StorageDriver, settings: VolumeSettings, paths: Paths, quiet: Quiet = not_here) -> None:
        super().__init__(storage, settings, quiet)
        self._locks = Locks(paths.run / "locks")
        self._claims = Claims(paths.lib / "csi" / f"{storage.name}-claims")
        self._reader = Reader(settings, storage)
        self._volumes: Listing[Volume] = Listing(lambda volume: volume.id)

    def ControllerGetCapabilities(
        self, request: pb.ControllerGetCapabilitiesRequest, _: Context
    ) -> pb.ControllerGetCapabilitiesResponse:
        """What the storage driver can do."""
        names = abilities.of_controller(type(self._storage))
        return pb.ControllerGetCapabilitiesResponse(
            capabilities=[_Capability(rpc=_Capability.RPC(type=name)) for name in names]
        )

    def CreateVolume(self, request: pb.CreateVolumeRequest, _: Context) -> pb.CreateVolumeResponse:
        """The volume of that name, made if it is missing, as a copy where a source is named."""
        name = words.check_new_name(request.name)
        _check_all(request.volume_capabilities)
        words.check_range(request.capacity_range)
        spec, context = self._spec(name, request)
        with self._locks.hold("create-" + key_of(name), owner=f"CreateVolume of {name!r}", timeout=LOCK_SECONDS):
            volume = self._create(spec, request.capacity_range)
        answer = words.describe_volume(self._storage, volume, context)
        if request.HasField("volume_content_source"):
            answer.content_source.CopyFrom(request.volume_content_source)
        return pb.CreateVolumeResponse(volume=answer)

    def DeleteVolume(self, request: pb.DeleteVolumeRequest, _: Context) -> pb.DeleteVolumeResponse:
        """Delete the volume; an attached one is in use, a missing one success."""
        self._storage.remove(self._id(request.volume_id), force=self._settings.remove_force)
        return pb.DeleteVolumeResponse()

    def ValidateVolumeCapabilities(
        self, request: pb.ValidateVolumeCapabilitiesRequest, _: Context
    ) -> pb.ValidateVolumeCapabilitiesResponse:
        """Whether the volume can be used so."""
        self._storage.volume(self._id(request.volume_id))
        try:
            _check_all(request.volume_capabilities)
            self._check_parameters(request.parameters)
            self._check_parameters(request.mutable_parameters)
        except InvalidRequest as error:
            if not request.volume_capabilities:
                raise
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
        """A page of volumes, by id, with the instances that they are attached to."""
        found, token = self._volumes.page(self._storage.volumes, request.starting_token, request.max_entries)
        entries = [
            pb.ListVolumesResponse.Entry(
                volume=words.describe_volume(self._storage, volume),
                status=pb.ListVolumesResponse.VolumeStatus(published_node_ids=_nodes(volume)),
            )
            for volume in found
        ]
        return pb.ListVolumesResponse(entries=entries, next_token=token)

    def ControllerGetVolume(self, request: pb.ControllerGetVolumeRequest, _: Context) -> pb.ControllerGetVolumeResponse:
        """One volume."""
        volume = self._storage.volume(self._id(request.volume_id))
        return pb.ControllerGetVolumeResponse(
            volume=words.describe_volume(self._storage, volume),
            status=pb.ControllerGetVolumeResponse.VolumeStatus(published_node_ids=_nodes(volume)),
        )

    def ControllerModifyVolume(
        self, request: pb.ControllerModifyVolumeRequest, _: Context
    ) -> pb.ControllerModifyVolumeResponse:
        """Change what the platform can change."""
        if not isinstance(self._storage, Modify):
            raise Unsupported(f"storage driver {self._storage.name!r} modifies no volumes")
        volume_id = self._id(request.volume_id)
        self._storage.volume(volume_id)
        changes = words.parameters(request.mutable_parameters)
        if changes:
            self._storage.modify(volume_id, changes)
        return pb.ControllerModifyVolumeResponse()

    def ControllerExpandVolume(
        self, request: pb.ControllerExpandVolumeRequest, _: Context
    ) -> pb.ControllerExpandVolumeResponse:
        """Grow the volume; its node grows the filesystem."""
        if not isinstance(self._storage, Expand):
            raise Unsupported(f"storage driver {self._storage.name!r} grows no volumes")
        volume_id = self._id(request.volume_id)
        wanted = request.capacity_range
        if not (wanted.required_bytes or wanted.limit_bytes):
            raise InvalidRequest("capacity_range is missing")
        words.check_range(wanted)
        volume = self._storage.volume(volume_id)
        if wanted.limit_bytes and volume.size_bytes > wanted.limit_bytes:
            raise OutOfRange(f"volume {volume_id!r} has {volume.size_bytes} bytes already, and never shrinks")
        if wanted.required_bytes > volume.size_bytes:
            volume = self._storage.expand(volume_id, wanted.required_bytes, limit_bytes=wanted.limit_bytes)
        return pb.ControllerExpandVolumeResponse(capacity_bytes=volume.size_bytes, node_expansion_required=True)

    def GetCapacity(self, request: pb.GetCapacityRequest, _: Context) -> pb.GetCapacityResponse:
        """The room for new volumes; none for what cannot be had here."""
        if not isinstance(self._storage, HasCapacity):
            raise Unsupported(f"storage driver {self._storage.name!r} does not tell its capacity")
        try:
            for capability in request.volume_capabilities:
                words.check_capability(capability)
            self._check_parameters(request.parameters)
            wanted = [request.accessible_topology] if request.accessible_topology.segments else []
            zone = words.zone_of(self._storage, pb.TopologyRequirement(requisite=wanted))
        except (InvalidRequest, OutOfCapacity):
            return pb.GetCapacityResponse()
        found = self._storage.capacity(zone)
        answer = pb.GetCapacityResponse(available_capacity=found.available_bytes)
        if found.largest_volume_bytes is not None:
            answer.maximum_volume_size.value = found.largest_volume_bytes
        return answer

    def _create(self, spec: VolumeSpec, wanted: pb.CapacityRange) -> Volume:
        """The volume; its name's lock is held. A copy that is too small may still be growing: that is the driver's."""
        known = self._named(spec.name)
        copied = spec.source_volume or spec.source_snapshot
        if known is not None and not (copied and known.size_bytes < wanted.required_bytes):
            _check_fits(known, wanted)
            spec = replace(spec, size_bytes=known.size_bytes)
        with self._quiet([spec.source_volume] if spec.source_volume and known is None else [], "CreateVolume"):
            volume = self._storage.create(replace(spec, limit_bytes=wanted.limit_bytes))
        _check_fits(volume, wanted)
        return volume

    def _spec(self, name: str, request: pb.CreateVolumeRequest) -> tuple[VolumeSpec, dict[str, str]]:
        """What the platform shall make, and what the nodes are to know of it."""
        options = self._check_parameters({**request.parameters, **request.mutable_parameters})
        wanted = request.capacity_range
        if wanted.required_bytes:
            options["size"] = f"{wanted.required_bytes}B"
        wishes = self._reader.read(name, options)
        spec = wishes.spec
        if not wanted.required_bytes and wanted.limit_bytes:
            spec = replace(spec, size_bytes=min(spec.size_bytes, wanted.limit_bytes))
        zone = words.zone_of(self._storage, request.accessibility_requirements)
        spec = replace(spec, zone=zone or spec.zone)
        if request.HasField("volume_content_source"):
            size = wanted.required_bytes  # a copy is as large as its source unless the caller wants more
            spec = self._with_source(replace(spec, size_bytes=size), request.volume_content_source)
        return spec, dict(wishes.context)

    def _with_source(self, spec: VolumeSpec, source: pb.VolumeContentSource) -> VolumeSpec:
        if source.volume.volume_id:
            if not isinstance(self._storage, Clone):
                raise InvalidRequest(f"storage driver {self._storage.name!r} makes no clones of volumes")
            self._storage.volume(VolumeId(source.volume.volume_id))
            return replace(spec, source_volume=VolumeId(source.volume.volume_id))
        if source.snapshot.snapshot_id:
            if not isinstance(self._storage, Snapshots):
                raise InvalidRequest(f"storage driver {self._storage.name!r} has no snapshots")
            return replace(spec, source_snapshot=SnapshotId(source.snapshot.snapshot_id))
        raise InvalidRequest("volume_content_source names neither a volume nor a snapshot")

    def _check_parameters(self, given: Mapping[str, str]) -> dict[str, str]:
        found, known = words.parameters(given), (*PARAMETERS, *self._storage.create_options)
        for key in found:
            if key.lower() not in known:
                raise InvalidRequest(f"parameter {key!r} is unknown: there are {', '.join(known)}")
        return found

    def _named(self, name: str) -> Volume | None:
        """The volume of that name; several were not made by us, and none of them is meant."""
        found = list(self._storage.volumes_named(name))
        if len(found) > 1:
            ids = ", ".join(volume.id for volume in found)
            raise AlreadyExists(f"several volumes are called {name!r}: {ids}")
        return found[0] if found else None


def _check_all(capabilities: Sequence[pb.VolumeCapability]) -> None:
    if not capabilities:
        raise InvalidRequest("volume_capabilities is missing")
    for capability in capabilities:
        words.check_capability(capability)


def _check_fits(volume: Volume, wanted: pb.CapacityRange) -> None:
    size = volume.size_bytes
    if size < wanted.required_bytes or (wanted.limit_bytes and size > wanted.limit_bytes):
        raise AlreadyExists(
            f"volume {volume.name!r} exists with {size} bytes, and was asked for with "
            f"{wanted.required_bytes} to {wanted.limit_bytes or 'any number of'}"
        )


def _nodes(volume: Volume) -> list[str]:
    return [attachment.instance_id for attachment in volume.attachments]
