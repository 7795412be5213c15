"""Snapshots, group snapshots, and volumes that are made of them or of other volumes."""

from __future__ import annotations

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.testing.kit.check import expect, expect_equal
from rexray.testing.kit.csi_rig import CSIRig
from rexray.testing.kit.csi_served import CONTROLLER, GROUP, Code
from rexray.testing.kit.rig import times
from rexray.testing.kit.suites import CSI

_SNAPSHOTS = "CREATE_DELETE_SNAPSHOT"
_GROUPS = "CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT"


@CSI.check()
def a_snapshot_said_ten_times_is_one(rig: CSIRig) -> None:
    """``CreateSnapshot`` is idempotent: the same name and source is the same snapshot, taken when it was taken."""
    rig.need(CONTROLLER, _SNAPSHOTS)
    volume, name = rig.create(), rig.name("-s")
    taken = times(10, lambda: rig.snapshot(volume, name))
    expect_equal(len({each.snapshot_id for each in taken}), 1, "different ids that ten CreateSnapshot answered")
    expect_equal(len({each.creation_time.ToNanoseconds() for each in taken}), 1, "different times of the snapshot")
    expect_equal(taken[0].source_volume_id, volume.volume_id, "the volume that the snapshot is of")


@CSI.check()
def a_snapshot_of_another_volume_is_refused(rig: CSIRig) -> None:
    """The same name with another source is ALREADY_EXISTS."""
    rig.need(CONTROLLER, _SNAPSHOTS)
    volume, other, name = rig.create(), rig.create(), rig.name("-s")
    rig.snapshot(volume, name)
    request = pb.CreateSnapshotRequest(name=name, source_volume_id=other.volume_id)
    expect_equal(rig.code(rpc.CREATE_SNAPSHOT, request), Code.ALREADY_EXISTS, "the status of it")


@CSI.check()
def a_snapshot_without_its_fields_is_invalid(rig: CSIRig) -> None:
    """``CreateSnapshot`` without a name or a source, and ``DeleteSnapshot`` without an id, are INVALID_ARGUMENT."""
    rig.need(CONTROLLER, _SNAPSHOTS)
    volume = rig.create()
    for request in (
        pb.CreateSnapshotRequest(source_volume_id=volume.volume_id),
        pb.CreateSnapshotRequest(name=rig.name("-s")),
    ):
        code = rig.code(rpc.CREATE_SNAPSHOT, request)
        expect_equal(code, Code.INVALID_ARGUMENT, "the status of CreateSnapshot without a field")
    code = rig.code(rpc.DELETE_SNAPSHOT, pb.DeleteSnapshotRequest())
    expect_equal(code, Code.INVALID_ARGUMENT, "the status of DeleteSnapshot without an id")


@CSI.check()
def a_snapshot_of_a_missing_volume_is_not_found(rig: CSIRig) -> None:
    """``CreateSnapshot`` of a volume that is not there is NOT_FOUND."""
    rig.need(CONTROLLER, _SNAPSHOTS)
    request = pb.CreateSnapshotRequest(name=rig.name("-s"), source_volume_id=rig.missing())
    expect_equal(rig.code(rpc.CREATE_SNAPSHOT, request), Code.NOT_FOUND, "the status of it")


@CSI.check()
def deleting_a_snapshot_ten_times_is_success(rig: CSIRig) -> None:
    """``DeleteSnapshot`` is idempotent: what does not exist is deleted, be it that it never was."""
    rig.need(CONTROLLER, _SNAPSHOTS)
    taken = rig.snapshot(rig.create())
    times(10, lambda: rig.call(rpc.DELETE_SNAPSHOT, pb.DeleteSnapshotRequest(snapshot_id=taken.snapshot_id)))
    rig.call(rpc.DELETE_SNAPSHOT, pb.DeleteSnapshotRequest(snapshot_id=rig.missing()))


