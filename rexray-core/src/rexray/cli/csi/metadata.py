"""The verbs that list a snapshot's blocks."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rexray.cli.csi.connection import Verb
from rexray.cli.csi.session import Session, verb
from rexray.cli.csi.views import BLOCKS, whole
from rexray.cli.output import Row
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb

_offset = click.option("--starting-offset", type=click.IntRange(0, 2**63 - 1), default=0, help="Start at that byte")
_results = click.option(
    "--max-results", type=click.IntRange(0, 2**31 - 1), default=0, help="The most blocks of one response"
)


@click.command(cls=Verb)
@click.argument("snapshot_id")
@_offset
@_results
@verb(BLOCKS)
def allocated(session: Session, snapshot_id: str, starting_offset: int, max_results: int) -> None:
    """List the blocks of a snapshot that hold data (GetMetadataAllocated)."""
    request = pb.GetMetadataAllocatedRequest(
        snapshot_id=snapshot_id, starting_offset=starting_offset, max_results=max_results
    )
    for response in session.stream(rpc.GET_METADATA_ALLOCATED, request):
        session.show(whole(response), _rows(response.block_metadata))


@click.command(cls=Verb)
@click.argument("base_snapshot_id")
@click.argument("target_snapshot_id")
@_offset
@_results
@verb(BLOCKS)
def delta(
    session: Session, base_snapshot_id: str, target_snapshot_id: str, starting_offset: int, max_results: int
) -> None:
    """List the blocks that changed from one snapshot to another (GetMetadataDelta)."""
    request = pb.GetMetadataDeltaRequest(
        base_snapshot_id=base_snapshot_id,
        target_snapshot_id=target_snapshot_id,
        starting_offset=starting_offset,
        max_results=max_results,
    )
    for response in session.stream(rpc.GET_METADATA_DELTA, request):
        session.show(whole(response), _rows(response.block_metadata))


def _rows(blocks: Sequence[pb.BlockMetadata]) -> list[Row]:
    return [{"offset": block.byte_offset, "size": block.size_bytes} for block in blocks]
