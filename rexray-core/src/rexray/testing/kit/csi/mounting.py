"""Staging and publishing on the node, in the order that CSI demands, and back."""

from __future__ import annotations

from rexray import mounts
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.testing.kit.check import expect, expect_equal
from rexray.testing.kit.csi_rig import CSIRig
from rexray.testing.kit.csi_served import CONTROLLER, NODE, Code, CSICall
from rexray.testing.kit.killing import sweep
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import CSI

_GONE = (Code.OK, Code.NOT_FOUND)
"""What a plug-in may answer to the taking back of what is not there."""


@CSI.check()
def every_step_may_be_said_three_times(rig: CSIRig) -> None:
    """Attach, stage, publish and the way back are idempotent, each of them."""
    rig.need_service(NODE)
    volume = rig.create()
    context = times(3, lambda: rig.attach(volume))[0]
    if rig.stages:
        times(3, lambda: rig.call(rpc.NODE_STAGE_VOLUME, rig.stage_request(volume, context)))
    times(3, lambda: rig.call(rpc.NODE_PUBLISH_VOLUME, rig.publish_request(volume, context)))
    times(3, lambda: rig.call(rpc.NODE_UNPUBLISH_VOLUME, rig.unpublish_request(volume)))
    if rig.stages:
        times(3, lambda: rig.call(rpc.NODE_UNSTAGE_VOLUME, rig.unstage_request(volume)))
    if "PUBLISH_UNPUBLISH_VOLUME" in rig.served.reported(CONTROLLER):
        times(3, lambda: rig.call(rpc.CONTROLLER_UNPUBLISH_VOLUME, rig.detach_request(volume)))


@CSI.check()
def stage_before_attach_is_refused(rig: CSIRig) -> None:
    """Of a plug-in that attaches, ``NodeStageVolume`` of a volume that is attached nowhere does not succeed."""
    rig.need(CONTROLLER, "PUBLISH_UNPUBLISH_VOLUME")
    rig.need(NODE, "STAGE_UNSTAGE_VOLUME")
    volume = rig.create()
    code = rig.code(rpc.NODE_STAGE_VOLUME, rig.stage_request(volume, {}))
    expect(code != Code.OK, "NodeStageVolume succeeded without ControllerPublishVolume")


@CSI.check()
def publish_before_stage_is_refused(rig: CSIRig) -> None:
    """``NodePublishVolume`` of a volume that is not staged is FAILED_PRECONDITION, and mounts nothing."""
    rig.need(NODE, "STAGE_UNSTAGE_VOLUME")
    volume = rig.create()
    context = rig.attach(volume)
    code = rig.code(rpc.NODE_PUBLISH_VOLUME, rig.publish_request(volume, context))
    expect_equal(code, Code.FAILED_PRECONDITION, "the status of NodePublishVolume without NodeStageVolume")
    place = rig.place(volume)
    expect(not (place.exists() and mounts.is_mount_point(place)), f"something is mounted at {place} all the same")


@CSI.check()
def stage_without_its_fields_is_invalid(rig: CSIRig) -> None:
    """``NodeStageVolume`` without a volume, a path or a capability is INVALID_ARGUMENT."""
    rig.need(NODE, "STAGE_UNSTAGE_VOLUME")
    volume = rig.create()
    context = rig.attach(volume)
    for field in ("volume_id", "staging_target_path", "volume_capability"):
        request = rig.stage_request(volume, context)
        request.ClearField(field)
        code = rig.code(rpc.NODE_STAGE_VOLUME, request)
        expect_equal(code, Code.INVALID_ARGUMENT, f"the status of it without {field}")


@CSI.check()
def publish_without_its_fields_is_invalid(rig: CSIRig) -> None:
    """``NodePublishVolume`` without a volume, a path or a capability is INVALID_ARGUMENT."""
    rig.need_service(NODE)
    volume = rig.create()
    context = rig.attach(volume)
    if rig.stages:
        rig.call(rpc.NODE_STAGE_VOLUME, rig.stage_request(volume, context))
    for field in ("volume_id", "target_path", "volume_capability"):
        request = rig.publish_request(volume, context)
        request.ClearField(field)
        code = rig.code(rpc.NODE_PUBLISH_VOLUME, request)
        expect_equal(code, Code.INVALID_ARGUMENT, f"the status of it without {field}")