@CSI.check()
def snapshots_are_listed_by_volume_and_by_id(rig: CSIRig) -> None:
    """``ListSnapshots`` gives all, or those of one volume, or that one; of what is not there an empty list."""
    rig.need(CONTROLLER, _SNAPSHOTS, "LIST_SNAPSHOTS")
    volume, other = rig.create(), rig.create()
    mine, also, others = rig.snapshot(volume), rig.snapshot(volume), rig.snapshot(other)

    def listed(**asked: str) -> list[str]:
        entries = rig.call(rpc.LIST_SNAPSHOTS, pb.ListSnapshotsRequest(**asked)).entries  # type: ignore[arg-type]
        return sorted(entry.snapshot.snapshot_id for entry in entries)

    pair = sorted([mine.snapshot_id, also.snapshot_id])
    expect_equal(listed(source_volume_id=volume.volume_id), pair, "the snapshots of one volume")
    expect_equal(listed(snapshot_id=others.snapshot_id), [others.snapshot_id], "the snapshot of one id")
    expect_equal(sorted({*pair, others.snapshot_id} - set(listed())), [], "snapshots that the list of all lacks")
    expect_equal(listed(source_volume_id=rig.missing()), [], "the snapshots of a volume that never was")
    expect_equal(listed(snapshot_id=rig.missing()), [], "the snapshots of an id that never was")
    rig.call(rpc.DELETE_SNAPSHOT, pb.DeleteSnapshotRequest(snapshot_id=mine.snapshot_id))
    expect_equal(listed(source_volume_id=volume.volume_id), [also.snapshot_id], "the same after one was deleted")


@CSI.check()
def snapshots_can_be_had_in_pages(rig: CSIRig) -> None:
    """Pages of snapshots are the whole list together, each once; a token that is none is ABORTED."""
    rig.need(CONTROLLER, _SNAPSHOTS, "LIST_SNAPSHOTS")
    volume, found, token = rig.create(), list[str](), ""
    taken = [rig.snapshot(volume).snapshot_id for _ in range(3)]
    for _ in taken:
        request = pb.ListSnapshotsRequest(source_volume_id=volume.volume_id, max_entries=1, starting_token=token)
        page = rig.call(rpc.LIST_SNAPSHOTS, request)
        expect_equal(len(page.entries), 1, "entries of a page, of which there are 3 with 1 each")
        found += [entry.snapshot.snapshot_id for entry in page.entries]
        token = page.next_token
    expect_equal((sorted(found), token), (sorted(taken), ""), "the snapshots of all pages, and the last one's token")
    code = rig.code(rpc.LIST_SNAPSHOTS, pb.ListSnapshotsRequest(starting_token="no such token"))
    expect_equal(code, Code.ABORTED, "the status of ListSnapshots with a token that is none")


@CSI.check()
def a_snapshot_can_be_looked_up(rig: CSIRig) -> None:
    """``GetSnapshot`` tells of one; of none it is NOT_FOUND, without an id INVALID_ARGUMENT."""
    rig.need(CONTROLLER, _SNAPSHOTS, "GET_SNAPSHOT")
    taken = rig.snapshot(rig.create())
    found = rig.call(rpc.GET_SNAPSHOT, pb.GetSnapshotRequest(snapshot_id=taken.snapshot_id)).snapshot
    said = (found.snapshot_id, found.source_volume_id)
    expect_equal(said, (taken.snapshot_id, taken.source_volume_id), "the snapshot's id and source")
    for request, code in (
        (pb.GetSnapshotRequest(snapshot_id=rig.missing()), Code.NOT_FOUND),
        (pb.GetSnapshotRequest(), Code.INVALID_ARGUMENT),
    ):
        expect_equal(rig.code(rpc.GET_SNAPSHOT, request), code, f"the status of it with id {request.snapshot_id!r}")


@CSI.check()
def a_volume_can_be_made_of_a_snapshot(rig: CSIRig) -> None:
    """A volume of a snapshot says so, is as large, and is the same one when it is asked for again."""
    rig.need(CONTROLLER, _SNAPSHOTS)
    volume = rig.create()
    source = _of_snapshot(rig.snapshot(volume).snapshot_id)
    _check_copy(rig, volume, source)


