"""Growing and modifying volumes, how they are, and what nobody may be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import RexrayError
from rexray.testing.kit.check import expect, expect_equal
from rexray.testing.kit.csi_rig import CSIRig
from rexray.testing.kit.csi_served import CONTROLLER, NODE, Code
from rexray.testing.kit.rig import times
from rexray.testing.kit.runs import overhearing
from rexray.testing.kit.suites import CSI

_CANARY = "canary-that-nobody-may-see"


def _growth(rig: CSIRig, volume: pb.Volume) -> pb.ControllerExpandVolumeRequest:
    return pb.ControllerExpandVolumeRequest(
        volume_id=volume.volume_id,
        capacity_range=pb.CapacityRange(required_bytes=volume.capacity_bytes + rig.step_bytes),
        volume_capability=rig.capability(),
    )


@CSI.check()
def a_volume_grows_once(rig: CSIRig) -> None:
    """``ControllerExpandVolume`` is idempotent: to at least the size that is asked for, not by it."""
    rig.need(CONTROLLER, "EXPAND_VOLUME")
    volume = rig.create()
    request = _growth(rig, volume)
    sizes = {rig.call(rpc.CONTROLLER_EXPAND_VOLUME, request).capacity_bytes for _ in range(5)}
    expect_equal(len(sizes), 1, "different sizes that five ControllerExpandVolume answered")
    wanted = request.capacity_range.required_bytes
    expect(min(sizes) >= wanted, f"asked for {wanted} bytes, it has {min(sizes)}")
    if "LIST_VOLUMES" in rig.served.reported(CONTROLLER):
        expect_equal({rig.listed()[volume.volume_id].volume.capacity_bytes}, sizes, "the size in the list")


@CSI.check()
def a_volume_never_shrinks(rig: CSIRig) -> None:
    """A smaller size than the volume has is success without a change, or an error, and no loss of data."""
    rig.need(CONTROLLER, "EXPAND_VOLUME")
    volume = rig.create()
    grown = rig.call(rpc.CONTROLLER_EXPAND_VOLUME, _growth(rig, volume)).capacity_bytes
    request = _growth(rig, volume)
    request.capacity_range.required_bytes = volume.capacity_bytes
    size = rig.call(rpc.CONTROLLER_EXPAND_VOLUME, request).capacity_bytes
    expect(size >= grown, f"the volume had {grown} bytes, and has {size} after it was to have fewer")


@CSI.check()
def growing_without_its_fields_is_invalid(rig: CSIRig) -> None:
    """``ControllerExpandVolume`` without an id or a size is INVALID_ARGUMENT, of no volume NOT_FOUND."""
    rig.need(CONTROLLER, "EXPAND_VOLUME")
    volume = rig.create()
    for field in ("volume_id", "capacity_range"):
        request = _growth(rig, volume)
        request.ClearField(field)
        code = rig.code(rpc.CONTROLLER_EXPAND_VOLUME, request)
        expect_equal(code, Code.INVALID_ARGUMENT, f"the status of it without {field}")
    request = _growth(rig, volume)
    request.volume_id = rig.missing()
    expect_equal(rig.code(rpc.CONTROLLER_EXPAND_VOLUME, request), Code.NOT_FOUND, "the status of it of no volume")


@CSI.check()
def a_mounted_volume_grows(rig: CSIRig) -> None:
    """``NodeExpandVolume`` after the controller's is idempotent, and tells at least the size that was asked for."""
    rig.need(CONTROLLER, "EXPAND_VOLUME")
    rig.need(NODE, "EXPAND_VOLUME")
    volume = rig.create()
    place = rig.use(volume)
    request = _growth(rig, volume)
    rig.call(rpc.CONTROLLER_EXPAND_VOLUME, request)
    asked = pb.NodeExpandVolumeRequest(
        volume_id=volume.volume_id,
        volume_path=str(place),
        staging_target_path=str(rig.staging(volume)) if rig.stages else "",
        volume_capability=rig.capability(),
    )
    sizes = {answer.capacity_bytes for answer in times(3, lambda: rig.call(rpc.NODE_EXPAND_VOLUME, asked))}
    wanted = request.capacity_range.required_bytes
    expect(min(sizes) == 0 or min(sizes) >= wanted, f"asked for {wanted} bytes, the node says {min(sizes)}")


@CSI.check()
def node_growth_without_its_fields_is_invalid(rig: CSIRig) -> None:
    """``NodeExpandVolume`` without a volume or a path is INVALID_ARGUMENT, of what is not there NOT_FOUND."""
    rig.need(NODE, "EXPAND_VOLUME")
    for what, request, code in (
        ("without a volume", pb.NodeExpandVolumeRequest(volume_path=str(rig.folder)), Code.INVALID_ARGUMENT),
        ("without a path", pb.NodeExpandVolumeRequest(volume_id=rig.missing()), Code.INVALID_ARGUMENT),
        (
            "of no volume",
            pb.NodeExpandVolumeRequest(volume_id=rig.missing(), volume_path=str(rig.folder)),
            Code.NOT_FOUND,
        ),
    ):
        expect_equal(rig.code(rpc.NODE_EXPAND_VOLUME, request), code, f"the status of it {what}")


@CSI.check()
def modifying_a_missing_volume_is_not_found(rig: CSIRig) -> None:
    """``ControllerModifyVolume`` of a volume that is not there is NOT_FOUND, without an id INVALID_ARGUMENT."""
    rig.need(CONTROLLER, "MODIFY_VOLUME")
    for volume_id, code in ((rig.missing(), Code.NOT_FOUND), ("", Code.INVALID_ARGUMENT)):
        request = pb.ControllerModifyVolumeRequest(volume_id=volume_id)
        expect_equal(rig.code(rpc.CONTROLLER_MODIFY_VOLUME, request), code, f"the status of it with id {volume_id!r}")


