"""CSI services with one defect each, and the checks of the kit that have to catch them: who it is, and volumes."""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from collections.abc import Mapping

from google.protobuf.wrappers_pb2 import BoolValue

from careful_csi import HERE, OFFERED, CarefulCSI
from rexray import faults
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import NotFound, NotReady
from rexray.testing.csi import MemoryCSI


class HasABadName(CarefulCSI):
    """There is an underscore in its name."""

    def GetPluginInfo(self, request: pb.GetPluginInfoRequest) -> pb.GetPluginInfoResponse:
        return pb.GetPluginInfoResponse(name="memory_rexray_io", vendor_version="1")


class ProbesSlowly(CarefulCSI):
    """Probe takes its time."""

    def Probe(self, request: pb.ProbeRequest) -> pb.ProbeResponse:
        threading.Event().wait(1.1)
        return pb.ProbeResponse(ready=BoolValue(value=True))


class DeclaresLess(CarefulCSI):
    """It reports more than it declares."""

    offered = tuple(name for name in OFFERED if name != "CLONE_VOLUME")


class ServesLess(CarefulCSI):
    """It reports GET_SNAPSHOT, and has no GetSnapshot."""

    lacking = ("GetSnapshot",)


class ValidatesNothing(CarefulCSI):
    """A call that every controller has is missing."""

    lacking = ("ValidateVolumeCapabilities",)


class HidesItsController(CarefulCSI):
    """It does not say that it has a controller."""

    offered = tuple(name for name in OFFERED if name != "CONTROLLER_SERVICE")

    def GetPluginCapabilities(self, request: pb.GetPluginCapabilitiesRequest) -> pb.GetPluginCapabilitiesResponse:
        return pb.GetPluginCapabilitiesResponse()


class HasManyNames(CarefulCSI):
    """The node has another name whenever it is asked."""

    def NodeGetInfo(self, request: pb.NodeGetInfoRequest) -> pb.NodeGetInfoResponse:
        return pb.NodeGetInfoResponse(node_id=uuid.uuid4().hex)


class OwesRoom(CarefulCSI):
    """There is less than no room."""

    def GetCapacity(self, request: pb.GetCapacityRequest) -> pb.GetCapacityResponse:
        return pb.GetCapacityResponse(available_capacity=-1)


class MakesHalf(CarefulCSI):
    """Volumes are half as large as was asked."""

    def make(self, request: pb.CreateVolumeRequest) -> pb.Volume:
        made = super().make(request)
        made.capacity_bytes //= 2
        return made


class MakesAnother(CarefulCSI):
    """CreateVolume makes a volume each time."""

    def CreateVolume(self, request: pb.CreateVolumeRequest) -> pb.CreateVolumeResponse:
        number = len(self.volumes)
        return super().CreateVolume(_with_name(request, f"{request.name}-{number}"))


class TakesWhatIsThere(CarefulCSI):
    """CreateVolume does not look at the size of what is there."""

    def CreateVolume(self, request: pb.CreateVolumeRequest) -> pb.CreateVolumeResponse:
        known = self.volumes.get(self.ids.get(request.name, ""))
        return pb.CreateVolumeResponse(volume=known) if known is not None else super().CreateVolume(request)


class AsksNothingOfCreate(CarefulCSI):
    """CreateVolume takes a request without capabilities."""

    lenient = ("CreateVolumeRequest",)


class KnowsNoLimit(CarefulCSI):
    """CreateVolume does not look at the limit."""

    def CreateVolume(self, request: pb.CreateVolumeRequest) -> pb.CreateVolumeResponse:
        request.capacity_range.limit_bytes = 0
        return super().CreateVolume(request)


class CutsNames(CarefulCSI):
    """A name is cut after 63 characters."""

    def CreateVolume(self, request: pb.CreateVolumeRequest) -> pb.CreateVolumeResponse:
        return super().CreateVolume(_with_name(request, request.name[:63]))


class SpeaksAscii(CarefulCSI):
    """A name that is not ASCII is an exception."""

    def make(self, request: pb.CreateVolumeRequest) -> pb.Volume:
        request.name.encode("ascii")
        return super().make(request)


class CleansNames(CarefulCSI):
    """What cannot be in a name is left out of it."""

    def CreateVolume(self, request: pb.CreateVolumeRequest) -> pb.CreateVolumeResponse:
        shown = "".join(char for char in request.name if char.isprintable())
        return super().CreateVolume(_with_name(request, shown))


class OneAtATime(CarefulCSI):
    """A call that meets another one fails, and not by ABORTED."""

    waits = False

    def CreateVolume(self, request: pb.CreateVolumeRequest) -> pb.CreateVolumeResponse:
        self.turned_away.wait(0.5)
        self.turned_away.clear()
        return super().CreateVolume(request)


