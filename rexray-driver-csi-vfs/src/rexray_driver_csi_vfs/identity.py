"""CSI's Identity service: who the plug-in is and what it can do."""

from __future__ import annotations

from rexray.csi._pb import csi_pb2 as pb
from rexray_driver_csi_vfs import __version__
from rexray_driver_csi_vfs.driver import EXPANSION, PLUGIN_CAPABILITIES

NAME = "com.rexray.vfs"
"""The name that the original's last release gave the plug-in: volumes in orchestrators bear it."""

_Service = pb.PluginCapability.Service
_Expansion = pb.PluginCapability.VolumeExpansion


class Identity:
    """Who the plug-in is."""

    def GetPluginInfo(self, request: pb.GetPluginInfoRequest, _: object) -> pb.GetPluginInfoResponse:
        """The name and version."""
        return pb.GetPluginInfoResponse(name=NAME, vendor_version=__version__)

    def GetPluginCapabilities(
        self, request: pb.GetPluginCapabilitiesRequest, _: object
    ) -> pb.GetPluginCapabilitiesResponse:
        """What the services are, and that volumes grow while they are in use."""
        services = [pb.PluginCapability(service=_Service(type=name)) for name in PLUGIN_CAPABILITIES]
        expansion = [pb.PluginCapability(volume_expansion=_Expansion(type=name)) for name in EXPANSION]
        return pb.GetPluginCapabilitiesResponse(capabilities=[*services, *expansion])

    def Probe(self, request: pb.ProbeRequest, _: object) -> pb.ProbeResponse:
        """Directories are ready as soon as they are there, and they were made at the start."""
        answer = pb.ProbeResponse()
        answer.ready.value = True
        return answer
