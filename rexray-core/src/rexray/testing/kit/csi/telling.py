"""Who the plug-in is and what it can do: what it declares, reports and serves is the same."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.testing.kit.check import expect, expect_equal
from rexray.testing.kit.csi_rig import CSIRig
from rexray.testing.kit.csi_served import CONTROLLER, GROUP, NODE
from rexray.testing.kit.suites import CSI

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_NODE_ID_BYTES = 256

_CALLS: Mapping[str, Mapping[str, tuple[rpc.Call[Any, Any], ...]]] = {
    CONTROLLER: {
        "CREATE_DELETE_VOLUME": (rpc.CREATE_VOLUME, rpc.DELETE_VOLUME),
        "PUBLISH_UNPUBLISH_VOLUME": (rpc.CONTROLLER_PUBLISH_VOLUME, rpc.CONTROLLER_UNPUBLISH_VOLUME),
        "LIST_VOLUMES": (rpc.LIST_VOLUMES,),
        "LIST_VOLUMES_PUBLISHED_NODES": (rpc.LIST_VOLUMES,),
        "GET_CAPACITY": (rpc.GET_CAPACITY,),
        "CREATE_DELETE_SNAPSHOT": (rpc.CREATE_SNAPSHOT, rpc.DELETE_SNAPSHOT),
        "LIST_SNAPSHOTS": (rpc.LIST_SNAPSHOTS,),
        "GET_SNAPSHOT": (rpc.GET_SNAPSHOT,),
        "EXPAND_VOLUME": (rpc.CONTROLLER_EXPAND_VOLUME,),
        "GET_VOLUME": (rpc.CONTROLLER_GET_VOLUME,),
        "MODIFY_VOLUME": (rpc.CONTROLLER_MODIFY_VOLUME,),
        "GET_VOLUME_HEALTH": (rpc.CONTROLLER_GET_VOLUME_HEALTH,),
        "LIST_VOLUME_HEALTH": (rpc.CONTROLLER_LIST_VOLUME_HEALTH,),
    },
    NODE: {
        "STAGE_UNSTAGE_VOLUME": (rpc.NODE_STAGE_VOLUME, rpc.NODE_UNSTAGE_VOLUME),
        "GET_VOLUME_STATS": (rpc.NODE_GET_VOLUME_STATS,),
        "EXPAND_VOLUME": (rpc.NODE_EXPAND_VOLUME,),
        "GET_VOLUME_HEALTH": (rpc.NODE_GET_VOLUME_HEALTH,),
        "GET_STORAGE_HEALTH": (rpc.NODE_GET_STORAGE_HEALTH,),
    },
    GROUP: {
        "CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT": (
            rpc.CREATE_VOLUME_GROUP_SNAPSHOT,
            rpc.DELETE_VOLUME_GROUP_SNAPSHOT,
            rpc.GET_VOLUME_GROUP_SNAPSHOT,
        ),
    },
}
"""The calls that each capability stands for."""

_ALWAYS: Mapping[str, tuple[rpc.Call[Any, Any], ...]] = {
    "Identity": (rpc.GET_PLUGIN_INFO, rpc.GET_PLUGIN_CAPABILITIES, rpc.PROBE),
    CONTROLLER: (rpc.CONTROLLER_GET_CAPABILITIES, rpc.VALIDATE_VOLUME_CAPABILITIES),
    NODE: (rpc.NODE_GET_CAPABILITIES, rpc.NODE_GET_INFO, rpc.NODE_PUBLISH_VOLUME, rpc.NODE_UNPUBLISH_VOLUME),
    GROUP: (rpc.GROUP_CONTROLLER_GET_CAPABILITIES,),
}
"""The calls that a service has whatever it can do."""


@CSI.check(reads_only=True)
def the_name_is_one_that_csi_allows(rig: CSIRig) -> None:
    """The name has 63 characters at most: letters and digits, with dots and dashes between; there is a version."""
    info = rig.call(rpc.GET_PLUGIN_INFO, pb.GetPluginInfoRequest())
    expect(len(info.name) <= 63, f"the name {info.name!r} has {len(info.name)} characters, of 63 that it may have")
    expect(_NAME.fullmatch(info.name), f"the name {info.name!r} is not letters, digits, '.' and '-'")
    expect(info.vendor_version.strip(), "vendor_version is empty")


@CSI.check(reads_only=True)
def probe_answers_at_once(rig: CSIRig) -> None:
    """``Probe`` of a started plug-in answers within a second, whatever its platform does, and says no error."""
    begin = time.monotonic()
    rig.call(rpc.PROBE, pb.ProbeRequest())
    took = time.monotonic() - begin
    expect(took < 1, f"Probe took {took:.1f} s")


@CSI.check(reads_only=True)
def what_is_declared_is_what_is_reported(rig: CSIRig) -> None:
    """``offered``, which ``driver ls`` and the docs print, has what the services report, and nothing else."""
    served = rig.served
    found = served.plugin_services().union(*(served.reported(service) for service in _CALLS)) - {"UNKNOWN"}
    declared = {name for name in served.plugin.offered if name not in ("ONLINE", "OFFLINE")}
    expect_equal(sorted(declared - found), [], "capabilities that are declared, and not reported")
    expect_equal(sorted(found - declared), [], "capabilities that are reported, and not declared")


@CSI.check(reads_only=True)
def what_is_reported_is_served(rig: CSIRig) -> None:
    """Every call that a reported capability stands for is there."""
    for service, calls in _CALLS.items():
        for name in rig.served.reported(service):
            lacking = [call.name for call in calls.get(name, ()) if call.path not in rig.served.handlers]
            expect_equal(lacking, [], f"calls that are missing, although {service} reports {name}")


@CSI.check(reads_only=True)
def every_service_has_the_calls_that_csi_demands(rig: CSIRig) -> None:
    """There is an Identity service, and each service has the calls that no capability makes optional."""
    for service, calls in _ALWAYS.items():
        if service in rig.served.services or service == "Identity":
            lacking = [call.name for call in calls if call.path not in rig.served.handlers]
            expect_equal(lacking, [], f"calls that are missing of the {service} service")


@CSI.check(reads_only=True)
def the_services_are_those_that_the_plugin_reports(rig: CSIRig) -> None:
    """``GetPluginCapabilities`` names the controller services that there are, which orchestrators go by."""
    reported = rig.served.plugin_services()
    for service, name in ((CONTROLLER, "CONTROLLER_SERVICE"), (GROUP, "GROUP_CONTROLLER_SERVICE")):
        expect_equal(name in reported, service in rig.served.services, f"whether {name} is reported, as it is served")


@CSI.check(reads_only=True)
def the_node_has_one_name(rig: CSIRig) -> None:
    """``NodeGetInfo`` gives an id of 1 to 256 bytes, the same after a restart."""
    rig.need_service(NODE)
    here = rig.node_id
    expect(0 < len(here.encode()) <= _NODE_ID_BYTES, f"node_id has {len(here.encode())} bytes")
    again = rig.restarted().call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest()).node_id
    expect_equal(again, here, "node_id after a restart")


@CSI.check(reads_only=True)
def capacity_is_no_less_than_none(rig: CSIRig) -> None:
    """``GetCapacity`` tells the room for new volumes; the largest volume is not smaller than the smallest."""
    rig.need(CONTROLLER, "GET_CAPACITY")
    found = rig.call(rpc.GET_CAPACITY, pb.GetCapacityRequest())
    expect(found.available_capacity >= 0, f"the available capacity is {found.available_capacity}")
    if found.HasField("maximum_volume_size") and found.HasField("minimum_volume_size"):
        least, most = found.minimum_volume_size.value, found.maximum_volume_size.value
        expect(least <= most, f"the smallest volume has {least} bytes, the largest {most}")
