"""CSI's Identity service of the bridge."""

from __future__ import annotations

from rexray._version import __version__
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.bridge import abilities
from rexray.drivers import StorageDriver
from rexray.mixins import Expand

_Service = pb.PluginCapability.Service
_Expansion = pb.PluginCapability.VolumeExpansion


class Identity:
    """Who the plug-in is: each storage driver, and each service, is one of its own, so that a cluster can have several.

    A service's name has no dots, and CSI's names have no underscores.
    """

    def __init__(self, storage: type[StorageDriver], *, controller: bool, service: str = "") -> None:
        self._storage = storage
        self._service = f"{service.replace('_', '.')}." if service else ""
        self._controller = controller

    def GetPluginInfo(self, request: pb.GetPluginInfoRequest, _: object) -> pb.GetPluginInfoResponse:
        """The name and version."""
        return pb.GetPluginInfoResponse(
            name=f"{self._service}{self._storage.name}.rexray.io", vendor_version=__version__
        )

    def GetPluginCapabilities(
        self, request: pb.GetPluginCapabilitiesRequest, _: object
    ) -> pb.GetPluginCapabilitiesResponse:
        """What the services are, and whether volumes grow while they are in use."""
        names = abilities.of_plugin(self._storage, controller=self._controller)
        found = [pb.PluginCapability(service=_Service(type=name)) for name in names]
        if issubclass(self._storage, Expand):
            found.append(pb.PluginCapability(volume_expansion=_Expansion(type="ONLINE")))
        return pb.GetPluginCapabilitiesResponse(capabilities=found)

    def Probe(self, request: pb.ProbeRequest, _: object) -> pb.ProbeResponse:
        """Ready as soon as it answers: what a platform that is away means is told by the calls that need it."""
        answer = pb.ProbeResponse()
        answer.ready.value = True
        return answer
