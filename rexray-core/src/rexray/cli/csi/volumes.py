"""The verbs of volumes: make, remove, look at, change."""

from __future__ import annotations

from collections.abc import Mapping

import click

from rexray.cli.csi import options
from rexray.cli.csi.capability import default_capability
from rexray.cli.csi.connection import Verb
from rexray.cli.csi.session import Session, verb
from rexray.cli.csi.views import ID, SIZE, VOLUME, View, volume_row, whole
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb

_CAPACITY = View(("available", "minimum", "maximum"), ("available",))
_VALIDATED = View(("id", "confirmed", "message"))


@click.command(cls=Verb)
@options.ids("names", "NAME")
@options.sizes
@options.capabilities
@options.pairs("--params", "The plug-in's parameters")
@options.pairs("--mutable-params", "Those of its parameters that 'modify' can change")
@click.option("--source-volume", default="", metavar="ID", help="Clone that volume")
@click.option("--source-snapshot", default="", metavar="ID", help="Restore that snapshot")
@options.topology
@verb(VOLUME)
def create_volume(
    session: Session,
    names: tuple[str, ...],
    req_bytes: int | None,
    lim_bytes: int | None,
    cap: tuple[pb.VolumeCapability, ...],
    params: Mapping[str, str],
    mutable_params: Mapping[str, str],
    source_volume: str,
    source_snapshot: str,
    places: tuple[Mapping[str, str], ...],
) -> None:
    """Create volumes (CreateVolume)."""
    requirement = None
    if places:
        topologies = options.topologies(places)
        requirement = pb.TopologyRequirement(requisite=topologies, preferred=topologies)
    request = pb.CreateVolumeRequest(
        capacity_range=options.capacity_range(req_bytes, lim_bytes),
        volume_capabilities=cap or (default_capability(),),
        parameters=params,
        mutable_parameters=mutable_params,
        volume_content_source=_content_source(source_volume, source_snapshot),
        accessibility_requirements=requirement,
    )
    for request.name in names:
        response = session.call(rpc.CREATE_VOLUME, request)
        session.show(whole(response), [volume_row(response.volume)])


def _content_source(volume: str, snapshot: str) -> pb.VolumeContentSource | None:
    if volume and snapshot:
        raise click.UsageError("a volume has one source: --source-volume or --source-snapshot")
    if volume:
        return pb.VolumeContentSource(volume=pb.VolumeContentSource.VolumeSource(volume_id=volume))
    if snapshot:
        return pb.VolumeContentSource(snapshot=pb.VolumeContentSource.SnapshotSource(snapshot_id=snapshot))
    return None


@click.command(cls=Verb)
@options.ids("volume_ids", "VOLUME_ID")
@verb(ID)
def delete_volume(session: Session, volume_ids: tuple[str, ...]) -> None:
    """Delete volumes and their data (DeleteVolume)."""
    for volume_id in volume_ids:
        response = session.call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=volume_id))
        session.show(whole(response, volume_id=volume_id), [{"id": volume_id}])


@click.command(cls=Verb)
@options.paging
@verb(VOLUME)
def list_volumes(session: Session, max_entries: int, starting_token: str, paging: bool) -> None:
    """List volumes (ListVolumes)."""
    request = pb.ListVolumesRequest(max_entries=max_entries, starting_token=starting_token)
    for page in session.pages(rpc.LIST_VOLUMES, request):
        rows = [volume_row(entry.volume, entry.status.published_node_ids) for entry in page.entries]
        session.show(whole(page), rows)
        if not paging:
            session.show_token(page.next_token)
            break


@click.command(cls=Verb)
@options.ids("volume_ids", "VOLUME_ID")
@verb(VOLUME)
def get_volume(session: Session, volume_ids: tuple[str, ...]) -> None:
    """Show volumes (ControllerGetVolume)."""
    for volume_id in volume_ids:
        request = pb.ControllerGetVolumeRequest(volume_id=volume_id)
        response = session.call(rpc.CONTROLLER_GET_VOLUME, request)
        row = volume_row(response.volume, response.status.published_node_ids)
        session.show(whole(response), [row])