@CSI.check()
def a_volume_of_a_missing_snapshot_is_not_found(rig: CSIRig) -> None:
    """``CreateVolume`` of a snapshot that is not there is NOT_FOUND, and makes nothing empty instead."""
    rig.need(CONTROLLER, "CREATE_DELETE_VOLUME", _SNAPSHOTS)
    request = rig.create_request(volume_content_source=_of_snapshot(rig.missing()))
    expect_equal(rig.code(rpc.CREATE_VOLUME, request), Code.NOT_FOUND, "the status of it")


@CSI.check()
def a_volume_can_be_cloned(rig: CSIRig) -> None:
    """A clone of a volume says so, is as large, and is the same one when it is asked for again."""
    rig.need(CONTROLLER, "CLONE_VOLUME")
    volume = rig.create()
    _check_copy(rig, volume, _of_volume(volume.volume_id))


@CSI.check()
def a_clone_of_a_missing_volume_is_not_found(rig: CSIRig) -> None:
    """``CreateVolume`` of a volume that is not there is NOT_FOUND, and makes nothing empty instead."""
    rig.need(CONTROLLER, "CREATE_DELETE_VOLUME", "CLONE_VOLUME")
    request = rig.create_request(volume_content_source=_of_volume(rig.missing()))
    expect_equal(rig.code(rpc.CREATE_VOLUME, request), Code.NOT_FOUND, "the status of it")


def _check_copy(rig: CSIRig, volume: pb.Volume, source: pb.VolumeContentSource) -> None:
    name, size = rig.name(), pb.CapacityRange(required_bytes=volume.capacity_bytes)
    copy = rig.create(name, volume_content_source=source, capacity_range=size)
    expect_equal(copy.content_source, source, "the content source that the copy tells")
    expect(
        copy.capacity_bytes >= volume.capacity_bytes,
        f"the copy has {copy.capacity_bytes} bytes, its source {volume.capacity_bytes}",
    )
    again = rig.create(name, volume_content_source=source, capacity_range=size)
    expect_equal(again.volume_id, copy.volume_id, "the copy when it is asked for again")
    expect(copy.volume_id != volume.volume_id, "the copy is the volume itself")


def _of_snapshot(snapshot_id: str) -> pb.VolumeContentSource:
    return pb.VolumeContentSource(snapshot=pb.VolumeContentSource.SnapshotSource(snapshot_id=snapshot_id))


def _of_volume(volume_id: str) -> pb.VolumeContentSource:
    return pb.VolumeContentSource(volume=pb.VolumeContentSource.VolumeSource(volume_id=volume_id))


@CSI.check()
def a_copy_has_the_data(rig: CSIRig) -> None:
    """What was in the volume is in its clone, and stays there when it is changed in the volume."""
    rig.need_files()
    rig.need(CONTROLLER, "CLONE_VOLUME")
    volume = rig.create()
    (rig.use(volume) / "file").write_text("content")
    rig.leave(volume)
    size = pb.CapacityRange(required_bytes=volume.capacity_bytes)
    copy = rig.create(volume_content_source=_of_volume(volume.volume_id), capacity_range=size)
    (rig.use(volume) / "file").write_text("changed")
    expect_equal((rig.use(copy) / "file").read_text(), "content", "what is read from the clone")


@CSI.check()
def a_group_said_ten_times_is_one(rig: CSIRig) -> None:
    """``CreateVolumeGroupSnapshot`` is idempotent, with a snapshot for each volume that knows its group."""
    rig.need(GROUP, _GROUPS)
    volumes, name = [rig.create(), rig.create()], rig.name("-g")
    taken = times(10, lambda: rig.group(*volumes, name=name))
    expect_equal(len({each.group_snapshot_id for each in taken}), 1, "different ids that ten calls answered")
    members = [(each.source_volume_id, each.group_snapshot_id) for each in taken[-1].snapshots]
    wanted = [(volume.volume_id, taken[0].group_snapshot_id) for volume in volumes]
    expect_equal(sorted(members), sorted(wanted), "the members' volumes, and the group that they know")