class DeletesOnce(CarefulCSI):
    """DeleteVolume of what is not there is NOT_FOUND."""

    def DeleteVolume(self, request: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        self.require(request, "volume_id")
        self.volume(request.volume_id)
        return super().DeleteVolume(request)


class DeletesNothing(CarefulCSI):
    """DeleteVolume is success, and the volume is there."""

    def DeleteVolume(self, request: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        return pb.DeleteVolumeResponse()


class AsksNothingOfDelete(CarefulCSI):
    """DeleteVolume without an id is success."""

    lenient = ("DeleteVolumeRequest",)


class DeletesAttached(CarefulCSI):
    """DeleteVolume does not look whether the volume is attached."""

    def DeleteVolume(self, request: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        self.require(request, "volume_id")
        return MemoryCSI.DeleteVolume(self, request)


class NamesLater(CarefulCSI):
    """A volume is made first, and its name noted afterwards."""

    def make(self, request: pb.CreateVolumeRequest) -> pb.Volume:
        volume = pb.Volume(volume_id=uuid.uuid4().hex, capacity_bytes=request.capacity_range.required_bytes)
        self.volumes[volume.volume_id] = volume
        self.save()
        faults.point("broken-made")
        self.ids[request.name] = volume.volume_id
        return volume


class ListsAllButOne(CarefulCSI):
    """The last volume is not in the list."""

    def ListVolumes(self, request: pb.ListVolumesRequest) -> pb.ListVolumesResponse:
        found = super().ListVolumes(request)
        return pb.ListVolumesResponse(entries=found.entries[:-1], next_token=found.next_token)


class HasLongPages(CarefulCSI):
    """A page is longer than was asked."""

    def ListVolumes(self, request: pb.ListVolumesRequest) -> pb.ListVolumesResponse:
        return super().ListVolumes(pb.ListVolumesRequest(starting_token=request.starting_token))


class CountsInPages(CarefulCSI):
    """A token is a number of entries."""

    def ListVolumes(self, request: pb.ListVolumesRequest) -> pb.ListVolumesResponse:
        return MemoryCSI.ListVolumes(self, request)


class TakesAnyToken(CarefulCSI):
    """A token that is none is the beginning."""

    def ListVolumes(self, request: pb.ListVolumesRequest) -> pb.ListVolumesResponse:
        token = request.starting_token if request.starting_token.startswith((">", "=")) else ""
        return super().ListVolumes(pb.ListVolumesRequest(starting_token=token, max_entries=request.max_entries))


class TellsNoSize(CarefulCSI):
    """ControllerGetVolume does not tell the size."""

    def ControllerGetVolume(self, request: pb.ControllerGetVolumeRequest) -> pb.ControllerGetVolumeResponse:
        found = super().ControllerGetVolume(request)
        return pb.ControllerGetVolumeResponse(volume=pb.Volume(volume_id=found.volume.volume_id))


class AsksNothingOfGet(CarefulCSI):
    """ControllerGetVolume without an id is NOT_FOUND."""

    lenient = ("ControllerGetVolumeRequest",)


class ConfirmsNothing(CarefulCSI):
    """No capability is confirmed."""

    def ValidateVolumeCapabilities(
        self, request: pb.ValidateVolumeCapabilitiesRequest
    ) -> pb.ValidateVolumeCapabilitiesResponse:
        super().ValidateVolumeCapabilities(request)
        return pb.ValidateVolumeCapabilitiesResponse(message="no")


class AsksNothingOfValidate(CarefulCSI):
    """ValidateVolumeCapabilities without an id is NOT_FOUND."""

    lenient = ("ValidateVolumeCapabilitiesRequest",)


class AttachesAnew(CarefulCSI):
    """The publish context is another one each time."""

    def ControllerPublishVolume(self, request: pb.ControllerPublishVolumeRequest) -> pb.ControllerPublishVolumeResponse:
        super().ControllerPublishVolume(request)
        return pb.ControllerPublishVolumeResponse(publish_context={"token": hashlib.sha1(os.urandom(8)).hexdigest()})


class AsksNothingOfAttach(CarefulCSI):
    """ControllerPublishVolume without a volume is NOT_FOUND."""

    lenient = ("ControllerPublishVolumeRequest",)


class AttachesAnywhere(CarefulCSI):
    """Any node will do."""

    def ControllerPublishVolume(self, request: pb.ControllerPublishVolumeRequest) -> pb.ControllerPublishVolumeResponse:
        if request.node_id:
            request.node_id = HERE
        return super().ControllerPublishVolume(request)


class AttachesInAnyMode(CarefulCSI):
    """A volume that is attached for writing is given read-only as well."""

    def ControllerPublishVolume(self, request: pb.ControllerPublishVolumeRequest) -> pb.ControllerPublishVolumeResponse:
        self.read_only[request.volume_id] = request.readonly
        return super().ControllerPublishVolume(request)


class DetachesOnce(CarefulCSI):
    """ControllerUnpublishVolume of what is not attached is an error."""

    def ControllerUnpublishVolume(
        self, request: pb.ControllerUnpublishVolumeRequest
    ) -> pb.ControllerUnpublishVolumeResponse:
        if request.volume_id and not self.published.get(request.volume_id):
            raise NotReady(f"volume {request.volume_id!r} is not attached")
        return super().ControllerUnpublishVolume(request)


class AsksNothingOfDetach(CarefulCSI):
    """ControllerUnpublishVolume without a volume is success."""

    lenient = ("ControllerUnpublishVolumeRequest",)


class ListsNoNodes(CarefulCSI):
    """The list does not tell where volumes are attached."""

    def ListVolumes(self, request: pb.ListVolumesRequest) -> pb.ListVolumesResponse:
        found = super().ListVolumes(request)
        for entry in found.entries:
            entry.ClearField("status")
        return found


class KnowsNoSources(CarefulCSI):
    """What a volume is to be made of is not looked for."""

    def check_source(self, source: pb.VolumeContentSource) -> None:
        return

    def copy(self, source: str, volume_id: str) -> None:
        return


class ForgetsItsSource(CarefulCSI):
    """A copy does not tell what it is of."""

    def make(self, request: pb.CreateVolumeRequest) -> pb.Volume:
        made = super().make(request)
        made.ClearField("content_source")
        return made


class CopiesNothing(CarefulCSI):
    """A clone is empty."""

    def copy(self, source: str, volume_id: str) -> None:
        return


class TellsSecrets(CarefulCSI):
    """The secrets of a request are in its error."""

    def DeleteVolume(self, request: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        if request.volume_id not in self.volumes:
            raise NotFound(f"no volume {request.volume_id!r} for {dict(request.secrets)}")
        return super().DeleteVolume(request)


def _with_name(request: pb.CreateVolumeRequest, name: str) -> pb.CreateVolumeRequest:
    other = pb.CreateVolumeRequest()
    other.CopyFrom(request)
    other.name = name
    return other


BROKEN_CSI: Mapping[str, type[CarefulCSI]] = {
    "the_name_is_one_that_csi_allows": HasABadName,
    "probe_answers_at_once": ProbesSlowly,
    "what_is_declared_is_what_is_reported": DeclaresLess,
    "what_is_reported_is_served": ServesLess,
    "every_service_has_the_calls_that_csi_demands": ValidatesNothing,
    "the_services_are_those_that_the_plugin_reports": HidesItsController,
    "the_node_has_one_name": HasManyNames,
    "capacity_is_no_less_than_none": OwesRoom,
    "create_makes_a_volume_of_the_size": MakesHalf,
    "create_said_ten_times_makes_one_volume": MakesAnother,
    "create_of_another_size_is_refused": TakesWhatIsThere,
    "create_without_its_fields_is_invalid": AsksNothingOfCreate,
    "create_of_an_impossible_size_is_refused": KnowsNoLimit,
    "names_of_128_bytes_are_told_apart": CutsNames,
    "a_unicode_name_works": SpeaksAscii,
    "a_name_that_does_not_show_makes_nothing": CleansNames,
    "eight_that_create_at_once_get_one_volume": OneAtATime,
    "different_volumes_are_made_at_once": OneAtATime,
    "delete_said_ten_times_is_success": DeletesOnce,
    "a_deleted_volume_is_gone": DeletesNothing,
    "delete_without_an_id_is_invalid": AsksNothingOfDelete,
    "delete_of_an_attached_volume_is_refused": DeletesAttached,
    "a_create_that_was_killed_and_said_again_leaves_one_volume": NamesLater,
    "a_list_has_what_was_created": ListsAllButOne,
    "a_list_can_be_had_in_pages": HasLongPages,
    "a_page_survives_what_is_deleted": CountsInPages,
    "a_token_that_is_none_is_aborted": TakesAnyToken,
    "a_volume_by_itself_is_as_in_the_list": TellsNoSize,
    "get_volume_without_an_id_is_invalid": AsksNothingOfGet,
    "capabilities_that_a_volume_has_are_confirmed": ConfirmsNothing,
    "validate_without_its_fields_is_invalid": AsksNothingOfValidate,
    "attach_said_ten_times_attaches_once": AttachesAnew,
    "attach_without_its_fields_is_invalid": AsksNothingOfAttach,
    "attach_of_a_missing_volume_is_not_found": AttachesAnywhere,
    "attach_in_another_mode_is_refused": AttachesInAnyMode,
    "detach_said_ten_times_is_success": DetachesOnce,
    "detach_without_an_id_is_invalid": AsksNothingOfDetach,
    "the_nodes_of_a_volume_are_listed": ListsNoNodes,
    "a_volume_can_be_made_of_a_snapshot": ForgetsItsSource,
    "a_volume_of_a_missing_snapshot_is_not_found": KnowsNoSources,
    "a_volume_can_be_cloned": ForgetsItsSource,
    "a_clone_of_a_missing_volume_is_not_found": KnowsNoSources,
    "a_copy_has_the_data": CopiesNothing,
    "secrets_are_not_told": TellsSecrets,
}
"""The service that each check catches."""
