"""The verbs that ask how volumes and the platform are."""

from __future__ import annotations

import click

from rexray.cli.csi import options
from rexray.cli.csi.connection import Verb
from rexray.cli.csi.nodes import split_place
from rexray.cli.csi.session import Session, verb
from rexray.cli.csi.views import HEALTH, View, health_rows, whole
from rexray.cli.output import Row
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb

_STORAGE = View(("status", "reason", "message"))


@click.command(cls=Verb)
@click.argument("volume_ids", nargs=-1, metavar="[VOLUME_ID...]")
@options.paging
@verb(HEALTH)
def volume_health(
    session: Session, volume_ids: tuple[str, ...], max_entries: int, starting_token: str, paging: bool
) -> None:
    """Show the health of volumes, or of all that have trouble (Controller{Get,List}VolumeHealth)."""
    for volume_id in volume_ids:
        request = pb.ControllerGetVolumeHealthRequest(volume_id=volume_id)
        response = session.call(rpc.CONTROLLER_GET_VOLUME_HEALTH, request)
        session.show(whole(response), health_rows(response.volume_health))
    if volume_ids:
        return
    listing = pb.ControllerListVolumeHealthRequest(max_entries=max_entries, starting_token=starting_token)
    for page in session.pages(rpc.CONTROLLER_LIST_VOLUME_HEALTH, listing):
        session.show(whole(page), [row for entry in page.entries for row in health_rows(entry)])
        if not paging:
            session.show_token(page.next_token)
            break


@click.command(cls=Verb)
@options.ids("places", "VOLUME_ID:PATH[:STAGING_PATH]")
@verb(HEALTH)
def node_volume_health(session: Session, places: tuple[str, ...]) -> None:
    """Show the health of volumes as this host sees them (NodeGetVolumeHealth)."""
    for volume_id, path, staging in [split_place(place) for place in places]:
        request = pb.NodeGetVolumeHealthRequest(
            volume_id=volume_id, volume_publish_path=path, staging_target_path=staging
        )
        response = session.call(rpc.NODE_GET_VOLUME_HEALTH, request)
        session.show(whole(response), health_rows(response.volume_health))


@click.command(cls=Verb)
@verb(_STORAGE)
def storage_health(session: Session) -> None:
    """Show the health of the platform as this host sees it (NodeGetStorageHealth)."""
    response = session.call(rpc.NODE_GET_STORAGE_HEALTH, pb.NodeGetStorageHealthRequest())
    rows: list[Row] = [
        {
            "status": pb.StorageHealthErrorType.Name(backend.status),
            "reason": backend.reason,
            "message": backend.message,
        }
        for backend in response.backend_health
    ]
    session.show(whole(response), rows or [{"status": "OK"}])