@CSI.check()
def a_group_of_other_volumes_is_refused(rig: CSIRig) -> None:
    """The same name with other volumes is ALREADY_EXISTS."""
    rig.need(GROUP, _GROUPS)
    volume, other, name = rig.create(), rig.create(), rig.name("-g")
    rig.group(volume, name=name)
    request = pb.CreateVolumeGroupSnapshotRequest(name=name, source_volume_ids=[other.volume_id])
    expect_equal(rig.code(rpc.CREATE_VOLUME_GROUP_SNAPSHOT, request), Code.ALREADY_EXISTS, "the status of it")


@CSI.check()
def a_group_with_a_missing_volume_takes_nothing(rig: CSIRig) -> None:
    """A group of which one volume is not there is NOT_FOUND, and no snapshot is taken of the others."""
    rig.need(GROUP, _GROUPS)
    volume, name = rig.create(), rig.name("-g")
    request = pb.CreateVolumeGroupSnapshotRequest(name=name, source_volume_ids=[volume.volume_id, rig.missing()])
    expect_equal(rig.code(rpc.CREATE_VOLUME_GROUP_SNAPSHOT, request), Code.NOT_FOUND, "the status of it")
    rig.need(CONTROLLER, "LIST_SNAPSHOTS")
    left = rig.call(rpc.LIST_SNAPSHOTS, pb.ListSnapshotsRequest(source_volume_id=volume.volume_id)).entries
    expect_equal(len(left), 0, "snapshots of the volume that is there")


@CSI.check()
def a_group_can_be_looked_up_until_it_is_deleted(rig: CSIRig) -> None:
    """``GetVolumeGroupSnapshot`` tells of a group; deleted, ten times, it is NOT_FOUND."""
    rig.need(GROUP, _GROUPS)
    taken = rig.group(rig.create(), rig.create())
    asked = pb.GetVolumeGroupSnapshotRequest(group_snapshot_id=taken.group_snapshot_id)
    found = rig.call(rpc.GET_VOLUME_GROUP_SNAPSHOT, asked).group_snapshot
    ids = sorted(each.snapshot_id for each in found.snapshots)
    expect_equal(ids, sorted(each.snapshot_id for each in taken.snapshots), "the members")
    request = pb.DeleteVolumeGroupSnapshotRequest(group_snapshot_id=taken.group_snapshot_id)
    times(10, lambda: rig.call(rpc.DELETE_VOLUME_GROUP_SNAPSHOT, request))
    expect_equal(rig.code(rpc.GET_VOLUME_GROUP_SNAPSHOT, asked), Code.NOT_FOUND, "the status after it was deleted")


@CSI.check()
def a_group_without_its_fields_is_invalid(rig: CSIRig) -> None:
    """The calls on groups without a name, volumes or an id are INVALID_ARGUMENT."""
    rig.need(GROUP, _GROUPS)
    volume = rig.create()
    for request in (
        pb.CreateVolumeGroupSnapshotRequest(source_volume_ids=[volume.volume_id]),
        pb.CreateVolumeGroupSnapshotRequest(name=rig.name("-g")),
    ):
        code = rig.code(rpc.CREATE_VOLUME_GROUP_SNAPSHOT, request)
        expect_equal(code, Code.INVALID_ARGUMENT, "the status of CreateVolumeGroupSnapshot without a field")
    code = rig.code(rpc.GET_VOLUME_GROUP_SNAPSHOT, pb.GetVolumeGroupSnapshotRequest())
    expect_equal(code, Code.INVALID_ARGUMENT, "the status of GetVolumeGroupSnapshot without an id")
    code = rig.code(rpc.DELETE_VOLUME_GROUP_SNAPSHOT, pb.DeleteVolumeGroupSnapshotRequest())
    expect_equal(code, Code.INVALID_ARGUMENT, "the status of DeleteVolumeGroupSnapshot without an id")