@CSI.check()
def unpublish_and_unstage_without_their_fields_are_invalid(rig: CSIRig) -> None:
    """``NodeUnpublishVolume`` and ``NodeUnstageVolume`` without a volume or a path are INVALID_ARGUMENT."""
    rig.need_service(NODE)
    volume = rig.create()
    for request in (
        pb.NodeUnpublishVolumeRequest(volume_id=volume.volume_id),
        pb.NodeUnpublishVolumeRequest(target_path=str(rig.place(volume))),
    ):
        code = rig.code(rpc.NODE_UNPUBLISH_VOLUME, request)
        expect_equal(code, Code.INVALID_ARGUMENT, "the status of NodeUnpublishVolume without a field")
    for wish in (
        pb.NodeUnstageVolumeRequest(volume_id=volume.volume_id),
        pb.NodeUnstageVolumeRequest(staging_target_path=str(rig.staging(volume))),
    ):
        if rig.stages:
            code = rig.code(rpc.NODE_UNSTAGE_VOLUME, wish)
            expect_equal(code, Code.INVALID_ARGUMENT, "the status of NodeUnstageVolume without a field")


@CSI.check()
def what_was_never_published_can_be_taken_back(rig: CSIRig) -> None:
    """``NodeUnpublishVolume`` and ``NodeUnstageVolume`` of what is not there are success, or NOT_FOUND of no volume."""
    rig.need_service(NODE)
    volume = rig.create()
    rig.call(rpc.NODE_UNPUBLISH_VOLUME, rig.unpublish_request(volume))
    if rig.stages:
        rig.call(rpc.NODE_UNSTAGE_VOLUME, rig.unstage_request(volume))
    request = pb.NodeUnpublishVolumeRequest(volume_id=rig.missing(), target_path=str(rig.place(volume)))
    code = rig.code(rpc.NODE_UNPUBLISH_VOLUME, request)
    expect(code in _GONE, f"NodeUnpublishVolume of a volume that never was is {code}")


@CSI.check()
def a_published_volume_is_mounted(rig: CSIRig) -> None:
    """``NodePublishVolume`` makes the target path and mounts the volume there; the way back removes both."""
    rig.need_files()
    volume = rig.create()
    place = rig.use(volume)
    expect(mounts.is_mount_point(place), f"nothing is mounted at {place}")
    (place / "file").write_text("content")
    rig.leave(volume)
    expect(not place.exists(), f"{place} is there after NodeUnpublishVolume")


@CSI.check()
def what_was_written_is_there_in_the_next_mount(rig: CSIRig) -> None:
    """Data outlive the mount, the stage and the attachment, and no other volume has them."""
    rig.need_files()
    volume, other = rig.create(), rig.create()
    (rig.use(volume) / "file").write_text("content")
    rig.leave(volume)
    expect(not (rig.use(other) / "file").exists(), "another volume has the file")
    expect_equal((rig.use(volume) / "file").read_text(), "content", "what is read afterwards")


@CSI.check()
def a_read_only_target_takes_no_writes(rig: CSIRig) -> None:
    """A target that is published ``readonly`` can be read, and not written to; the volume's other target can."""
    rig.need_files()
    volume = rig.create()
    (rig.use(volume) / "file").write_text("content")
    rig.call(rpc.NODE_UNPUBLISH_VOLUME, rig.unpublish_request(volume))
    place = rig.use(volume, "b", readonly=True)
    expect_equal((place / "file").read_text(), "content", "what is read from a read-only target")
    try:
        (place / "other").write_text("x")
    except OSError:
        return
    expect(False, "a file was written to a read-only target")


