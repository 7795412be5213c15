"""Lists: page by page, and each volume as it is by itself."""

from __future__ import annotations

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.testing.kit.check import expect, expect_equal
from rexray.testing.kit.csi_rig import CSIRig
from rexray.testing.kit.csi_served import CONTROLLER, Code
from rexray.testing.kit.suites import CSI


@CSI.check()
def a_list_has_what_was_created(rig: CSIRig) -> None:
    """``ListVolumes`` has each volume once, from the moment at which CreateVolume has answered."""
    rig.need(CONTROLLER, "LIST_VOLUMES")
    made = [rig.create().volume_id for _ in range(3)]
    entries = rig.call(rpc.LIST_VOLUMES, pb.ListVolumesRequest()).entries
    found = [entry.volume.volume_id for entry in entries if entry.volume.volume_id in made]
    expect_equal(sorted(found), sorted(made), "the new volumes in the list")


@CSI.check()
def a_list_can_be_had_in_pages(rig: CSIRig) -> None:
    """Pages of ``max_entries`` are no longer than that, and together they are the whole list, each volume once."""
    rig.need(CONTROLLER, "LIST_VOLUMES")
    for _ in range(3):
        rig.create()
    whole, found, token = sorted(rig.listed()), list[str](), ""
    for _ in range(len(whole) + 1):
        page = rig.call(rpc.LIST_VOLUMES, pb.ListVolumesRequest(max_entries=2, starting_token=token))
        expect(len(page.entries) <= 2, f"asked for 2 entries at most, a page has {len(page.entries)}")
        found += [entry.volume.volume_id for entry in page.entries]
        token = page.next_token
        if not token:
            break
    expect(not token, f"the list has {len(whole)} volumes, and {len(found)} entries were not its end")
    expect_equal(sorted(found), whole, "the volumes of all pages")


@CSI.check()
def a_page_survives_what_is_deleted(rig: CSIRig) -> None:
    """A token stays good, or is ABORTED, when the volumes of its page are deleted; nothing else is left out."""
    rig.need(CONTROLLER, "LIST_VOLUMES")
    made = [rig.create().volume_id for _ in range(3)]
    page = rig.call(rpc.LIST_VOLUMES, pb.ListVolumesRequest(max_entries=1))
    seen = [entry.volume.volume_id for entry in page.entries]
    for volume_id in seen:
        if volume_id in made:
            rig.call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=volume_id))
    request = pb.ListVolumesRequest(starting_token=page.next_token)
    if rig.code(rpc.LIST_VOLUMES, request) == Code.ABORTED:
        return
    rest = {entry.volume.volume_id for entry in rig.call(rpc.LIST_VOLUMES, request).entries}
    expect_equal(sorted(set(made) - rest - set(seen)), [], "volumes that neither page has")


@CSI.check(reads_only=True)
def a_token_that_is_none_is_aborted(rig: CSIRig) -> None:
    """A ``starting_token`` that the plug-in did not hand out is ABORTED: the list begins anew."""
    rig.need(CONTROLLER, "LIST_VOLUMES")
    code = rig.code(rpc.LIST_VOLUMES, pb.ListVolumesRequest(starting_token="no such token"))
    expect_equal(code, Code.ABORTED, "the status of ListVolumes with a token that is none")


@CSI.check()
def a_volume_by_itself_is_as_in_the_list(rig: CSIRig) -> None:
    """``ControllerGetVolume`` tells the same of a volume as the list does; one that is not there is NOT_FOUND."""
    rig.need(CONTROLLER, "GET_VOLUME", "LIST_VOLUMES")
    volume = rig.create()
    found = rig.call(rpc.CONTROLLER_GET_VOLUME, pb.ControllerGetVolumeRequest(volume_id=volume.volume_id)).volume
    listed = rig.listed()[volume.volume_id].volume
    expect_equal(found.volume_id, volume.volume_id, "the volume's id")
    expect_equal(
        (found.capacity_bytes, listed.capacity_bytes), (volume.capacity_bytes,) * 2, "its size, here and there"
    )
    code = rig.code(rpc.CONTROLLER_GET_VOLUME, pb.ControllerGetVolumeRequest(volume_id=rig.missing()))
    expect_equal(code, Code.NOT_FOUND, "the status of ControllerGetVolume of a volume that never was")


@CSI.check()
def get_volume_without_an_id_is_invalid(rig: CSIRig) -> None:
    """``ControllerGetVolume`` without an id is INVALID_ARGUMENT."""
    rig.need(CONTROLLER, "GET_VOLUME")
    code = rig.code(rpc.CONTROLLER_GET_VOLUME, pb.ControllerGetVolumeRequest())
    expect_equal(code, Code.INVALID_ARGUMENT, "the status of it")


@CSI.check()
def capabilities_that_a_volume_has_are_confirmed(rig: CSIRig) -> None:
    """``ValidateVolumeCapabilities`` confirms what the volume was made for."""
    volume, wanted = rig.create(), rig.capability()
    request = pb.ValidateVolumeCapabilitiesRequest(
        volume_id=volume.volume_id,
        volume_capabilities=[wanted],
        volume_context=volume.volume_context,
        parameters=rig.parameters,
    )
    answer = rig.call(rpc.VALIDATE_VOLUME_CAPABILITIES, request)
    expect_equal(list(answer.confirmed.volume_capabilities), [wanted], f"confirmed (message: {answer.message!r})")


@CSI.check()
def validate_without_its_fields_is_invalid(rig: CSIRig) -> None:
    """``ValidateVolumeCapabilities`` without an id or capabilities is INVALID_ARGUMENT, of no volume NOT_FOUND."""
    volume, wanted = rig.create(), [rig.capability()]
    asked = pb.ValidateVolumeCapabilitiesRequest
    for what, request, code in (
        ("without an id", asked(volume_capabilities=wanted), Code.INVALID_ARGUMENT),
        ("without capabilities", asked(volume_id=volume.volume_id), Code.INVALID_ARGUMENT),
        ("of no volume", asked(volume_id=rig.missing(), volume_capabilities=wanted), Code.NOT_FOUND),
    ):
        expect_equal(rig.code(rpc.VALIDATE_VOLUME_CAPABILITIES, request), code, f"the status of it {what}")
