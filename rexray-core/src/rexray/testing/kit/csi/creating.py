"""Making and deleting volumes: by name, once, however often it is said."""

from __future__ import annotations

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.testing.kit.check import expect, expect_equal
from rexray.testing.kit.csi_rig import CSIRig
from rexray.testing.kit.csi_served import CONTROLLER, Code, CSICall
from rexray.testing.kit.killing import sweep
from rexray.testing.kit.rig import times
from rexray.testing.kit.runs import long_name
from rexray.testing.kit.suites import CSI

_ID_BYTES = 128


@CSI.check()
def create_makes_a_volume_of_the_size(rig: CSIRig) -> None:
    """``CreateVolume`` answers with an id of 1 to 128 bytes, and at least as many bytes as were required."""
    volume = rig.create()
    size = len(volume.volume_id.encode())
    expect(0 < size <= _ID_BYTES, f"the volume's id has {size} bytes, of {_ID_BYTES} that it may have")
    expect(
        volume.capacity_bytes >= rig.size_bytes, f"asked for {rig.size_bytes} bytes, it made {volume.capacity_bytes}"
    )


@CSI.check()
def create_said_ten_times_makes_one_volume(rig: CSIRig) -> None:
    """``CreateVolume`` is idempotent: the same name and wish is the same volume."""
    name = rig.name()
    made = times(10, lambda: rig.create(name))
    found = {(volume.volume_id, volume.capacity_bytes) for volume in made}
    expect_equal(len(found), 1, f"different ids and sizes that ten CreateVolume of {name!r} answered")


@CSI.check()
def create_of_another_size_is_refused(rig: CSIRig) -> None:
    """The same name with a size that the volume does not have is ALREADY_EXISTS."""
    name = rig.name()
    volume = rig.create(name)
    larger = pb.CapacityRange(required_bytes=volume.capacity_bytes + 8 * rig.step_bytes)
    code = rig.code(rpc.CREATE_VOLUME, rig.create_request(name, capacity_range=larger))
    expect_equal(code, Code.ALREADY_EXISTS, "the status of CreateVolume with the same name and another size")


@CSI.check()
def create_without_its_fields_is_invalid(rig: CSIRig) -> None:
    """``CreateVolume`` without a name, or without a capability, is INVALID_ARGUMENT."""
    rig.need(CONTROLLER, "CREATE_DELETE_VOLUME")
    nameless = rig.create_request()
    nameless.name = ""
    expect_equal(rig.code(rpc.CREATE_VOLUME, nameless), Code.INVALID_ARGUMENT, "the status of it without a name")
    useless = rig.create_request(volume_capabilities=[])
    expect_equal(rig.code(rpc.CREATE_VOLUME, useless), Code.INVALID_ARGUMENT, "the status of it without a capability")


@CSI.check()
def create_of_an_impossible_size_is_refused(rig: CSIRig) -> None:
    """A size that is to be more than its own limit is OUT_OF_RANGE or INVALID_ARGUMENT."""
    rig.need(CONTROLLER, "CREATE_DELETE_VOLUME")
    wanted = pb.CapacityRange(required_bytes=2 * rig.size_bytes, limit_bytes=rig.size_bytes)
    code = rig.code(rpc.CREATE_VOLUME, rig.create_request(capacity_range=wanted))
    expect(code in (Code.OUT_OF_RANGE, Code.INVALID_ARGUMENT), f"the status of such a CreateVolume is {code}")


@CSI.check()
def names_of_128_bytes_are_told_apart(rig: CSIRig) -> None:
    """A name may have 128 bytes, and two that differ in the last one are two volumes with ids of 128 bytes at most."""
    stem = long_name(rig.name(), _ID_BYTES - 1)
    ids = [rig.create(stem + letter).volume_id for letter in "ab"]
    expect_equal(len(set(ids)), 2, "volumes of two names that differ in their 128th byte")
    expect(max(len(each.encode()) for each in ids) <= _ID_BYTES, "an id has more than 128 bytes")
    expect_equal(rig.create(stem + "a").volume_id, ids[0], "the volume of the first name when it is asked for again")


@CSI.check()
def a_unicode_name_works(rig: CSIRig) -> None:
    """A name may be in any script, and is the same name when it is said again."""
    name = rig.name("-größe-数据-данные-🚀")
    ids = {volume.volume_id for volume in times(2, lambda: rig.create(name))}
    expect_equal(len(ids), 1, f"different volumes of {name!r}")


@CSI.check()
def a_name_that_does_not_show_makes_nothing(rig: CSIRig) -> None:
    """A name with a control character in it is INVALID_ARGUMENT."""
    rig.need(CONTROLLER, "CREATE_DELETE_VOLUME")
    for bad in ("\0", "\n", "\x1b"):
        request = rig.create_request()
        request.name += bad
        expect_equal(
            rig.code(rpc.CREATE_VOLUME, request), Code.INVALID_ARGUMENT, f"the status of a name with {bad!r} in it"
        )


