"""The calls of CSI's Controller service that attach volumes to instances."""

from __future__ import annotations

import contextlib

import grpc

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge import words
from rexray.drivers import StorageDriver
from rexray.errors import InvalidRequest, NotFound
from rexray.mixins import ReadOnlyAttach
from rexray.types import InstanceId, VolumeId
from rexray.volumes.claims import Claims
from rexray.volumes.preparing import undone_on_error
from rexray.volumes.settings import VolumeSettings

Context = grpc.ServicerContext


class ControllerCalls:
    """What the parts of the Controller service share."""

    def __init__(self, storage: StorageDriver, settings: VolumeSettings) -> None:
        self._storage = storage
        self._settings = settings

    def _id(self, volume_id: str) -> VolumeId:
        return VolumeId(words.required(volume_id, "volume_id"))


class AttachCalls(ControllerCalls):
    """A node's id is its instance's. What is attached here is claimed, so that Docker's side leaves it attached."""

    _claims: Claims

    def ControllerPublishVolume(
        self, request: pb.ControllerPublishVolumeRequest, _: Context
    ) -> pb.ControllerPublishVolumeResponse:
        """Attach to the node's instance; the answer has what the node needs to find the device."""
        volume_id = self._id(request.volume_id)
        instance = InstanceId(words.required(request.node_id, "node_id"))
        words.capability_of(request)
        if request.readonly and not isinstance(self._storage, ReadOnlyAttach):
            raise InvalidRequest(f"readonly: storage driver {self._storage.name!r} attaches volumes for writing only")
        fresh = self._claims.add(volume_id, instance)  # one that stands keeps its claim when it cannot be had again
        with undone_on_error(lambda: self._claims.drop(volume_id, instance) if fresh else None):
            attachment = self._storage.attach(
                volume_id, instance, read_only=request.readonly, force=self._settings.preempt
            )
        return pb.ControllerPublishVolumeResponse(publish_context=words.publish_context(attachment))

    def ControllerUnpublishVolume(
        self, request: pb.ControllerUnpublishVolumeRequest, _: Context
    ) -> pb.ControllerUnpublishVolumeResponse:
        """Detach; not attached, or no such volume, is success."""
        volume_id = self._id(request.volume_id)
        instance = InstanceId(request.node_id) if request.node_id else None
        with contextlib.suppress(NotFound):  # CSI: what does not exist is detached
            self._storage.detach(volume_id, instance)
        self._claims.drop(volume_id, instance)
        return pb.ControllerUnpublishVolumeResponse()
