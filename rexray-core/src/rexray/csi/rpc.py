"""The calls of CSI v1, typed: which service, which name, which messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from rexray.csi._pb import csi_pb2 as pb

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)


@dataclass(frozen=True, slots=True, eq=False)
class Call(Generic[Req, Rep]):
    """One remote procedure; ``streams`` says that the answer is a stream of responses."""

    service: str
    name: str
    request: type[Req]
    response: type[Rep]
    streams: bool = False

    @property
    def path(self) -> str:
        """The path of the call in gRPC."""
        return f"/csi.v1.{self.service}/{self.name}"


GET_PLUGIN_INFO = Call("Identity", "GetPluginInfo", pb.GetPluginInfoRequest, pb.GetPluginInfoResponse)
GET_PLUGIN_CAPABILITIES = Call(
    "Identity", "GetPluginCapabilities", pb.GetPluginCapabilitiesRequest, pb.GetPluginCapabilitiesResponse
)
PROBE = Call("Identity", "Probe", pb.ProbeRequest, pb.ProbeResponse)
CREATE_VOLUME = Call("Controller", "CreateVolume", pb.CreateVolumeRequest, pb.CreateVolumeResponse)
DELETE_VOLUME = Call("Controller", "DeleteVolume", pb.DeleteVolumeRequest, pb.DeleteVolumeResponse)
CONTROLLER_PUBLISH_VOLUME = Call(
    "Controller", "ControllerPublishVolume", pb.ControllerPublishVolumeRequest, pb.ControllerPublishVolumeResponse
)
CONTROLLER_UNPUBLISH_VOLUME = Call(
    "Controller", "ControllerUnpublishVolume", pb.ControllerUnpublishVolumeRequest, pb.ControllerUnpublishVolumeResponse
)
VALIDATE_VOLUME_CAPABILITIES = Call(
    "Controller",
    "ValidateVolumeCapabilities",
    pb.ValidateVolumeCapabilitiesRequest,
    pb.ValidateVolumeCapabilitiesResponse,
)
LIST_VOLUMES = Call("Controller", "ListVolumes", pb.ListVolumesRequest, pb.ListVolumesResponse)
CONTROLLER_LIST_VOLUME_HEALTH = Call(
    "Controller",
    "ControllerListVolumeHealth",
    pb.ControllerListVolumeHealthRequest,
    pb.ControllerListVolumeHealthResponse,
)
CONTROLLER_GET_VOLUME_HEALTH = Call(
    "Controller", "ControllerGetVolumeHealth", pb.ControllerGetVolumeHealthRequest, pb.ControllerGetVolumeHealthResponse
)
GET_CAPACITY = Call("Controller", "GetCapacity", pb.GetCapacityRequest, pb.GetCapacityResponse)
CONTROLLER_GET_CAPABILITIES = Call(
    "Controller", "ControllerGetCapabilities", pb.ControllerGetCapabilitiesRequest, pb.ControllerGetCapabilitiesResponse
)
CREATE_SNAPSHOT = Call("Controller", "CreateSnapshot", pb.CreateSnapshotRequest, pb.CreateSnapshotResponse)
DELETE_SNAPSHOT = Call("Controller", "DeleteSnapshot", pb.DeleteSnapshotRequest, pb.DeleteSnapshotResponse)
LIST_SNAPSHOTS = Call("Controller", "ListSnapshots", pb.ListSnapshotsRequest, pb.ListSnapshotsResponse)
GET_SNAPSHOT = Call("Controller", "GetSnapshot", pb.GetSnapshotRequest, pb.GetSnapshotResponse)
CONTROLLER_EXPAND_VOLUME = Call(
    "Controller", "ControllerExpandVolume", pb.ControllerExpandVolumeRequest, pb.ControllerExpandVolumeResponse
)
CONTROLLER_GET_VOLUME = Call(
    "Controller", "ControllerGetVolume", pb.ControllerGetVolumeRequest, pb.ControllerGetVolumeResponse
)
CONTROLLER_MODIFY_VOLUME = Call(
    "Controller", "ControllerModifyVolume", pb.ControllerModifyVolumeRequest, pb.ControllerModifyVolumeResponse
)
GROUP_CONTROLLER_GET_CAPABILITIES = Call(
    "GroupController",
    "GroupControllerGetCapabilities",
    pb.GroupControllerGetCapabilitiesRequest,
    pb.GroupControllerGetCapabilitiesResponse,
)
CREATE_VOLUME_GROUP_SNAPSHOT = Call(
    "GroupController",
    "CreateVolumeGroupSnapshot",
    pb.CreateVolumeGroupSnapshotRequest,
    pb.CreateVolumeGroupSnapshotResponse,
)
DELETE_VOLUME_GROUP_SNAPSHOT = Call(
    "GroupController",
    "DeleteVolumeGroupSnapshot",
    pb.DeleteVolumeGroupSnapshotRequest,
    pb.DeleteVolumeGroupSnapshotResponse,
)
GET_VOLUME_GROUP_SNAPSHOT = Call(
    "GroupController", "GetVolumeGroupSnapshot", pb.GetVolumeGroupSnapshotRequest, pb.GetVolumeGroupSnapshotResponse
)
GET_METADATA_ALLOCATED = Call(
    "SnapshotMetadata",
    "GetMetadataAllocated",
    pb.GetMetadataAllocatedRequest,
    pb.GetMetadataAllocatedResponse,
    streams=True,
)
GET_METADATA_DELTA = Call(
    "SnapshotMetadata", "GetMetadataDelta", pb.GetMetadataDeltaRequest, pb.GetMetadataDeltaResponse, streams=True
)
NODE_STAGE_VOLUME = Call("Node", "NodeStageVolume", pb.NodeStageVolumeRequest, pb.NodeStageVolumeResponse)
NODE_UNSTAGE_VOLUME = Call("Node", "NodeUnstageVolume", pb.NodeUnstageVolumeRequest, pb.NodeUnstageVolumeResponse)
NODE_PUBLISH_VOLUME = Call("Node", "NodePublishVolume", pb.NodePublishVolumeRequest, pb.NodePublishVolumeResponse)
NODE_UNPUBLISH_VOLUME = Call(
    "Node", "NodeUnpublishVolume", pb.NodeUnpublishVolumeRequest, pb.NodeUnpublishVolumeResponse
)
NODE_GET_VOLUME_STATS = Call("Node", "NodeGetVolumeStats", pb.NodeGetVolumeStatsRequest, pb.NodeGetVolumeStatsResponse)
NODE_GET_VOLUME_HEALTH = Call(
    "Node", "NodeGetVolumeHealth", pb.NodeGetVolumeHealthRequest, pb.NodeGetVolumeHealthResponse
)
NODE_GET_STORAGE_HEALTH = Call(
    "Node", "NodeGetStorageHealth", pb.NodeGetStorageHealthRequest, pb.NodeGetStorageHealthResponse
)
NODE_EXPAND_VOLUME = Call("Node", "NodeExpandVolume", pb.NodeExpandVolumeRequest, pb.NodeExpandVolumeResponse)
NODE_GET_CAPABILITIES = Call(
    "Node", "NodeGetCapabilities", pb.NodeGetCapabilitiesRequest, pb.NodeGetCapabilitiesResponse
)
NODE_GET_INFO = Call("Node", "NodeGetInfo", pb.NodeGetInfoRequest, pb.NodeGetInfoResponse)

CALLS: tuple[Call[Any, Any], ...] = (
    GET_PLUGIN_INFO,
    GET_PLUGIN_CAPABILITIES,
    PROBE,
    CREATE_VOLUME,
    DELETE_VOLUME,
    CONTROLLER_PUBLISH_VOLUME,
    CONTROLLER_UNPUBLISH_VOLUME,
    VALIDATE_VOLUME_CAPABILITIES,
    LIST_VOLUMES,
    CONTROLLER_LIST_VOLUME_HEALTH,
    CONTROLLER_GET_VOLUME_HEALTH,
    GET_CAPACITY,
    CONTROLLER_GET_CAPABILITIES,
    CREATE_SNAPSHOT,
    DELETE_SNAPSHOT,
    LIST_SNAPSHOTS,
    GET_SNAPSHOT,
    CONTROLLER_EXPAND_VOLUME,
    CONTROLLER_GET_VOLUME,
    CONTROLLER_MODIFY_VOLUME,
    GROUP_CONTROLLER_GET_CAPABILITIES,
    CREATE_VOLUME_GROUP_SNAPSHOT,
    DELETE_VOLUME_GROUP_SNAPSHOT,
    GET_VOLUME_GROUP_SNAPSHOT,
    GET_METADATA_ALLOCATED,
    GET_METADATA_DELTA,
    NODE_STAGE_VOLUME,
    NODE_UNSTAGE_VOLUME,
    NODE_PUBLISH_VOLUME,
    NODE_UNPUBLISH_VOLUME,
    NODE_GET_VOLUME_STATS,
    NODE_GET_VOLUME_HEALTH,
    NODE_GET_STORAGE_HEALTH,
    NODE_EXPAND_VOLUME,
    NODE_GET_CAPABILITIES,
    NODE_GET_INFO,
)
"""Every call of CSI v1."""
