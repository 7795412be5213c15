"""CSI services with one defect each, and the checks of the kit that have to catch them: the node, and snapshots."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from careful_csi import CarefulCSI
from rexray import faults
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import AlreadyExists, NotFound, NotReady
from rexray.testing.csi import MemoryCSI


class PublishesOnce(CarefulCSI):
    """NodePublishVolume of what is published is ALREADY_EXISTS."""

    def NodePublishVolume(self, request: pb.NodePublishVolumeRequest) -> pb.NodePublishVolumeResponse:
        if (request.volume_id, request.target_path) in self.mounted:
            raise AlreadyExists(f"volume {request.volume_id!r} is published")
        return super().NodePublishVolume(request)


class StagesAnything(CarefulCSI):
    """NodeStageVolume does not look whether the volume is attached."""

    def NodeStageVolume(self, request: pb.NodeStageVolumeRequest) -> pb.NodeStageVolumeResponse:
        self.staged.add((request.volume_id, request.staging_target_path))
        return pb.NodeStageVolumeResponse()


class PublishesAnything(CarefulCSI):
    """NodePublishVolume does not look whether the volume is staged."""

    def NodePublishVolume(self, request: pb.NodePublishVolumeRequest) -> pb.NodePublishVolumeResponse:
        self.staged.add((request.volume_id, request.staging_target_path))
        return super().NodePublishVolume(request)


class AsksNothingOfStage(CarefulCSI):
    """NodeStageVolume without a volume is NOT_FOUND."""

    lenient = ("NodeStageVolumeRequest",)


class AsksNothingOfPublish(CarefulCSI):
    """NodePublishVolume without a volume is NOT_FOUND."""

    lenient = ("NodePublishVolumeRequest",)


class AsksNothingOfUnstage(CarefulCSI):
    """NodeUnstageVolume without a path is success."""

    lenient = ("NodeUnstageVolumeRequest",)


class UnpublishesOnce(CarefulCSI):
    """NodeUnpublishVolume of what is not published is an error."""

    def NodeUnpublishVolume(self, request: pb.NodeUnpublishVolumeRequest) -> pb.NodeUnpublishVolumeResponse:
        if (request.volume_id, request.target_path) not in self.mounted:
            raise NotReady(f"volume {request.volume_id!r} is not published")
        return super().NodeUnpublishVolume(request)


class MountsNothing(CarefulCSI):
    """NodePublishVolume makes the directory, and nothing is mounted there."""

    def show(self, request: pb.NodePublishVolumeRequest) -> None:
        os.makedirs(request.target_path, exist_ok=True)


class MountsSomething(CarefulCSI):
    """What is mounted is another directory each time."""

    def folder(self, volume_id: str) -> Path:
        return super().folder(f"{volume_id}-{uuid.uuid4().hex}")


class MountsForWriting(CarefulCSI):
    """A target that is to be read-only can be written to."""

    def show(self, request: pb.NodePublishVolumeRequest) -> None:
        request.readonly = False
        super().show(request)


class ForgetsAtStart(CarefulCSI):
    """What was published before a restart is not known, and is not taken back."""

    def start(self) -> None:
        self.mounted.clear()

    def NodeUnpublishVolume(self, request: pb.NodeUnpublishVolumeRequest) -> pb.NodeUnpublishVolumeResponse:
        if (request.volume_id, request.target_path) in self.mounted:
            return super().NodeUnpublishVolume(request)
        return pb.NodeUnpublishVolumeResponse()


class NotesPublish(CarefulCSI):
    """A NodePublishVolume that was killed stands in the way of its repetition."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: set[str] = set()

    def NodePublishVolume(self, request: pb.NodePublishVolumeRequest) -> pb.NodePublishVolumeResponse:
        if request.target_path in self.under_way:
            raise NotReady(f"{request.target_path} is under way")
        self.under_way.add(request.target_path)
        self.save()
        faults.point("broken-noted")
        self.under_way.remove(request.target_path)
        return super().NodePublishVolume(request)


class HasNoBytes(CarefulCSI):
    """The statistics say nothing."""

    def NodeGetVolumeStats(self, request: pb.NodeGetVolumeStatsRequest) -> pb.NodeGetVolumeStatsResponse:
        super().NodeGetVolumeStats(request)
        return pb.NodeGetVolumeStatsResponse(usage=[pb.VolumeUsage(unit=pb.VolumeUsage.BYTES)])


class AsksNothingOfStats(CarefulCSI):
    """NodeGetVolumeStats without a path is NOT_FOUND."""

    lenient = ("NodeGetVolumeStatsRequest",)


class TakesAnew(CarefulCSI):
    """A snapshot that is taken again is of that moment."""

    _number = 0

    def CreateSnapshot(self, request: pb.CreateSnapshotRequest) -> pb.CreateSnapshotResponse:
        self._number += 1
        found = super().CreateSnapshot(request)
        found.snapshot.creation_time.CopyFrom(Timestamp(seconds=self._number))
        return found


