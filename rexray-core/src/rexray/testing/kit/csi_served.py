"""A CSI plug-in that is called in this process, and the statuses that an orchestrator gets of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rexray.testing.kit.csi  # noqa: F401 which says what to install where that is missing
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.local import LocalCaller, handlers_of
from rexray.csi.plugin import CSIPlugin
from rexray.csi.rpc import Call, Rep, Req
from rexray.csi.status import status_of
from rexray.errors import RexrayError
from rexray.testing.kit.check import Failed
from rexray.testing.kit.killing import Call as KilledCall

SECONDS = 60.0
"""The deadline of each call."""


class Code:
    """The statuses of CSI that are spoken of here, by their names in gRPC."""

    OK = "OK"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"


CONTROLLER, NODE, GROUP = "Controller", "Node", "GroupController"

_REPORTS: Mapping[str, tuple[Call[Any, Any], Any]] = {
    CONTROLLER: (rpc.CONTROLLER_GET_CAPABILITIES, pb.ControllerServiceCapability.RPC.Type),
    NODE: (rpc.NODE_GET_CAPABILITIES, pb.NodeServiceCapability.RPC.Type),
    GROUP: (rpc.GROUP_CONTROLLER_GET_CAPABILITIES, pb.GroupControllerServiceCapability.RPC.Type),
}
"""How each service is asked what it can do, and the names of that."""


class Served:
    """A started plug-in, called in this process as the server calls it."""

    def __init__(self, plugin: CSIPlugin) -> None:
        self.plugin = plugin
        self.services = plugin.services()
        self.handlers = handlers_of(plugin)
        self._caller = LocalCaller(self.handlers)

    def call(self, call: Call[Req, Rep], request: Req) -> Rep:
        """Make a call; errors are rexray's own."""
        return self._caller.call(call, request, timeout=SECONDS)

    def code(self, call: Call[Req, Rep], request: Req) -> str:
        """The status that an orchestrator gets of a call; ``Failed`` for an error that has none."""
        try:
            self.call(call, request)
        except RexrayError as error:
            text = str(error)
            if not text.strip() or "\n" in text:
                raise Failed(f"{call.name}: the error's message is not one line: {text!r}") from error
            return status_of(error).name
        except Exception as error:
            raise Failed(
                f"{call.name} raised {type(error).__name__} ({error}), of which an orchestrator learns nothing"
            ) from error
        return Code.OK

    def quietly(self, call: Call[Req, Rep], request: Req) -> None:
        """Make a call that may not be served, or may have nothing to do."""
        if call.path in self.handlers:
            with contextlib.suppress(RexrayError):
                self.call(call, request)

    def reported(self, service: str) -> frozenset[str]:
        """The capabilities that a service reports, by their names in ``csi.proto``; none without the service."""
        if service not in self.services:
            return frozenset()
        call, names = _REPORTS[service]
        answer = self.call(call, call.request())
        known = names.values()
        return frozenset(names.Name(each.rpc.type) for each in answer.capabilities if each.rpc.type in known)

    def plugin_services(self) -> frozenset[str]:
        """The services and constraints that the plug-in as a whole reports."""
        names = pb.PluginCapability.Service.Type
        answer = self.call(rpc.GET_PLUGIN_CAPABILITIES, pb.GetPluginCapabilitiesRequest())
        return frozenset(names.Name(each.service.type) for each in answer.capabilities if each.HasField("service"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CSICall(KilledCall):
    """A call of a plug-in in a process of its own: ``method`` is its name, the only argument its request."""

    def on(self, driver: object) -> object:
        """Start the plug-in and make the call."""
        assert isinstance(driver, CSIPlugin)
        driver.start()
        (call,) = (each for each in rpc.CALLS if each.name == self.method)
        return Served(driver).call(call, self.arguments[0])