@CSI.check()
def a_new_volume_is_well(rig: CSIRig) -> None:
    """``ControllerGetVolumeHealth`` of a new volume tells its id and nothing wrong; of none it is NOT_FOUND."""
    rig.need(CONTROLLER, "GET_VOLUME_HEALTH")
    volume = rig.create()
    request = pb.ControllerGetVolumeHealthRequest(volume_id=volume.volume_id)
    health = rig.call(rpc.CONTROLLER_GET_VOLUME_HEALTH, request).volume_health
    expect_equal(health.volume_id, volume.volume_id, "the volume that the health is of")
    expect_equal([each.message for each in health.health_statuses], [], "what is wrong with a new volume")
    for volume_id, code in ((rig.missing(), Code.NOT_FOUND), ("", Code.INVALID_ARGUMENT)):
        request = pb.ControllerGetVolumeHealthRequest(volume_id=volume_id)
        found = rig.code(rpc.CONTROLLER_GET_VOLUME_HEALTH, request)
        expect_equal(found, code, f"the status of it with id {volume_id!r}")


@CSI.check()
def a_well_volume_is_not_among_the_sick(rig: CSIRig) -> None:
    """``ControllerListVolumeHealth`` has no complaint about a new volume; a token that is none is ABORTED."""
    rig.need(CONTROLLER, "LIST_VOLUME_HEALTH")
    volume = rig.create()
    entries = rig.call(rpc.CONTROLLER_LIST_VOLUME_HEALTH, pb.ControllerListVolumeHealthRequest()).entries
    said = [each.health_statuses for each in entries if each.volume_id == volume.volume_id and each.health_statuses]
    expect_equal(said, [], "what is wrong with a new volume")
    request = pb.ControllerListVolumeHealthRequest(starting_token="no such token")
    expect_equal(
        rig.code(rpc.CONTROLLER_LIST_VOLUME_HEALTH, request), Code.ABORTED, "the status of a token that is none"
    )


@CSI.check()
def a_mounted_volume_is_well(rig: CSIRig) -> None:
    """``NodeGetVolumeHealth`` of a published volume tells its id and nothing wrong."""
    rig.need(NODE, "GET_VOLUME_HEALTH")
    volume = rig.create()
    place = rig.use(volume)
    request = pb.NodeGetVolumeHealthRequest(
        volume_id=volume.volume_id,
        volume_publish_path=str(place),
        staging_target_path=str(rig.staging(volume)) if rig.stages else "",
    )
    health = rig.call(rpc.NODE_GET_VOLUME_HEALTH, request).volume_health
    expect_equal(health.volume_id, volume.volume_id, "the volume that the health is of")
    expect_equal([each.message for each in health.health_statuses], [], "what is wrong with a new volume")


@CSI.check()
def secrets_are_not_told(rig: CSIRig) -> None:
    """No secret of a request, and no secret setting, is in a log or in an error's details."""
    rig.need(CONTROLLER, "CREATE_DELETE_VOLUME")
    secrets = {"password": _CANARY}
    said: list[str] = []
    with overhearing() as heard:
        volume = rig.create(secrets=secrets)
        for call, request in _failing(rig, volume, secrets).items():
            try:
                rig.call(call, request)
            except RexrayError as error:
                said += [str(error), repr(error)]
        said += [repr(rig.served.plugin), repr(vars(rig.served.plugin)), str(volume)]
        rig.call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=volume.volume_id, secrets=secrets))
    for secret in (_CANARY, *rig.secrets()):
        expect(not any(secret in text for text in said), "a secret is in an error, or in what an object says")
        expect(not any(secret in text for text in heard), "a secret is in the log")


def _failing(rig: CSIRig, volume: pb.Volume, secrets: Mapping[str, str]) -> Mapping[rpc.Call[Any, Any], Any]:
    """Calls with secrets that cannot succeed."""
    larger = pb.CapacityRange(required_bytes=volume.capacity_bytes * 1000, limit_bytes=1)
    missing = rig.missing()
    found: dict[rpc.Call[Any, Any], Any] = {
        rpc.CREATE_VOLUME: rig.create_request(secrets=secrets, capacity_range=larger),
        rpc.DELETE_VOLUME: pb.DeleteVolumeRequest(secrets=secrets),
        rpc.CONTROLLER_PUBLISH_VOLUME: pb.ControllerPublishVolumeRequest(volume_id=missing, secrets=secrets),
        rpc.CONTROLLER_UNPUBLISH_VOLUME: pb.ControllerUnpublishVolumeRequest(secrets=secrets),
        rpc.VALIDATE_VOLUME_CAPABILITIES: pb.ValidateVolumeCapabilitiesRequest(volume_id=missing, secrets=secrets),
        rpc.CREATE_SNAPSHOT: pb.CreateSnapshotRequest(name=missing, source_volume_id=missing, secrets=secrets),
        rpc.CONTROLLER_EXPAND_VOLUME: pb.ControllerExpandVolumeRequest(volume_id=missing, secrets=secrets),
        rpc.NODE_STAGE_VOLUME: pb.NodeStageVolumeRequest(volume_id=missing, secrets=secrets),
        rpc.NODE_PUBLISH_VOLUME: pb.NodePublishVolumeRequest(volume_id=missing, secrets=secrets),
    }
    return {call: request for call, request in found.items() if call.path in rig.served.handlers}