class TakesOfAny(CarefulCSI):
    """A snapshot of the name is taken again of another volume."""

    def CreateSnapshot(self, request: pb.CreateSnapshotRequest) -> pb.CreateSnapshotResponse:
        return MemoryCSI.CreateSnapshot(self, request)


class AsksNothingOfSnapshots(CarefulCSI):
    """CreateSnapshot takes one without a name."""

    lenient = ("CreateSnapshotRequest",)


class TakesOfNothing(CarefulCSI):
    """A snapshot of a missing volume is success."""

    def CreateSnapshot(self, request: pb.CreateSnapshotRequest) -> pb.CreateSnapshotResponse:
        if request.source_volume_id in self.volumes:
            return super().CreateSnapshot(request)
        return pb.CreateSnapshotResponse(snapshot=pb.Snapshot(snapshot_id=request.name))


class DeletesSnapshotsOnce(CarefulCSI):
    """DeleteSnapshot of what is not there is NOT_FOUND."""

    def DeleteSnapshot(self, request: pb.DeleteSnapshotRequest) -> pb.DeleteSnapshotResponse:
        if request.snapshot_id and request.snapshot_id not in self.snapshots:
            raise NotFound(f"no snapshot {request.snapshot_id!r}")
        return super().DeleteSnapshot(request)


class ListsAllSnapshots(CarefulCSI):
    """ListSnapshots does not look which."""

    def ListSnapshots(self, request: pb.ListSnapshotsRequest) -> pb.ListSnapshotsResponse:
        request.source_volume_id = request.snapshot_id = ""
        return super().ListSnapshots(request)


class ListsFromTheStart(CarefulCSI):
    """Every page of snapshots is the first one."""

    def ListSnapshots(self, request: pb.ListSnapshotsRequest) -> pb.ListSnapshotsResponse:
        request.starting_token = ""
        return super().ListSnapshots(request)


class FindsAnySnapshot(CarefulCSI):
    """GetSnapshot finds what is not there."""

    def GetSnapshot(self, request: pb.GetSnapshotRequest) -> pb.GetSnapshotResponse:
        if request.snapshot_id in self.snapshots:
            return super().GetSnapshot(request)
        return pb.GetSnapshotResponse(snapshot=pb.Snapshot(snapshot_id=request.snapshot_id))


class MembersOfNoGroup(CarefulCSI):
    """The snapshots of a group do not know it."""

    def CreateVolumeGroupSnapshot(
        self, request: pb.CreateVolumeGroupSnapshotRequest
    ) -> pb.CreateVolumeGroupSnapshotResponse:
        found = super().CreateVolumeGroupSnapshot(request)
        for member in found.group_snapshot.snapshots:
            member.group_snapshot_id = ""
        return found


class GroupsOfAny(CarefulCSI):
    """A group of the name is taken again of other volumes."""

    def CreateVolumeGroupSnapshot(
        self, request: pb.CreateVolumeGroupSnapshotRequest
    ) -> pb.CreateVolumeGroupSnapshotResponse:
        self.groups.pop(request.name, None)
        return super().CreateVolumeGroupSnapshot(request)


class GroupsOfSome(CarefulCSI):
    """A group takes the snapshots that can be taken before it says that one cannot."""

    def CreateVolumeGroupSnapshot(
        self, request: pb.CreateVolumeGroupSnapshotRequest
    ) -> pb.CreateVolumeGroupSnapshotResponse:
        for volume_id in request.source_volume_ids:
            if volume_id in self.volumes:
                self._take(f"{request.name}-{volume_id}", volume_id, request.name)
        self.save()
        return super().CreateVolumeGroupSnapshot(request)


class KeepsGroups(CarefulCSI):
    """DeleteVolumeGroupSnapshot is success, and the group is there."""

    def DeleteVolumeGroupSnapshot(
        self, request: pb.DeleteVolumeGroupSnapshotRequest
    ) -> pb.DeleteVolumeGroupSnapshotResponse:
        return pb.DeleteVolumeGroupSnapshotResponse()


class AsksNothingOfGroups(CarefulCSI):
    """DeleteVolumeGroupSnapshot without an id is success."""

    lenient = ("DeleteVolumeGroupSnapshotRequest",)


class GrowsEachTime(CarefulCSI):
    """ControllerExpandVolume grows by what is asked for."""

    def ControllerExpandVolume(self, request: pb.ControllerExpandVolumeRequest) -> pb.ControllerExpandVolumeResponse:
        found = super().ControllerExpandVolume(request)
        self.volume(request.volume_id).capacity_bytes += 1 << 20
        return found


class Shrinks(CarefulCSI):
    """ControllerExpandVolume makes a volume smaller."""

    def ControllerExpandVolume(self, request: pb.ControllerExpandVolumeRequest) -> pb.ControllerExpandVolumeResponse:
        self.volume(request.volume_id).capacity_bytes = 0
        return super().ControllerExpandVolume(request)


