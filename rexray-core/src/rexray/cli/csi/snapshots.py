"""The verbs of snapshots."""

from __future__ import annotations

from collections.abc import Mapping

import click

from rexray.cli.csi import options
from rexray.cli.csi.connection import Verb
from rexray.cli.csi.session import Session, verb
from rexray.cli.csi.views import ID, SNAPSHOT, snapshot_row, whole
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb


@click.command(cls=Verb)
@options.ids("names", "NAME")
@click.option("--source-volume", required=True, metavar="ID", help="The volume to take it of")
@options.pairs("--params", "The plug-in's parameters")
@options.topology
@verb(SNAPSHOT)
def create_snapshot(
    session: Session,
    names: tuple[str, ...],
    source_volume: str,
    params: Mapping[str, str],
    places: tuple[Mapping[str, str], ...],
) -> None:
    """Take snapshots of a volume (CreateSnapshot)."""
    requirement = None
    if places:
        topologies = options.topologies(places)
        requirement = pb.TopologyRequirement(requisite=topologies, preferred=topologies)
    request = pb.CreateSnapshotRequest(
        source_volume_id=source_volume, parameters=params, accessibility_requirements=requirement
    )
    for request.name in names:
        response = session.call(rpc.CREATE_SNAPSHOT, request)
        session.show(whole(response), [snapshot_row(response.snapshot)])


@click.command(cls=Verb)
@options.ids("snapshot_ids", "SNAPSHOT_ID")
@verb(ID)
def delete_snapshot(session: Session, snapshot_ids: tuple[str, ...]) -> None:
    """Delete snapshots (DeleteSnapshot)."""
    for snapshot_id in snapshot_ids:
        response = session.call(rpc.DELETE_SNAPSHOT, pb.DeleteSnapshotRequest(snapshot_id=snapshot_id))
        session.show(whole(response, snapshot_id=snapshot_id), [{"id": snapshot_id}])


@click.command(cls=Verb)
@options.paging
@click.option("--source-volume-id", default="", metavar="ID", help="Only the snapshots of that volume")
@click.option("--snapshot-id", default="", metavar="ID", help="Only that snapshot")
@verb(SNAPSHOT)
def list_snapshots(
    session: Session,
    max_entries: int,
    starting_token: str,
    paging: bool,
    source_volume_id: str,
    snapshot_id: str,
) -> None:
    """List snapshots (ListSnapshots)."""
    request = pb.ListSnapshotsRequest(
        max_entries=max_entries,
        starting_token=starting_token,
        source_volume_id=source_volume_id,
        snapshot_id=snapshot_id,
    )
    for page in session.pages(rpc.LIST_SNAPSHOTS, request):
        session.show(whole(page), [snapshot_row(entry.snapshot) for entry in page.entries])
        if not paging:
            session.show_token(page.next_token)
            break


@click.command(cls=Verb)
@options.ids("snapshot_ids", "SNAPSHOT_ID")
@verb(SNAPSHOT)
def get_snapshot(session: Session, snapshot_ids: tuple[str, ...]) -> None:
    """Show snapshots (GetSnapshot)."""
    for snapshot_id in snapshot_ids:
        response = session.call(rpc.GET_SNAPSHOT, pb.GetSnapshotRequest(snapshot_id=snapshot_id))
        session.show(whole(response), [snapshot_row(response.snapshot)])
