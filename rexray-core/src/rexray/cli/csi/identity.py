"""The verbs that ask who an endpoint is and what it can do."""

from __future__ import annotations

from collections.abc import Iterable

import click

from rexray.cli.csi.connection import Verb
from rexray.cli.csi.session import Session, verb
from rexray.cli.csi.views import CAPABILITIES, View, whole
from rexray.cli.output import Row
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import Unsupported

_INFO = View(("name", "version", "manifest"))
_READY = View(("ready",))
_ONE_SERVICE = View(("capability",))

_Service = pb.PluginCapability.Service


@click.command(cls=Verb)
@verb(_INFO)
def plugin_info(session: Session) -> None:
    """Show the plug-in's name and version (GetPluginInfo)."""
    response = session.call(rpc.GET_PLUGIN_INFO, pb.GetPluginInfoRequest())
    row = {
        "name": response.name,
        "version": response.vendor_version,
        "manifest": dict(sorted(response.manifest.items())),
    }
    session.show(whole(response), [row])


@click.command(cls=Verb)
@verb(_READY)
def probe(session: Session) -> None:
    """Ask whether the plug-in is ready (Probe)."""
    response = session.call(rpc.PROBE, pb.ProbeRequest())
    ready = response.ready.value if response.HasField("ready") else True
    session.show(whole(response), [{"ready": ready}])


@click.command(cls=Verb)
@verb(CAPABILITIES)
def all_capabilities(session: Session) -> None:
    """List what the plug-in and each of its services can do."""
    plugin = session.call(rpc.GET_PLUGIN_CAPABILITIES, pb.GetPluginCapabilitiesRequest())
    document: dict[str, object] = {"plugin": whole(plugin)}
    rows = _rows("plugin", _plugin_names(plugin))
    services = [capability.service.type for capability in plugin.capabilities]
    if _Service.CONTROLLER_SERVICE in services:
        controller = session.call(rpc.CONTROLLER_GET_CAPABILITIES, pb.ControllerGetCapabilitiesRequest())
        document["controller"] = whole(controller)
        rows += _rows("controller", _controller_names(controller))
    if _Service.GROUP_CONTROLLER_SERVICE in services:
        group = session.call(rpc.GROUP_CONTROLLER_GET_CAPABILITIES, pb.GroupControllerGetCapabilitiesRequest())
        document["group_controller"] = whole(group)
        rows += _rows("group_controller", _group_names(group))
    try:
        node = session.call(rpc.NODE_GET_CAPABILITIES, pb.NodeGetCapabilitiesRequest())
    except Unsupported:
        pass  # an endpoint for controllers alone; no capability announces the node service
    else:
        document["node"] = whole(node)
        rows += _rows("node", _node_names(node))
    session.show(document, rows)


@click.command(cls=Verb)
@verb(_ONE_SERVICE)
def plugin_capabilities(session: Session) -> None:
    """List what the plug-in has (GetPluginCapabilities)."""
    response = session.call(rpc.GET_PLUGIN_CAPABILITIES, pb.GetPluginCapabilitiesRequest())
    session.show(whole(response), _rows("plugin", _plugin_names(response)))


@click.command(cls=Verb)
@verb(_ONE_SERVICE)
def controller_capabilities(session: Session) -> None:
    """List what the controller can do (ControllerGetCapabilities)."""
    response = session.call(rpc.CONTROLLER_GET_CAPABILITIES, pb.ControllerGetCapabilitiesRequest())
    session.show(whole(response), _rows("controller", _controller_names(response)))


@click.command(cls=Verb)
@verb(_ONE_SERVICE)
def group_capabilities(session: Session) -> None:
    """List what the group controller can do (GroupControllerGetCapabilities)."""
    response = session.call(rpc.GROUP_CONTROLLER_GET_CAPABILITIES, pb.GroupControllerGetCapabilitiesRequest())
    session.show(whole(response), _rows("group_controller", _group_names(response)))


@click.command(cls=Verb)
@verb(_ONE_SERVICE)
def node_capabilities(session: Session) -> None:
    """List what the node can do (NodeGetCapabilities)."""
    response = session.call(rpc.NODE_GET_CAPABILITIES, pb.NodeGetCapabilitiesRequest())
    session.show(whole(response), _rows("node", _node_names(response)))


def _rows(service: str, names: Iterable[str]) -> list[Row]:
    return [{"service": service, "capability": name} for name in names]


def _plugin_names(response: pb.GetPluginCapabilitiesResponse) -> list[str]:
    names = []
    for one in response.capabilities:
        if one.HasField("volume_expansion"):
            kind = _name(pb.PluginCapability.VolumeExpansion.Type.items(), one.volume_expansion.type)
            names.append("VOLUME_EXPANSION_" + kind)
        else:
            names.append(_name(_Service.Type.items(), one.service.type))
    return names


def _controller_names(response: pb.ControllerGetCapabilitiesResponse) -> list[str]:
    known = pb.ControllerServiceCapability.RPC.Type.items()
    return [_name(known, one.rpc.type) for one in response.capabilities]


def _group_names(response: pb.GroupControllerGetCapabilitiesResponse) -> list[str]:
    known = pb.GroupControllerServiceCapability.RPC.Type.items()
    return [_name(known, one.rpc.type) for one in response.capabilities]


def _node_names(response: pb.NodeGetCapabilitiesResponse) -> list[str]:
    known = pb.NodeServiceCapability.RPC.Type.items()
    return [_name(known, one.rpc.type) for one in response.capabilities]


def _name(known: Iterable[tuple[str, int]], number: int) -> str:
    """A capability's name, or the bare number of one that is newer than this client."""
    return next((name for name, value in known if value == number), str(number))
