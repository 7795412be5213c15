"""The verbs of the host where a volume is used."""

from __future__ import annotations

import re
from collections.abc import Mapping

import click

from rexray.cli.csi import options
from rexray.cli.csi.capability import default_capability
from rexray.cli.csi.connection import Verb
from rexray.cli.csi.session import Session, verb
from rexray.cli.csi.views import ID, SIZE, View, whole
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb

_NODE = View(("id", "max_volumes", "topology"))
_STATS = View(("id", "path", "available", "total", "used", "unit"))


@click.command(cls=Verb)
@options.ids("volume_ids", "VOLUME_ID")
@options.staging_path(required=True)
@options.one_capability
@options.pairs("--pub-context", "What attaching the volume returned")
@options.pairs("--vol-context", "The volume's context")
@verb(ID)
def stage_volume(
    session: Session,
    volume_ids: tuple[str, ...],
    staging_target_path: str,
    cap: pb.VolumeCapability | None,
    pub_context: Mapping[str, str],
    vol_context: Mapping[str, str],
) -> None:
    """Make volumes ready on this host (NodeStageVolume)."""
    request = pb.NodeStageVolumeRequest(
        staging_target_path=staging_target_path,
        volume_capability=cap or default_capability(),
        publish_context=pub_context,
        volume_context=vol_context,
    )
    for request.volume_id in volume_ids:
        response = session.call(rpc.NODE_STAGE_VOLUME, request)
        session.show(whole(response, volume_id=request.volume_id), [{"id": request.volume_id}])


@click.command(cls=Verb)
@options.ids("volume_ids", "VOLUME_ID")
@options.staging_path(required=True)
@verb(ID)
def unstage_volume(session: Session, volume_ids: tuple[str, ...], staging_target_path: str) -> None:
    """Undo 'stage' (NodeUnstageVolume)."""
    request = pb.NodeUnstageVolumeRequest(staging_target_path=staging_target_path)
    for request.volume_id in volume_ids:
        response = session.call(rpc.NODE_UNSTAGE_VOLUME, request)
        session.show(whole(response, volume_id=request.volume_id), [{"id": request.volume_id}])


@click.command(cls=Verb)
@options.ids("volume_ids", "VOLUME_ID")
@options.target_path
@options.staging_path(required=False)
@options.one_capability
@options.read_only
@options.pairs("--pub-context", "What attaching the volume returned")
@options.pairs("--vol-context", "The volume's context")
@verb(ID)
def publish_volume(
    session: Session,
    volume_ids: tuple[str, ...],
    target_path: str,
    staging_target_path: str,
    cap: pb.VolumeCapability | None,
    read_only: bool,
    pub_context: Mapping[str, str],
    vol_context: Mapping[str, str],
) -> None:
    """Mount volumes at a path of this host (NodePublishVolume)."""
    request = pb.NodePublishVolumeRequest(
        target_path=target_path,
        staging_target_path=staging_target_path,
        volume_capability=cap or default_capability(),
        readonly=read_only,
        publish_context=pub_context,
        volume_context=vol_context,
    )
    for request.volume_id in volume_ids:
        response = session.call(rpc.NODE_PUBLISH_VOLUME, request)
        session.show(whole(response, volume_id=request.volume_id), [{"id": request.volume_id}])


@click.command(cls=Verb)
@options.ids("volume_ids", "VOLUME_ID")
@options.target_path
@verb(ID)
def unpublish_volume(session: Session, volume_ids: tuple[str, ...], target_path: str) -> None:
    """Unmount volumes from a path of this host (NodeUnpublishVolume)."""
    request = pb.NodeUnpublishVolumeRequest(target_path=target_path)
    for request.volume_id in volume_ids:
        response = session.call(rpc.NODE_UNPUBLISH_VOLUME, request)
        session.show(whole(response, volume_id=request.volume_id), [{"id": request.volume_id}])


@click.command(cls=Verb)
@click.argument("volume_id")
@click.argument("volume_path")
@options.sizes
@options.staging_path(required=False)
@options.one_capability
@verb(SIZE)
def expand_volume(
    session: Session,
    volume_id: str,
    volume_path: str,
    req_bytes: int | None,
    lim_bytes: int | None,
    staging_target_path: str,
    cap: pb.VolumeCapability | None,
) -> None:
    """Grow what is on a volume after the volume grew (NodeExpandVolume)."""
    request = pb.NodeExpandVolumeRequest(
        volume_id=volume_id,
        volume_path=options.absolute(volume_path),
        capacity_range=options.capacity_range(req_bytes, lim_bytes),
        staging_target_path=staging_target_path,
        volume_capability=cap,
    )
    response = session.call(rpc.NODE_EXPAND_VOLUME, request)
    row = {"id": volume_id, "size": response.capacity_bytes}
    session.show(whole(response, volume_id=volume_id), [row])


@click.command(cls=Verb)
@options.ids("places", "VOLUME_ID:PATH[:STAGING_PATH]")
@verb(_STATS)
def volume_stats(session: Session, places: tuple[str, ...]) -> None:
    """Show how full mounted volumes are (NodeGetVolumeStats)."""
    for volume_id, path, staging in [split_place(place) for place in places]:
        request = pb.NodeGetVolumeStatsRequest(volume_id=volume_id, volume_path=path, staging_target_path=staging)
        response = session.call(rpc.NODE_GET_VOLUME_STATS, request)
        rows = [
            {
                "id": volume_id,
                "path": path,
                "available": usage.available,
                "total": usage.total,
                "used": usage.used,
                "unit": pb.VolumeUsage.Unit.Name(usage.unit),
            }
            for usage in response.usage
        ]
        session.show(whole(response, volume_id=volume_id, volume_path=path), rows)


@click.command(cls=Verb)
@verb(_NODE)
def node_info(session: Session) -> None:
    """Show the node's ID and limits (NodeGetInfo)."""
    response = session.call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest())
    row = {
        "id": response.node_id,
        "max_volumes": response.max_volumes_per_node,
        "topology": dict(sorted(response.accessible_topology.segments.items())),
    }
    session.show(whole(response), [row])


def split_place(place: str) -> tuple[str, str, str]:
    """The parts of ``VOLUME_ID:PATH[:STAGING_PATH]``; an ID may hold colons, a path starts with a slash."""
    match re.split(r":(?=/)", place):
        case [volume_id, path]:
            return volume_id, path, ""
        case [volume_id, path, staging]:
            return volume_id, path, staging
    raise click.UsageError(f"{place!r} is not VOLUME_ID:/path[:/staging/path]")
