"""What a CSI plug-in is checked on: its class, its settings, and what the kit makes and tidies up there.

The plug-in is called in this process, through its services, as the server calls it. This needs ``rexray-core[csi]``.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import rexray.testing.kit.csi  # noqa: F401 which says what to install where that is missing
from rexray import mounts
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.plugin import CSIPlugin
from rexray.csi.rpc import Call, Rep, Req
from rexray.settings import Sources
from rexray.testing.kit.check import Failed, Skipped
from rexray.testing.kit.csi_served import CONTROLLER, GROUP, NODE, Served
from rexray.testing.kit.runs import Names, secret_values, together
from rexray.testing.kit.tidying import Tidied

T = TypeVar("T")


class CSIRig(Tidied):
    """A CSI plug-in under test.

    ``plugin`` is its class; ``sources`` configure it, for this process and for others. ``composed`` are settings
    classes of drivers below it, whose secrets it must keep too. ``size_bytes`` is what volumes are made with,
    ``step_bytes`` what they grow by, ``parameters`` what CreateVolume gets besides. ``files`` says that what its node
    publishes is a mount that this process sees and may write to, as root on a real kernel. ``below`` is where the
    orchestrator's paths are, the directory for temporary files if none is given. ``patience`` is how many seconds one
    check may take.

    It is a context manager: what the checks made, and nothing else, is removed at its end.
    """

    def __init__(
        self,
        plugin: type[CSIPlugin],
        sources: Sources,
        *,
        composed: Sequence[type] = (),
        size_bytes: int = 1 << 30,
        step_bytes: int = 1 << 30,
        parameters: Mapping[str, str] | None = None,
        files: bool = False,
        below: Path | None = None,
        patience: float = 120.0,
    ) -> None:
        self.target = plugin
        self.sources = sources
        self.size_bytes = size_bytes
        self.step_bytes = step_bytes
        self.parameters = dict(parameters or {})
        self.patience = patience
        self._composed = composed
        self._files = files
        self._below = below
        self._served: Served | None = None
        self._names = Names()
        self._volumes: dict[str, None] = {}
        self._snapshots: dict[str, None] = {}
        self._groups: dict[str, None] = {}
        self._places: dict[tuple[str, str], None] = {}
        self._folder: Path | None = None

    @property
    def served(self) -> Served:
        """The plug-in, started once."""
        if self._served is None:
            self._served = self.restarted()
        return self._served

    def restarted(self) -> Served:
        """Another one with the same settings, started: as after a restart of the process."""
        plugin = self.target.make(self.sources)
        plugin.start()
        return Served(plugin)

    def call(self, call: Call[Req, Rep], request: Req) -> Rep:
        """Make a call, which has to succeed."""
        return self.served.call(call, request)

    def code(self, call: Call[Req, Rep], request: Req) -> str:
        """The status that an orchestrator gets of a call, one of :class:`Code` or another."""
        return self.served.code(call, request)

    def need(self, service: str, *names: str) -> None:
        """Skip the check unless the service reports those capabilities."""
        reported = self.served.reported(service)
        lacking = [name for name in names if name not in reported]
        if lacking:
            raise Skipped(f"the {service} service does not report {' and '.join(lacking)}")

    def need_service(self, service: str) -> None:
        """Skip the check unless the plug-in has the service."""
        if service not in self.served.services:
            raise Skipped(f"the plug-in has no {service} service")

    def need_files(self) -> None:
        """Skip the check where what is published cannot be seen by this process."""
        if not self._files:
            raise Skipped("what the plug-in mounts cannot be seen here")

    def secrets(self) -> tuple[str, ...]:
        """The values of the secret settings that are set."""
        return secret_values(self.sources, [each for each in (self.target.settings, *self._composed) if each])

    def name(self, ending: str = "") -> str:
        """A new name for a volume, a snapshot or a group."""
        return self._names.new(ending)

    def missing(self) -> str:
        """An id that nothing has."""
        return self._names.unused("-missing")

    @property
    def folder(self) -> Path:
        """Where the orchestrator keeps its staging and target paths."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="rexray-kit-", dir=self._below)).resolve()
        return self._folder

    @property
    def node_id(self) -> str:
        """This host as the plug-in knows it."""
        return self.call(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest()).node_id

    def capability(self) -> pb.VolumeCapability:
        """How volumes are used: as a filesystem, by one node."""
        mode = pb.VolumeCapability.AccessMode
        return pb.VolumeCapability(
            access_mode=mode(mode=mode.SINGLE_NODE_WRITER), mount=pb.VolumeCapability.MountVolume()
        )

    def create_request(self, name: str = "", **fields: Any) -> pb.CreateVolumeRequest:
        """A wish for a volume of the rig's size and of that or a new name."""
        given: dict[str, Any] = {
            "name": name or self.name(),
            "capacity_range": pb.CapacityRange(required_bytes=self.size_bytes),
            "volume_capabilities": [self.capability()],
            "parameters": self.parameters,
            **fields,
        }
        return pb.CreateVolumeRequest(**given)

    def create(self, name: str = "", **fields: Any) -> pb.Volume:
        """A volume, made by the plug-in."""
        self.need(CONTROLLER, "CREATE_DELETE_VOLUME")
        return self.keep_volume(self.call(rpc.CREATE_VOLUME, self.create_request(name, **fields)).volume)

    def keep_volume(self, volume: pb.Volume) -> pb.Volume:
        """Let the volume be deleted at the end."""
        self._volumes[volume.volume_id] = None
        return volume

    def listed(self) -> Mapping[str, pb.ListVolumesResponse.Entry]:
        """Every volume that the plug-in lists, by its id."""
        self.need(CONTROLLER, "LIST_VOLUMES")
        entries = self.call(rpc.LIST_VOLUMES, pb.ListVolumesRequest()).entries
        return {entry.volume.volume_id: entry for entry in entries}

    def snapshot(self, volume: pb.Volume, name: str = "") -> pb.Snapshot:
        """A snapshot of the volume."""
        self.need(CONTROLLER, "CREATE_DELETE_SNAPSHOT")
        request = pb.CreateSnapshotRequest(source_volume_id=volume.volume_id, name=name or self.name("-s"))
        taken = self.call(rpc.CREATE_SNAPSHOT, request).snapshot
        self._snapshots[taken.snapshot_id] = None
        return taken

    def group(self, *volumes: pb.Volume, name: str = "") -> pb.VolumeGroupSnapshot:
        """A group snapshot of the volumes."""
        self.need(GROUP, "CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT")
        request = pb.CreateVolumeGroupSnapshotRequest(
            name=name or self.name("-g"), source_volume_ids=[volume.volume_id for volume in volumes]
        )
        taken = self.call(rpc.CREATE_VOLUME_GROUP_SNAPSHOT, request).group_snapshot
        self._groups[taken.group_snapshot_id] = None
        return taken

    def attach_request(self, volume: pb.Volume, **fields: Any) -> pb.ControllerPublishVolumeRequest:
        """A wish to attach the volume to this node."""
        given: dict[str, Any] = {
            "volume_id": volume.volume_id,
            "node_id": self.node_id,
            "volume_capability": self.capability(),
            "volume_context": volume.volume_context,
            **fields,
        }
        return pb.ControllerPublishVolumeRequest(**given)

    def attach(self, volume: pb.Volume) -> Mapping[str, str]:
        """Controller-publish the volume to this node, where the plug-in has that; the publish context."""
        if "PUBLISH_UNPUBLISH_VOLUME" not in self.served.reported(CONTROLLER):
            return {}
        return self.call(rpc.CONTROLLER_PUBLISH_VOLUME, self.attach_request(volume)).publish_context

    def detach_request(self, volume: pb.Volume) -> pb.ControllerUnpublishVolumeRequest:
        """A wish to detach the volume from this node."""
        return pb.ControllerUnpublishVolumeRequest(volume_id=volume.volume_id, node_id=self.node_id)

    @property
    def stages(self) -> bool:
        """Whether volumes are staged before they are published."""
        return "STAGE_UNSTAGE_VOLUME" in self.served.reported(NODE)

    def staging(self, volume: pb.Volume) -> Path:
        """The volume's staging path, which the orchestrator makes."""
        path = self.folder / f"staging-{list(self._volumes).index(volume.volume_id)}"
        path.mkdir(exist_ok=True)
        return path

    def place(self, volume: pb.Volume, which: str = "a") -> Path:
        """One of the volume's target paths, which the plug-in makes and removes."""
        path = self.folder / f"target-{list(self._volumes).index(volume.volume_id)}-{which}"
        self._places[volume.volume_id, str(path)] = None
        return path

    def stage_request(self, volume: pb.Volume, context: Mapping[str, str], **fields: Any) -> pb.NodeStageVolumeRequest:
        """A wish to stage the volume; ``context`` is what attaching it gave."""
        given: dict[str, Any] = {
            "volume_id": volume.volume_id,
            "publish_context": context,
            "staging_target_path": str(self.staging(volume)),
            "volume_capability": self.capability(),
            "volume_context": volume.volume_context,
            **fields,
        }
        return pb.NodeStageVolumeRequest(**given)

    def unstage_request(self, volume: pb.Volume) -> pb.NodeUnstageVolumeRequest:
        """The way back."""
        return pb.NodeUnstageVolumeRequest(volume_id=volume.volume_id, staging_target_path=str(self.staging(volume)))

    def publish_request(
        self, volume: pb.Volume, context: Mapping[str, str], which: str = "a", **fields: Any
    ) -> pb.NodePublishVolumeRequest:
        """A wish to publish the volume at one of its target paths."""
        given: dict[str, Any] = {
            "volume_id": volume.volume_id,
            "publish_context": context,
            "staging_target_path": str(self.staging(volume)) if self.stages else "",
            "target_path": str(self.place(volume, which)),
            "volume_capability": self.capability(),
            "volume_context": volume.volume_context,
            **fields,
        }
        return pb.NodePublishVolumeRequest(**given)

    def unpublish_request(self, volume: pb.Volume, which: str = "a") -> pb.NodeUnpublishVolumeRequest:
        """The way back."""
        return pb.NodeUnpublishVolumeRequest(volume_id=volume.volume_id, target_path=str(self.place(volume, which)))

    def use(self, volume: pb.Volume, which: str = "a", **fields: Any) -> Path:
        """Attach, stage and publish the volume; every step may have been taken before. The target path."""
        self.need_service(NODE)
        context = self.attach(volume)
        if self.stages:
            self.call(rpc.NODE_STAGE_VOLUME, self.stage_request(volume, context))
        self.call(rpc.NODE_PUBLISH_VOLUME, self.publish_request(volume, context, which, **fields))
        return self.place(volume, which)

    def leave(self, volume: pb.Volume, which: str = "a") -> None:
        """Unpublish, unstage and detach the volume."""
        self.call(rpc.NODE_UNPUBLISH_VOLUME, self.unpublish_request(volume, which))
        if self.stages:
            self.call(rpc.NODE_UNSTAGE_VOLUME, self.unstage_request(volume))
        if "PUBLISH_UNPUBLISH_VOLUME" in self.served.reported(CONTROLLER):
            self.call(rpc.CONTROLLER_UNPUBLISH_VOLUME, self.detach_request(volume))

    def together(self, *calls: Callable[[], T]) -> list[T | Exception]:
        """What comes of calls that begin at the same moment."""
        return together(*calls)

    def tidy(self) -> None:
        """Take back and delete what the checks made, in the order that CSI demands."""
        if self._volumes or self._snapshots or self._groups:
            served = self.restarted()
            for volume_id, place in self._places:
                served.quietly(
                    rpc.NODE_UNPUBLISH_VOLUME, pb.NodeUnpublishVolumeRequest(volume_id=volume_id, target_path=place)
                )
            for number, volume_id in enumerate(self._volumes):
                staging = pb.NodeUnstageVolumeRequest(
                    volume_id=volume_id, staging_target_path=str(self.folder / f"staging-{number}")
                )
                served.quietly(rpc.NODE_UNSTAGE_VOLUME, staging)
                served.quietly(
                    rpc.CONTROLLER_UNPUBLISH_VOLUME, pb.ControllerUnpublishVolumeRequest(volume_id=volume_id)
                )
            for group_id in self._groups:
                request = pb.DeleteVolumeGroupSnapshotRequest(group_snapshot_id=group_id)
                served.call(rpc.DELETE_VOLUME_GROUP_SNAPSHOT, request)
            for snapshot_id in self._snapshots:
                served.call(rpc.DELETE_SNAPSHOT, pb.DeleteSnapshotRequest(snapshot_id=snapshot_id))
            for volume_id in self._volumes:
                served.call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=volume_id))
        for made in (self._volumes, self._snapshots, self._groups, self._places):
            made.clear()
        self._remove_folder()

    def _remove_folder(self) -> None:
        """Remove the orchestrator's directory, unless anything is mounted in it: that would be the volume's data."""
        if self._folder is None:
            return
        left = [mount.target for mount in mounts.mount_table() if mount.target.startswith(f"{self._folder}/")]
        if left:
            raise Failed(f"still mounted: {', '.join(left)}")
        shutil.rmtree(self._folder)
        self._folder = None