@CSI.check()
def a_restart_knows_what_is_published(rig: CSIRig) -> None:
    """A plug-in that is started anew takes back what the one before it published and staged."""
    rig.need_service(NODE)
    volume = rig.create()
    place = rig.use(volume)
    fresh = rig.restarted()
    fresh.call(rpc.NODE_UNPUBLISH_VOLUME, rig.unpublish_request(volume))
    if rig.stages:
        fresh.call(rpc.NODE_UNSTAGE_VOLUME, rig.unstage_request(volume))
    if "PUBLISH_UNPUBLISH_VOLUME" in fresh.reported(CONTROLLER):
        fresh.call(rpc.CONTROLLER_UNPUBLISH_VOLUME, rig.detach_request(volume))
    expect(not place.exists(), f"{place} is there after NodeUnpublishVolume by another process")
    code = fresh.code(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=volume.volume_id))
    expect_equal(code, Code.OK, "the status of DeleteVolume, for nothing has the volume any more")


@CSI.check()
def a_publish_that_was_killed_can_be_said_again(rig: CSIRig) -> None:
    """A process that is killed anywhere in ``NodePublishVolume`` leaves what a repeat finishes and can be undone."""
    rig.need_service(NODE)
    volumes: dict[str, pb.Volume] = {}

    def call() -> CSICall:
        volume = rig.create()
        volumes[volume.volume_id] = volume
        context = rig.attach(volume)
        if rig.stages:
            rig.call(rpc.NODE_STAGE_VOLUME, rig.stage_request(volume, context))
        return CSICall(method="NodePublishVolume", arguments=(rig.publish_request(volume, context),))

    for killed in sweep(rig.target, rig.sources, call):
        (request,) = killed.call.arguments
        assert isinstance(request, pb.NodePublishVolumeRequest)
        code = rig.restarted().code(rpc.NODE_PUBLISH_VOLUME, request)
        expect_equal(code, Code.OK, f"the status of NodePublishVolume, killed {killed.where} and repeated")
        volume = volumes[request.volume_id]
        rig.leave(volume)
        expect(not rig.place(volume).exists(), f"{rig.place(volume)} is there afterwards, killed {killed.where}")


@CSI.check()
def statistics_are_told_of_what_is_mounted(rig: CSIRig) -> None:
    """``NodeGetVolumeStats`` of a published volume tells bytes; elsewhere, and of no volume, it is NOT_FOUND."""
    rig.need(NODE, "GET_VOLUME_STATS")
    volume = rig.create()
    place = rig.use(volume)
    request = pb.NodeGetVolumeStatsRequest(volume_id=volume.volume_id, volume_path=str(place))
    usage = rig.call(rpc.NODE_GET_VOLUME_STATS, request).usage
    bytes_ = [each for each in usage if each.unit == pb.VolumeUsage.BYTES]
    expect_equal(len(bytes_), 1, "usages in bytes")
    expect(bytes_[0].total > 0, f"the total is {bytes_[0].total} bytes")
    for wrong in (
        pb.NodeGetVolumeStatsRequest(volume_id=volume.volume_id, volume_path=str(place) + "-not"),
        pb.NodeGetVolumeStatsRequest(volume_id=rig.missing(), volume_path=str(place)),
    ):
        expect_equal(
            rig.code(rpc.NODE_GET_VOLUME_STATS, wrong), Code.NOT_FOUND, f"the status of {str(wrong).strip()!r}"
        )


@CSI.check()
def statistics_without_their_fields_are_invalid(rig: CSIRig) -> None:
    """``NodeGetVolumeStats`` without a volume or a path is INVALID_ARGUMENT."""
    rig.need(NODE, "GET_VOLUME_STATS")
    for request in (
        pb.NodeGetVolumeStatsRequest(volume_path=str(rig.folder)),
        pb.NodeGetVolumeStatsRequest(volume_id=rig.missing()),
    ):
        code = rig.code(rpc.NODE_GET_VOLUME_STATS, request)
        expect_equal(code, Code.INVALID_ARGUMENT, "the status of NodeGetVolumeStats without a field")
