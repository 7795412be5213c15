"""Attaching volumes to nodes, by the controller."""

from __future__ import annotations

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.testing.kit.check import expect, expect_equal
from rexray.testing.kit.csi_rig import CSIRig
from rexray.testing.kit.csi_served import CONTROLLER, Code
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import CSI

_ATTACHES = "PUBLISH_UNPUBLISH_VOLUME"


@CSI.check()
def attach_said_ten_times_attaches_once(rig: CSIRig) -> None:
    """``ControllerPublishVolume`` is idempotent: the same wish again has the same publish context."""
    rig.need(CONTROLLER, _ATTACHES)
    volume = rig.create()
    request = rig.attach_request(volume)
    contexts = times(10, lambda: dict(rig.call(rpc.CONTROLLER_PUBLISH_VOLUME, request).publish_context))
    expect(all(context == contexts[0] for context in contexts), f"different publish contexts: {contexts[0]} and others")


@CSI.check()
def attach_without_its_fields_is_invalid(rig: CSIRig) -> None:
    """``ControllerPublishVolume`` without a volume, a node or a capability is INVALID_ARGUMENT."""
    rig.need(CONTROLLER, _ATTACHES)
    volume = rig.create()
    for field in ("volume_id", "node_id", "volume_capability"):
        request = rig.attach_request(volume)
        request.ClearField(field)
        code = rig.code(rpc.CONTROLLER_PUBLISH_VOLUME, request)
        expect_equal(code, Code.INVALID_ARGUMENT, f"the status of it without {field}")


@CSI.check()
def attach_of_a_missing_volume_is_not_found(rig: CSIRig) -> None:
    """``ControllerPublishVolume`` of a volume that is not there, or to a node that is not there, is NOT_FOUND."""
    rig.need(CONTROLLER, _ATTACHES)
    volume = rig.create()
    for what, request in (
        ("of a volume that never was", rig.attach_request(volume, volume_id=rig.missing())),
        ("to a node that never was", rig.attach_request(volume, node_id=rig.missing())),
    ):
        code = rig.code(rpc.CONTROLLER_PUBLISH_VOLUME, request)
        expect_equal(code, Code.NOT_FOUND, f"the status of ControllerPublishVolume {what}")


@CSI.check()
def attach_in_another_mode_is_refused(rig: CSIRig) -> None:
    """A volume that is attached for writing is ALREADY_EXISTS when it is asked for read-only."""
    rig.need(CONTROLLER, _ATTACHES, "PUBLISH_READONLY")
    volume = rig.create()
    rig.attach(volume)
    code = rig.code(rpc.CONTROLLER_PUBLISH_VOLUME, rig.attach_request(volume, readonly=True))
    expect_equal(code, Code.ALREADY_EXISTS, "the status of it")


@CSI.check()
def detach_said_ten_times_is_success(rig: CSIRig) -> None:
    """``ControllerUnpublishVolume`` is idempotent; what is not attached, or does not exist, is detached."""
    rig.need(CONTROLLER, _ATTACHES)
    volume = rig.create()
    request = rig.detach_request(volume)
    rig.call(rpc.CONTROLLER_UNPUBLISH_VOLUME, request)
    rig.attach(volume)
    times(10, lambda: rig.call(rpc.CONTROLLER_UNPUBLISH_VOLUME, request))
    gone = pb.ControllerUnpublishVolumeRequest(volume_id=rig.missing(), node_id=rig.node_id)
    rig.call(rpc.CONTROLLER_UNPUBLISH_VOLUME, gone)


@CSI.check()
def detach_without_an_id_is_invalid(rig: CSIRig) -> None:
    """``ControllerUnpublishVolume`` without a volume is INVALID_ARGUMENT, and no success."""
    rig.need(CONTROLLER, _ATTACHES)
    request = pb.ControllerUnpublishVolumeRequest(node_id=rig.node_id)
    expect_equal(rig.code(rpc.CONTROLLER_UNPUBLISH_VOLUME, request), Code.INVALID_ARGUMENT, "the status of it")


@CSI.check()
def the_nodes_of_a_volume_are_listed(rig: CSIRig) -> None:
    """With LIST_VOLUMES_PUBLISHED_NODES the list tells where a volume is attached, as long as it is."""
    rig.need(CONTROLLER, _ATTACHES, "LIST_VOLUMES", "LIST_VOLUMES_PUBLISHED_NODES")
    volume, idle = rig.create(), rig.create()
    rig.attach(volume)
    listed = rig.listed()
    expect_equal(list(listed[volume.volume_id].status.published_node_ids), [rig.node_id], "nodes of an attached volume")
    expect_equal(list(listed[idle.volume_id].status.published_node_ids), [], "nodes of a volume that is not attached")
    rig.call(rpc.CONTROLLER_UNPUBLISH_VOLUME, rig.detach_request(volume))
    left = list(rig.listed()[volume.volume_id].status.published_node_ids)
    expect_equal(left, [], "nodes of a volume that was detached")
