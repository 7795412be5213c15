"""The calls of CSI's Controller service that tell what is wrong with volumes."""

from __future__ import annotations

import grpc

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge.attaching import ControllerCalls
from rexray.csi.bridge.listing import Listing
from rexray.drivers import StorageDriver
from rexray.errors import Unsupported
from rexray.mixins import VolumeHealth
from rexray.types import Health, Volume, VolumeId
from rexray.volumes.settings import VolumeSettings

Context = grpc.ServicerContext


class HealthCalls(ControllerCalls):
    """A healthy volume has an empty list of statuses."""

    def __init__(self, storage: StorageDriver, settings: VolumeSettings) -> None:
        super().__init__(storage, settings)
        self._listed: Listing[Volume] = Listing(lambda volume: volume.id)

    def ControllerGetVolumeHealth(
        self, request: pb.ControllerGetVolumeHealthRequest, _: Context
    ) -> pb.ControllerGetVolumeHealthResponse:
        """What is wrong with one volume."""
        volume_id = self._id(request.volume_id)
        health = self._healthy_storage().health(volume_id)
        return pb.ControllerGetVolumeHealthResponse(volume_health=_entry(volume_id, health))

    def ControllerListVolumeHealth(
        self, request: pb.ControllerListVolumeHealthRequest, _: Context
    ) -> pb.ControllerListVolumeHealthResponse:
        """The volumes of a page that something is wrong with."""
        storage = self._healthy_storage()
        found, token = self._listed.page(self._storage.volumes, request.starting_token, request.max_entries)
        healths = storage.healths([volume.id for volume in found])
        entries = [_entry(volume_id, health) for volume_id, health in healths.items() if health.abnormal]
        return pb.ControllerListVolumeHealthResponse(entries=entries, next_token=token)

    def _healthy_storage(self) -> VolumeHealth:
        if not isinstance(self._storage, VolumeHealth):
            raise Unsupported(f"storage driver {self._storage.name!r} does not tell how volumes are")
        return self._storage


def _entry(volume_id: VolumeId, health: Health) -> pb.VolumeHealth:
    wrong = pb.VolumeHealth.VolumeHealthEntry(status=pb.DEGRADED, reason="PlatformReport", message=health.message)
    return pb.VolumeHealth(volume_id=volume_id, health_statuses=[wrong] if health.abnormal else [])
