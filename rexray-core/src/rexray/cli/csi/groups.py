"""The verbs of group snapshots: several volumes at one moment."""

from __future__ import annotations

from collections.abc import Mapping

import click

from rexray.cli.csi import options
from rexray.cli.csi.connection import Verb
from rexray.cli.csi.session import Session, verb
from rexray.cli.csi.views import ID, View, whole
from rexray.cli.output import Row
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb

_GROUP = View(("id", "created", "ready", "snapshots"))


@click.command(cls=Verb)
@options.ids("names", "NAME")
@click.option("--source-volume", "volumes", required=True, multiple=True, metavar="ID", help="A member; repeatable")
@options.pairs("--params", "The plug-in's parameters")
@verb(_GROUP)
def create_group(session: Session, names: tuple[str, ...], volumes: tuple[str, ...], params: Mapping[str, str]) -> None:
    """Take a snapshot of several volumes at once (CreateVolumeGroupSnapshot)."""
    request = pb.CreateVolumeGroupSnapshotRequest(source_volume_ids=volumes, parameters=params)
    for request.name in names:
        response = session.call(rpc.CREATE_VOLUME_GROUP_SNAPSHOT, request)
        session.show(whole(response), [_row(response.group_snapshot)])


@click.command(cls=Verb)
@click.argument("group_id", metavar="GROUP_SNAPSHOT_ID")
@click.option("--snapshot-id", "members", multiple=True, metavar="ID", help="A snapshot of it; repeatable")
@verb(ID)
def delete_group(session: Session, group_id: str, members: tuple[str, ...]) -> None:
    """Delete a group snapshot and the snapshots in it (DeleteVolumeGroupSnapshot)."""
    request = pb.DeleteVolumeGroupSnapshotRequest(group_snapshot_id=group_id, snapshot_ids=members)
    response = session.call(rpc.DELETE_VOLUME_GROUP_SNAPSHOT, request)
    session.show(whole(response, group_snapshot_id=group_id), [{"id": group_id}])


@click.command(cls=Verb)
@click.argument("group_id", metavar="GROUP_SNAPSHOT_ID")
@click.option("--snapshot-id", "members", multiple=True, metavar="ID", help="A snapshot of it; repeatable")
@verb(_GROUP)
def get_group(session: Session, group_id: str, members: tuple[str, ...]) -> None:
    """Show a group snapshot (GetVolumeGroupSnapshot)."""
    request = pb.GetVolumeGroupSnapshotRequest(group_snapshot_id=group_id, snapshot_ids=members)
    response = session.call(rpc.GET_VOLUME_GROUP_SNAPSHOT, request)
    session.show(whole(response), [_row(response.group_snapshot)])


def _row(group: pb.VolumeGroupSnapshot) -> Row:
    return {
        "id": group.group_snapshot_id,
        "created": group.creation_time.ToJsonString() if group.HasField("creation_time") else "",
        "ready": group.ready_to_use,
        "snapshots": [snapshot.snapshot_id for snapshot in group.snapshots],
    }