class AsksNothingOfGrowth(CarefulCSI):
    """ControllerExpandVolume without a size is success."""

    lenient = ("ControllerExpandVolumeRequest",)


class DoesNotGrowHere(CarefulCSI):
    """The node says that the volume has one byte."""

    def NodeExpandVolume(self, request: pb.NodeExpandVolumeRequest) -> pb.NodeExpandVolumeResponse:
        super().NodeExpandVolume(request)
        return pb.NodeExpandVolumeResponse(capacity_bytes=1)


class AsksNothingOfNodeGrowth(CarefulCSI):
    """NodeExpandVolume without a path is NOT_FOUND."""

    lenient = ("NodeExpandVolumeRequest",)


class ModifiesAnything(CarefulCSI):
    """ControllerModifyVolume of what is not there is success."""

    def ControllerModifyVolume(self, request: pb.ControllerModifyVolumeRequest) -> pb.ControllerModifyVolumeResponse:
        return pb.ControllerModifyVolumeResponse()


_SICK = pb.VolumeHealth.VolumeHealthEntry(status=pb.DEGRADED, reason="Test", message="it is not well")


class AlwaysSick(CarefulCSI):
    """Something is wrong with every volume."""

    def ControllerGetVolumeHealth(
        self, request: pb.ControllerGetVolumeHealthRequest
    ) -> pb.ControllerGetVolumeHealthResponse:
        found = super().ControllerGetVolumeHealth(request)
        found.volume_health.health_statuses.append(_SICK)
        return found


class AllAreSick(CarefulCSI):
    """Every volume is in the list of the sick ones."""

    def ControllerListVolumeHealth(
        self, request: pb.ControllerListVolumeHealthRequest
    ) -> pb.ControllerListVolumeHealthResponse:
        entries = [pb.VolumeHealth(volume_id=each, health_statuses=[_SICK]) for each in self.volumes]
        return pb.ControllerListVolumeHealthResponse(entries=entries)


class SickOnTheNode(CarefulCSI):
    """The node tells the health of another volume."""

    def NodeGetVolumeHealth(self, request: pb.NodeGetVolumeHealthRequest) -> pb.NodeGetVolumeHealthResponse:
        return pb.NodeGetVolumeHealthResponse(volume_health=pb.VolumeHealth(volume_id="another"))


BROKEN_USE: Mapping[str, type[CarefulCSI]] = {
    "every_step_may_be_said_three_times": PublishesOnce,
    "stage_before_attach_is_refused": StagesAnything,
    "publish_before_stage_is_refused": PublishesAnything,
    "stage_without_its_fields_is_invalid": AsksNothingOfStage,
    "publish_without_its_fields_is_invalid": AsksNothingOfPublish,
    "unpublish_and_unstage_without_their_fields_are_invalid": AsksNothingOfUnstage,
    "what_was_never_published_can_be_taken_back": UnpublishesOnce,
    "a_published_volume_is_mounted": MountsNothing,
    "what_was_written_is_there_in_the_next_mount": MountsSomething,
    "a_read_only_target_takes_no_writes": MountsForWriting,
    "a_restart_knows_what_is_published": ForgetsAtStart,
    "a_publish_that_was_killed_can_be_said_again": NotesPublish,
    "statistics_are_told_of_what_is_mounted": HasNoBytes,
    "statistics_without_their_fields_are_invalid": AsksNothingOfStats,
    "a_snapshot_said_ten_times_is_one": TakesAnew,
    "a_snapshot_of_another_volume_is_refused": TakesOfAny,
    "a_snapshot_without_its_fields_is_invalid": AsksNothingOfSnapshots,
    "a_snapshot_of_a_missing_volume_is_not_found": TakesOfNothing,
    "deleting_a_snapshot_ten_times_is_success": DeletesSnapshotsOnce,
    "snapshots_are_listed_by_volume_and_by_id": ListsAllSnapshots,
    "snapshots_can_be_had_in_pages": ListsFromTheStart,
    "a_snapshot_can_be_looked_up": FindsAnySnapshot,
    "a_group_said_ten_times_is_one": MembersOfNoGroup,
    "a_group_of_other_volumes_is_refused": GroupsOfAny,
    "a_group_with_a_missing_volume_takes_nothing": GroupsOfSome,
    "a_group_can_be_looked_up_until_it_is_deleted": KeepsGroups,
    "a_group_without_its_fields_is_invalid": AsksNothingOfGroups,
    "a_volume_grows_once": GrowsEachTime,
    "a_volume_never_shrinks": Shrinks,
    "growing_without_its_fields_is_invalid": AsksNothingOfGrowth,
    "a_mounted_volume_grows": DoesNotGrowHere,
    "node_growth_without_its_fields_is_invalid": AsksNothingOfNodeGrowth,
    "modifying_a_missing_volume_is_not_found": ModifiesAnything,
    "a_new_volume_is_well": AlwaysSick,
    "a_well_volume_is_not_among_the_sick": AllAreSick,
    "a_mounted_volume_is_well": SickOnTheNode,
}
"""The service that each check catches."""