@CSI.check()
def eight_that_create_at_once_get_one_volume(rig: CSIRig) -> None:
    """Of the same CreateVolume at the same moment every one has the same volume, or is told to come back (ABORTED)."""
    rig.need(CONTROLLER, "CREATE_DELETE_VOLUME")
    name = rig.name()
    request = rig.create_request(name)
    codes = rig.together(*[lambda: rig.code(rpc.CREATE_VOLUME, request)] * 8)
    strange = [end for end in codes if end not in (Code.OK, Code.ABORTED)]
    rig.create(name)
    expect_equal(strange, [], "statuses of eight CreateVolume at once, other than OK and ABORTED")
    expect(Code.OK in codes, "none of eight CreateVolume at once succeeded")
    ids = {volume.volume_id for volume in times(2, lambda: rig.create(name))}
    expect_equal(len(ids), 1, "different volumes of that name afterwards")


@CSI.check()
def different_volumes_are_made_at_once(rig: CSIRig) -> None:
    """Calls for different volumes do not disturb each other."""
    rig.need(CONTROLLER, "CREATE_DELETE_VOLUME")
    names = [rig.name() for _ in range(8)]
    ends = rig.together(*(lambda name=name: rig.create(name).volume_id for name in names))
    errors = [end for end in ends if isinstance(end, Exception)]
    expect(not errors, f"of eight volumes that were made at once {len(errors)} failed: {errors[:1]}")
    expect_equal(len(set(ends)), 8, "volumes that were made at once")


@CSI.check()
def delete_said_ten_times_is_success(rig: CSIRig) -> None:
    """``DeleteVolume`` is idempotent: what does not exist is deleted, be it that it never was."""
    volume = rig.create()
    times(10, lambda: rig.call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=volume.volume_id)))
    rig.call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=rig.missing()))


@CSI.check()
def a_deleted_volume_is_gone(rig: CSIRig) -> None:
    """What was deleted is not listed any more, and nothing can be asked about it; its neighbour is there."""
    rig.need(CONTROLLER, "LIST_VOLUMES")
    volume, other = rig.create(), rig.create()
    rig.call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=volume.volume_id))
    listed = rig.listed()
    expect(volume.volume_id not in listed, "a volume that was deleted is listed")
    expect(other.volume_id in listed, "a volume that was not deleted is not listed")
    request = pb.ValidateVolumeCapabilitiesRequest(
        volume_id=volume.volume_id, volume_capabilities=[rig.capability()], volume_context=volume.volume_context
    )
    expect_equal(rig.code(rpc.VALIDATE_VOLUME_CAPABILITIES, request), Code.NOT_FOUND, "the status of a question on it")


@CSI.check()
def delete_without_an_id_is_invalid(rig: CSIRig) -> None:
    """``DeleteVolume`` without an id is INVALID_ARGUMENT, and no success."""
    rig.need(CONTROLLER, "CREATE_DELETE_VOLUME")
    expect_equal(rig.code(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest()), Code.INVALID_ARGUMENT, "the status of it")


@CSI.check()
def delete_of_an_attached_volume_is_refused(rig: CSIRig) -> None:
    """``DeleteVolume`` of what is attached is FAILED_PRECONDITION, and it is there afterwards."""
    rig.need(CONTROLLER, "PUBLISH_UNPUBLISH_VOLUME")
    volume = rig.create()
    rig.attach(volume)
    code = rig.code(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=volume.volume_id))
    expect_equal(code, Code.FAILED_PRECONDITION, "the status of DeleteVolume of an attached volume")
    rig.attach(volume)
    rig.call(rpc.CONTROLLER_UNPUBLISH_VOLUME, rig.detach_request(volume))


@CSI.check()
def a_create_that_was_killed_and_said_again_leaves_one_volume(rig: CSIRig) -> None:
    """A process that is killed anywhere in ``CreateVolume`` leaves what a repeat finishes: one volume."""
    rig.need(CONTROLLER, "CREATE_DELETE_VOLUME", "LIST_VOLUMES")
    before = set(rig.listed())

    def call() -> CSICall:
        return CSICall(method="CreateVolume", arguments=(rig.create_request(),))

    for killed in sweep(rig.target, rig.sources, call):
        (request,) = killed.call.arguments
        assert isinstance(request, pb.CreateVolumeRequest)
        volume = rig.keep_volume(rig.restarted().call(rpc.CREATE_VOLUME, request).volume)
        ours = [each for each in rig.listed() if each not in before]
        expect_equal(ours, [volume.volume_id], f"new volumes, killed {killed.where} and repeated")
        before.add(volume.volume_id)
