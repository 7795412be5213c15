"""The verbs that attach volumes to nodes and detach them, which is the controller's work."""

from __future__ import annotations

from collections.abc import Mapping

import click

from rexray.cli.csi import options
from rexray.cli.csi.capability import default_capability
from rexray.cli.csi.connection import Verb
from rexray.cli.csi.session import Session, verb
from rexray.cli.csi.views import ID, PUBLISHED, whole
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import Unsupported


@click.command(cls=Verb)
@options.ids("volume_ids", "VOLUME_ID")
@click.option("--node-id", metavar="ID", help="The node to attach to [the endpoint's own]")
@options.read_only
@options.one_capability
@options.pairs("--vol-context", "The volume's context")
@verb(PUBLISHED)
def publish_volume(
    session: Session,
    volume_ids: tuple[str, ...],
    node_id: str | None,
    read_only: bool,
    cap: pb.VolumeCapability | None,
    vol_context: Mapping[str, str],
) -> None:
    """Attach volumes to a node (ControllerPublishVolume)."""
    request = pb.ControllerPublishVolumeRequest(
        node_id=_own_node(session) if node_id is None else node_id,
        readonly=read_only,
        volume_capability=cap or default_capability(),
        volume_context=vol_context,
    )
    for request.volume_id in volume_ids:
        response = session.call(rpc.CONTROLLER_PUBLISH_VOLUME, request)
        row = {"id": request.volume_id, "context": dict(sorted(response.publish_context.items()))}
        session.show(whole(response, volume_id=request.volume_id), [row])


@click.command(cls=Verb)
@options.ids("volume_ids", "VOLUME_ID")
@click.option("--node-id", metavar="ID", help="The node to detach from [the endpoint's own]; '' is every node")
@verb(ID)
def unpublish_volume(session: Session, volume_ids: tuple[str, ...], node_id: str | None) -> None:
    """Detach volumes from a node (ControllerUnpublishVolume)."""
    request = pb.ControllerUnpublishVolumeRequest(node_id=_own_node(session) if node_id is None else node_id)
    for request.volume_id in volume_ids:
        response = session.call(rpc.CONTROLLER_UNPUBLISH_VOLUME, request)
        session.show(whole(response, volume_id=request.volume_id), [{"id": request.volume_id}])


def _own_node(session: Session) -> str:
    """The node that the endpoint runs on."""
    try:
        return session.call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest()).node_id
    except Unsupported as error:
        raise Unsupported("this endpoint is no node: say which with --node-id") from error.__cause__
