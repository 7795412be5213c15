"""Making a CSI volume usable at a path of this host, and the way back: the calls in the order that CSI demands."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rexray import faults, mounts
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import InUse, NotFound, NotReady, RexrayError
from rexray.state import Record
from rexray.types import MountRequest

if TYPE_CHECKING:
    from rexray.csi.client import Caller

log = logging.getLogger(__name__)

CALL_SECONDS = 110.0
"""The deadline of one call: below the 120 seconds after which Docker gives up on a mount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What the CSI service can do, and who this node is to it."""

    controller: frozenset[str]
    node: frozenset[str]
    node_id: str


class Publisher:
    """Publishes volumes of one CSI service at ``<mount root>/NAME``."""

    def __init__(self, caller: Caller, mount_root: Path, staging_root: Path) -> None:
        self.caller = caller
        self._mount_root = mount_root
        self._staging_root = staging_root

    @functools.cached_property
    def abilities(self) -> Abilities:
        """What the service can do; asked for once, when it first answers."""
        services = self._call(rpc.GET_PLUGIN_CAPABILITIES, pb.GetPluginCapabilitiesRequest()).capabilities
        has_controller = any(item.service.type == pb.PluginCapability.Service.CONTROLLER_SERVICE for item in services)
        controller: list[str] = []
        if has_controller:
            answer = self._call(rpc.CONTROLLER_GET_CAPABILITIES, pb.ControllerGetCapabilitiesRequest())
            types = pb.ControllerServiceCapability.RPC.Type
            controller = [types.Name(item.rpc.type) for item in answer.capabilities]
        nodes = self._call(rpc.NODE_GET_CAPABILITIES, pb.NodeGetCapabilitiesRequest())
        node = [pb.NodeServiceCapability.RPC.Type.Name(item.rpc.type) for item in nodes.capabilities]
        info = self._call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest())
        return Abilities(controller=frozenset(controller), node=frozenset(node), node_id=info.node_id)

    def target(self, record: Record) -> Path:
        """Where the volume is mounted when it is: where it was mounted, if the record says."""
        return Path(record.target) if record.target else self._mount_root / record.name

    def is_published(self, record: Record) -> bool:
        """Whether something is mounted there, whatever the record says."""
        return mounts.is_mount_point(self.target(record))

    def adoptable(self) -> Iterator[Record]:
        """The volumes that are mounted below the mount root and that the service knows."""
        try:
            names = sorted(os.listdir(self._mount_root))
        except FileNotFoundError:
            return
        for name in names:
            record = Record(name=name, volume_id=name)
            with contextlib.suppress(NotFound):
                if self.is_published(record) and self._knows(name):
                    yield record

    def _knows(self, volume_id: str) -> bool:
        """Whether the service has a volume of that id, where it tells that in one call."""
        if "GET_VOLUME" in self.abilities.controller:
            self._call(rpc.CONTROLLER_GET_VOLUME, pb.ControllerGetVolumeRequest(volume_id=volume_id))
        return True

    def thaw(self, record: Record) -> None:
        """Snapshots are the service's: nothing here is frozen for them."""

    def is_attached_here(self, record: Record) -> bool:
        """Whether the volume is attached to this node, where the service tells that in one call."""
        if "GET_VOLUME" not in self.abilities.controller:
            return False
        found = self._call(rpc.CONTROLLER_GET_VOLUME, pb.ControllerGetVolumeRequest(volume_id=record.volume_id))
        return self.abilities.node_id in found.status.published_node_ids

    def capability(self, request: MountRequest | None = None) -> pb.VolumeCapability:
        """The volume capability for a mount of this host, shared by its holders where the service allows that."""
        shared = "SINGLE_NODE_MULTI_WRITER" in self.abilities.controller | self.abilities.node
        modes = pb.VolumeCapability.AccessMode
        mount = pb.VolumeCapability.MountVolume()
        if request is not None:
            mount = pb.VolumeCapability.MountVolume(fs_type=request.fs_type, mount_flags=request.mount_options)
        return pb.VolumeCapability(
            access_mode=modes(mode=modes.SINGLE_NODE_MULTI_WRITER if shared else modes.SINGLE_NODE_WRITER),
            mount=mount,
        )

    def attach(self, record: Record, request: MountRequest | None = None) -> Mapping[str, str]:
        """Controller-publish to this node where the service has that; the publish context."""
        if "PUBLISH_UNPUBLISH_VOLUME" not in self.abilities.controller:
            return {}
        answer = self._call(
            rpc.CONTROLLER_PUBLISH_VOLUME,
            pb.ControllerPublishVolumeRequest(
                volume_id=record.volume_id,
                node_id=self.abilities.node_id,
                volume_capability=self.capability(request),
                volume_context=record.context,
            ),
        )
        return answer.publish_context

    def detach(self, record: Record) -> None:
        """Controller-unpublish from this node where the service has that; ``InUse`` while somebody mounts it."""
        if "PUBLISH_UNPUBLISH_VOLUME" in self.abilities.controller:
            self._call(
                rpc.CONTROLLER_UNPUBLISH_VOLUME,
                pb.ControllerUnpublishVolumeRequest(volume_id=record.volume_id, node_id=self.abilities.node_id),
            )

    def publish(self, record: Record, request: MountRequest) -> Path:
        """Attach, stage and publish; what was done is undone when a step fails. Every step is idempotent."""
        target = self.target(record)
        staging = self._staging(record)
        with contextlib.ExitStack() as undo:
            undo.callback(_quietly, lambda: self._let_go(record))
            context = self.attach(record, request)
            faults.point("csi-attached")
            capability = self.capability(request)
            if staging is not None:
                staging.mkdir(parents=True, exist_ok=True, mode=0o700)
                undo.callback(_quietly, lambda: self._unstage(record))
                self._call(
                    rpc.NODE_STAGE_VOLUME,
                    pb.NodeStageVolumeRequest(
                        volume_id=record.volume_id,
                        publish_context=context,
                        staging_target_path=str(staging),
                        volume_capability=capability,
                        volume_context=record.context,
                    ),
                )
            faults.point("csi-staged")
            self._mount_root.mkdir(parents=True, exist_ok=True, mode=0o700)
            undo.callback(_quietly, lambda: self._node_unpublish(record))
            self._call(
                rpc.NODE_PUBLISH_VOLUME,
                pb.NodePublishVolumeRequest(
                    volume_id=record.volume_id,
                    publish_context=context,
                    staging_target_path=str(staging or ""),
                    target_path=str(target),
                    volume_capability=capability,
                    readonly=request.read_only,
                    volume_context=record.context,
                ),
            )
            if not mounts.is_mount_point(target):
                raise NotReady(f"{target}: the CSI service published {record.name!r} but nothing is mounted there")
            undo.pop_all()
        return target

    def unpublish(self, record: Record) -> bool:
        """Unpublish, unstage and detach; the mount is verified to be gone. False if it is to be detached later."""
        self._node_unpublish(record)
        faults.point("csi-unpublished")
        if self.is_published(record):
            raise NotReady(f"{self.target(record)}: still mounted after it was unpublished")
        self._unstage(record)
        faults.point("csi-unstaged")
        detached = self._let_go(record)
        faults.point("csi-detached")
        return detached

    def _let_go(self, record: Record) -> bool:
        """Detach, unless an orchestrator attached the volume before us; False if something mounts it now."""
        if not record.attached_before:
            try:
                self.detach(record)
            except InUse:
                return False
        return True

    def _node_unpublish(self, record: Record) -> None:
        self._call(
            rpc.NODE_UNPUBLISH_VOLUME,
            pb.NodeUnpublishVolumeRequest(volume_id=record.volume_id, target_path=str(self.target(record))),
        )

    def _unstage(self, record: Record) -> None:
        staging = self._staging(record)
        if staging is None:
            return
        self._call(
            rpc.NODE_UNSTAGE_VOLUME,
            pb.NodeUnstageVolumeRequest(volume_id=record.volume_id, staging_target_path=str(staging)),
        )
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(staging)

    def _staging(self, record: Record) -> Path | None:
        return self._staging_root / record.name if "STAGE_UNSTAGE_VOLUME" in self.abilities.node else None

    def _call(self, call: rpc.Call[rpc.Req, rpc.Rep], request: rpc.Req) -> rpc.Rep:
        return self.caller.call(call, request, timeout=CALL_SECONDS)


def _quietly(step: Callable[[], object]) -> None:
    """Undo a step; that it fails too is logged, for the first error is the one to tell."""
    try:
        step()
    except (RexrayError, OSError) as error:
        log.warning("undoing a failed mount: %s", error)
