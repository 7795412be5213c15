"""Finding volumes of a CSI service, and saying them in REX-Ray's words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.publishing import CALL_SECONDS, Publisher
from rexray.errors import NotFound
from rexray.state import Record
from rexray.types import Attachment, AttachmentState, InstanceId, Volume, VolumeId

PAGE = 1000
"""Volumes asked for at a time."""


@dataclass(frozen=True, slots=True)
class Found:
    """A volume as the CSI service describes it, and the nodes that it is attached to."""

    volume: pb.Volume
    nodes: tuple[str, ...]


class Lookup:
    """The volumes of the service behind a publisher."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._caller = publisher.caller

    def find(self, volume_id: str, name: str) -> Found:
        """The volume of that id, by one call where the service has GET_VOLUME; ``NotFound`` says the name."""
        if "GET_VOLUME" in self._publisher.abilities.controller:
            request = pb.ControllerGetVolumeRequest(volume_id=volume_id)
            try:
                answer = self._caller.call(rpc.CONTROLLER_GET_VOLUME, request, timeout=CALL_SECONDS)
            except NotFound:
                raise NotFound(f"volume {name!r} does not exist") from None
            return Found(answer.volume, tuple(answer.status.published_node_ids))
        for found in self.pages():
            if found.volume.volume_id == volume_id:
                return found
        raise NotFound(f"volume {name!r} does not exist")

    def pages(self) -> Iterator[Found]:
        """Every volume, a page a call."""
        from rexray.csi.client import pages  # brings grpc, which listing drivers does not need

        request = pb.ListVolumesRequest(max_entries=PAGE)
        for page in pages(self._caller, rpc.LIST_VOLUMES, request, timeout=CALL_SECONDS):
            for entry in page.entries:
                yield Found(entry.volume, tuple(entry.status.published_node_ids))

    def describe(self, name: str, found: Found, record: Record | None) -> Volume:
        """The volume with its attachments; this node's has the mount point while the record has holders."""
        here = self._publisher.abilities.node_id
        mounted = record is not None and bool(record.holders) and self._publisher.is_published(record)
        nodes = {*found.nodes, here} if mounted else set(found.nodes)
        attachments = tuple(
            Attachment(
                volume_id=VolumeId(found.volume.volume_id),
                instance_id=InstanceId(node),
                mount_point=str(self._publisher.target(record)) if record and mounted and node == here else "",
                status="attached",
            )
            for node in sorted(nodes)
        )
        state = AttachmentState.AVAILABLE
        if nodes:
            state = AttachmentState.ATTACHED if here in nodes else AttachmentState.UNAVAILABLE
        return Volume(
            id=VolumeId(found.volume.volume_id),
            name=name,
            size_bytes=found.volume.capacity_bytes,
            status=state.value,
            state=state,
            attachments=attachments,
            fields=dict(found.volume.volume_context),
        )