@click.command(cls=Verb)
@options.ids("volume_ids", "VOLUME_ID")
@options.sizes
@options.one_capability
@verb(SIZE)
def expand_volume(
    session: Session,
    volume_ids: tuple[str, ...],
    req_bytes: int | None,
    lim_bytes: int | None,
    cap: pb.VolumeCapability | None,
) -> None:
    """Grow volumes on the platform (ControllerExpandVolume)."""
    request = pb.ControllerExpandVolumeRequest(
        capacity_range=options.capacity_range(req_bytes, lim_bytes), volume_capability=cap
    )
    for request.volume_id in volume_ids:
        response = session.call(rpc.CONTROLLER_EXPAND_VOLUME, request)
        row = {"id": request.volume_id, "size": response.capacity_bytes}
        session.show(whole(response, volume_id=request.volume_id), [row])


@click.command(cls=Verb)
@options.ids("volume_ids", "VOLUME_ID")
@options.pairs("--mutable-params", "The parameters to change, and their new values")
@verb(ID)
def modify_volume(session: Session, volume_ids: tuple[str, ...], mutable_params: Mapping[str, str]) -> None:
    """Change the mutable parameters of volumes (ControllerModifyVolume)."""
    request = pb.ControllerModifyVolumeRequest(mutable_parameters=mutable_params)
    for request.volume_id in volume_ids:
        response = session.call(rpc.CONTROLLER_MODIFY_VOLUME, request)
        session.show(whole(response, volume_id=request.volume_id), [{"id": request.volume_id}])


@click.command(cls=Verb)
@options.ids("volume_ids", "VOLUME_ID")
@options.capabilities
@options.pairs("--vol-context", "The volume's context")
@options.pairs("--params", "The parameters that it was created with")
@options.pairs("--mutable-params", "The mutable parameters that it should have")
@verb(_VALIDATED)
def validate_volume(
    session: Session,
    volume_ids: tuple[str, ...],
    cap: tuple[pb.VolumeCapability, ...],
    vol_context: Mapping[str, str],
    params: Mapping[str, str],
    mutable_params: Mapping[str, str],
) -> None:
    """Ask whether volumes can be used that way (ValidateVolumeCapabilities)."""
    request = pb.ValidateVolumeCapabilitiesRequest(
        volume_capabilities=cap or (default_capability(),),
        volume_context=vol_context,
        parameters=params,
        mutable_parameters=mutable_params,
    )
    for request.volume_id in volume_ids:
        response = session.call(rpc.VALIDATE_VOLUME_CAPABILITIES, request)
        confirmed = response.HasField("confirmed")
        row = {"id": request.volume_id, "confirmed": confirmed, "message": response.message}
        session.show(whole(response, volume_id=request.volume_id), [row])


@click.command(cls=Verb)
@options.capabilities
@options.pairs("--params", "The parameters of the volume to be")
@options.topology
@verb(_CAPACITY)
def get_capacity(
    session: Session,
    cap: tuple[pb.VolumeCapability, ...],
    params: Mapping[str, str],
    places: tuple[Mapping[str, str], ...],
) -> None:
    """Say how many bytes are left for new volumes (GetCapacity)."""
    if len(places) > 1:
        raise click.UsageError("the capacity is that of one place: give --topology once")
    response = session.call(
        rpc.GET_CAPACITY,
        pb.GetCapacityRequest(
            volume_capabilities=cap,
            parameters=params,
            accessible_topology=next(iter(options.topologies(places)), None),
        ),
    )
    row = {
        "available": response.available_capacity,
        "minimum": response.minimum_volume_size.value if response.HasField("minimum_volume_size") else None,
        "maximum": response.maximum_volume_size.value if response.HasField("maximum_volume_size") else None,
    }
    session.show(whole(response), [row])
