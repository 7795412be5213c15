"""The CSI service in memory made a plug-in that keeps to CSI: it checks requests, and keeps its state in a file."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib
import os
import pickle
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

from google.protobuf.message import Message

from rexray import faults, mounts
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.paging import page
from rexray.csi.plugin import SERVICES, CSIPlugin
from rexray.csi.rpc import CALLS
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, NotReady, OutOfRange
from rexray.names import check_name
from rexray.settings import Secret, Sources, setting
from rexray.testing.csi import MemoryCSI
from rexray.testing.kit.csi_rig import CSIRig

HERE = "node-1"
_Node = pb.NodeServiceCapability
_TYPES = (
    pb.ControllerServiceCapability.RPC.Type,
    pb.GroupControllerServiceCapability.RPC.Type,
    _Node.RPC.Type,
)
OFFERED = (
    "CONTROLLER_SERVICE",
    "GROUP_CONTROLLER_SERVICE",
    *dict.fromkeys(name for types in _TYPES for name, number in types.items() if number),
)


class CarefulCSI(MemoryCSI):
    """The services; a volume's id is not its name, its files are in a directory that is bound where it is published."""

    lenient: ClassVar[tuple[str, ...]] = ()
    """The messages that are not looked at, and the calls that are not served: defects, as all that is said here."""
    lacking: ClassVar[tuple[str, ...]] = ()
    offered: ClassVar[tuple[str, ...]] = OFFERED
    waits: ClassVar[bool] = True
    """Whether calls that meet wait for each other."""
    turned_away: ClassVar[threading.Event] = threading.Event()
    save: Callable[[], None]
    """Keep what has changed so far."""

    def __init__(self) -> None:
        super().__init__()
        self.root = ""
        self.ids: dict[str, str] = {}
        self.read_only: dict[str, bool] = {}
        self.groups: dict[str, list[str]] = {}

    def start(self) -> None:
        """What a new process does first."""

    def require(self, request: Message, *fields: str) -> None:
        """``InvalidRequest`` unless the request has the fields."""
        if request.DESCRIPTOR.name not in self.lenient:
            for field in fields:
                if field not in {each.name for each, _ in request.ListFields()}:
                    raise InvalidRequest(f"{field} is missing")

    def folder(self, volume_id: str) -> Path:
        """The volume's files."""
        found = Path(self.root, volume_id)
        found.mkdir(exist_ok=True)
        return found

    def CreateVolume(self, request: pb.CreateVolumeRequest) -> pb.CreateVolumeResponse:
        self.require(request, "name", "volume_capabilities")
        check_name(request.name)
        wanted, source = request.capacity_range, request.volume_content_source
        if wanted.limit_bytes and wanted.required_bytes > wanted.limit_bytes:
            raise OutOfRange(f"{wanted.required_bytes} bytes are more than the limit of {wanted.limit_bytes}")
        self.check_source(source)
        known = self.volumes.get(self.ids.get(request.name, ""))
        if known is not None:
            if known.capacity_bytes < wanted.required_bytes or known.content_source != source:
                raise AlreadyExists(f"volume {request.name!r} exists with {known.capacity_bytes} bytes")
            return pb.CreateVolumeResponse(volume=known)
        return pb.CreateVolumeResponse(volume=self.make(request))

    def check_source(self, source: pb.VolumeContentSource) -> None:
        if source.volume.volume_id:
            self.volume(source.volume.volume_id)
        if source.snapshot.snapshot_id and source.snapshot.snapshot_id not in self.snapshots:
            raise NotFound(f"no snapshot {source.snapshot.snapshot_id!r}")

    def make(self, request: pb.CreateVolumeRequest) -> pb.Volume:
        volume_id = "vol-" + hashlib.sha256(request.name.encode()).hexdigest()
        source = request.volume_content_source if request.HasField("volume_content_source") else None
        size = request.capacity_range.required_bytes or 1 << 30
        made = pb.Volume(volume_id=volume_id, capacity_bytes=size, content_source=source)
        self.volumes[volume_id] = made
        self.ids[request.name] = volume_id
        if made.content_source.volume.volume_id:
            self.copy(made.content_source.volume.volume_id, volume_id)
        return made

    def copy(self, source: str, volume_id: str) -> None:
        shutil.copytree(self.folder(source), self.folder(volume_id), dirs_exist_ok=True)

    def ListVolumes(self, request: pb.ListVolumesRequest) -> pb.ListVolumesResponse:
        ids, token = page(sorted(self.volumes), request.starting_token, request.max_entries)
        found = {entry.volume.volume_id: entry for entry in super().ListVolumes(pb.ListVolumesRequest()).entries}
        return pb.ListVolumesResponse(entries=[found[each] for each in ids], next_token=token)

    def DeleteVolume(self, request: pb.DeleteVolumeRequest) -> pb.DeleteVolumeResponse:
        self.require(request, "volume_id")
        if self.published.get(request.volume_id):
            raise InUse(f"volume {request.volume_id!r} is attached")
        return super().DeleteVolume(request)

    def ControllerGetVolume(self, request: pb.ControllerGetVolumeRequest) -> pb.ControllerGetVolumeResponse:
        self.require(request, "volume_id")
        return super().ControllerGetVolume(request)

    def ControllerModifyVolume(self, request: pb.ControllerModifyVolumeRequest) -> pb.ControllerModifyVolumeResponse:
        self.require(request, "volume_id")
        return super().ControllerModifyVolume(request)

    def ControllerExpandVolume(self, request: pb.ControllerExpandVolumeRequest) -> pb.ControllerExpandVolumeResponse:
        self.require(request, "volume_id", "capacity_range")
        return super().ControllerExpandVolume(request)

    def ValidateVolumeCapabilities(
        self, request: pb.ValidateVolumeCapabilitiesRequest
    ) -> pb.ValidateVolumeCapabilitiesResponse:
        self.require(request, "volume_id", "volume_capabilities")
        return super().ValidateVolumeCapabilities(request)

    def ControllerPublishVolume(self, request: pb.ControllerPublishVolumeRequest) -> pb.ControllerPublishVolumeResponse:
        self.require(request, "volume_id", "node_id", "volume_capability")
        self.volume(request.volume_id)
        if request.node_id != HERE:
            raise NotFound(f"no node {request.node_id!r}")
        if self.published.get(request.volume_id) and self.read_only[request.volume_id] != request.readonly:
            raise AlreadyExists(f"volume {request.volume_id!r} is attached in another mode")
        self.read_only[request.volume_id] = request.readonly
        return super().ControllerPublishVolume(request)

    def ControllerUnpublishVolume(
        self, request: pb.ControllerUnpublishVolumeRequest
    ) -> pb.ControllerUnpublishVolumeResponse:
        self.require(request, "volume_id")
        return super().ControllerUnpublishVolume(request)

    def ControllerGetVolumeHealth(
        self, request: pb.ControllerGetVolumeHealthRequest
    ) -> pb.ControllerGetVolumeHealthResponse:
        self.require(request, "volume_id")
        return super().ControllerGetVolumeHealth(request)

    def CreateSnapshot(self, request: pb.CreateSnapshotRequest) -> pb.CreateSnapshotResponse:
        self.require(request, "name", "source_volume_id")
        known = self.snapshots.get(request.name)
        if known is not None and known.source_volume_id != request.source_volume_id:
            raise AlreadyExists(f"snapshot {request.name!r} is of {known.source_volume_id!r}")
        return super().CreateSnapshot(request)

    def DeleteSnapshot(self, request: pb.DeleteSnapshotRequest) -> pb.DeleteSnapshotResponse:
        self.require(request, "snapshot_id")
        return super().DeleteSnapshot(request)

    def GetSnapshot(self, request: pb.GetSnapshotRequest) -> pb.GetSnapshotResponse:
        self.require(request, "snapshot_id")
        return super().GetSnapshot(request)

    def CreateVolumeGroupSnapshot(
        self, request: pb.CreateVolumeGroupSnapshotRequest
    ) -> pb.CreateVolumeGroupSnapshotResponse:
        self.require(request, "name", "source_volume_ids")
        sources = sorted(map(str, request.source_volume_ids))
        for volume_id in sources:
            self.volume(volume_id)
        if self.groups.setdefault(request.name, sources) != sources:
            raise AlreadyExists(f"group {request.name!r} is of other volumes")
        return super().CreateVolumeGroupSnapshot(request)

    def GetVolumeGroupSnapshot(self, request: pb.GetVolumeGroupSnapshotRequest) -> pb.GetVolumeGroupSnapshotResponse:
        self.require(request, "group_snapshot_id")
        return super().GetVolumeGroupSnapshot(request)

    def DeleteVolumeGroupSnapshot(
        self, request: pb.DeleteVolumeGroupSnapshotRequest
    ) -> pb.DeleteVolumeGroupSnapshotResponse:
        self.require(request, "group_snapshot_id")
        if self.groups.pop(request.group_snapshot_id, None) is None:
            return pb.DeleteVolumeGroupSnapshotResponse()
        return super().DeleteVolumeGroupSnapshot(request)

    def NodeGetCapabilities(self, request: pb.NodeGetCapabilitiesRequest) -> pb.NodeGetCapabilitiesResponse:
        kinds = [number for number in _Node.RPC.Type.values() if number]
        return pb.NodeGetCapabilitiesResponse(capabilities=[_Node(rpc=_Node.RPC(type=kind)) for kind in kinds])  # type: ignore[arg-type]

    def NodeStageVolume(self, request: pb.NodeStageVolumeRequest) -> pb.NodeStageVolumeResponse:
        self.require(request, "volume_id", "staging_target_path", "volume_capability")
        self.volume(request.volume_id)
        return super().NodeStageVolume(request)

    def NodeUnstageVolume(self, request: pb.NodeUnstageVolumeRequest) -> pb.NodeUnstageVolumeResponse:
        self.require(request, "volume_id", "staging_target_path")
        return super().NodeUnstageVolume(request)

    def NodePublishVolume(self, request: pb.NodePublishVolumeRequest) -> pb.NodePublishVolumeResponse:
        self.require(request, "volume_id", "target_path", "volume_capability")
        self.volume(request.volume_id)
        answer = super().NodePublishVolume(request)
        self.show(request)
        return answer

    def show(self, request: pb.NodePublishVolumeRequest) -> None:
        os.makedirs(request.target_path, exist_ok=True)
        options = ("ro",) if request.readonly else ("rw",)
        mounts.bind(self.folder(request.volume_id), request.target_path, options=options)

    def NodeUnpublishVolume(self, request: pb.NodeUnpublishVolumeRequest) -> pb.NodeUnpublishVolumeResponse:
        self.require(request, "volume_id", "target_path")
        if os.path.isdir(request.target_path):
            mounts.unmount(request.target_path)
            os.rmdir(request.target_path)
        return super().NodeUnpublishVolume(request)

    def NodeExpandVolume(self, request: pb.NodeExpandVolumeRequest) -> pb.NodeExpandVolumeResponse:
        self.require(request, "volume_id", "volume_path")
        return super().NodeExpandVolume(request)

    def NodeGetVolumeStats(self, request: pb.NodeGetVolumeStatsRequest) -> pb.NodeGetVolumeStatsResponse:
        self.require(request, "volume_id", "volume_path")
        return super().NodeGetVolumeStats(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarefulSettings:
    """Settings of the plug-in."""

    folder: str = setting("", key="careful.folder", env="CAREFUL_FOLDER", help="Where its state and its volumes are")
    defect: str = setting("", key="careful.defect", env="CAREFUL_DEFECT", help="What it runs, as MODULE.CLASS")
    password: Secret = setting(Secret(""), key="careful.password", env="CAREFUL_PASSWORD", help="A secret")


class CarefulPlugin(CSIPlugin):
    """The plug-in; every call loads the state, changes it, and saves it."""

    name = "careful"
    settings = CarefulSettings

    def __init__(self, settings: CarefulSettings) -> None:
        self._settings = settings
        self._kind: type[CarefulCSI] = CarefulCSI
        module, _, name = settings.defect.rpartition(".")
        if module:
            self._kind = getattr(importlib.import_module(module), name)

    @property
    def offered(self) -> tuple[str, ...]:
        return self._kind.offered

    def start(self) -> None:
        Path(self._settings.folder).mkdir(parents=True, exist_ok=True)
        with self.loaded() as service:
            service.start()

    def services(self, wanted: Collection[str] = SERVICES) -> Mapping[str, object]:
        served = set(wanted) - {"SnapshotMetadata"}
        return {name: SimpleNamespace(**self._methods(name)) for name in served}

    def _methods(self, service: str) -> dict[str, Callable[[Message, object], Message]]:
        def method(name: str, request: Message, _: object) -> Message:
            with self.loaded() as loaded:
                answer: Message = getattr(loaded, name)(request)
                return answer

        names = [call.name for call in CALLS if call.service == service and call.name not in self._kind.lacking]
        return {name: functools.partial(method, name) for name in names}

    @contextmanager
    def loaded(self) -> Iterator[CarefulCSI]:
        """The services as the state on disk has them; what has changed is kept unless the block raises."""
        state = Path(self._settings.folder, "state")
        with open(f"{state}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if self._kind.waits else fcntl.LOCK_NB))
            except BlockingIOError:
                self._kind.turned_away.set()
                raise NotReady("another call is under way") from None
            service = self._kind()
            if state.exists():
                vars(service).update(pickle.loads(state.read_bytes()))
            service.root = self._settings.folder

            def save() -> None:
                content = {key: value for key, value in vars(service).items() if key != "save"}
                Path(f"{state}.new").write_bytes(pickle.dumps(content))
                faults.point("careful-written")
                os.replace(f"{state}.new", state)

            service.save = save
            yield service
            save()


def csi_rig(home: Path, broken: type[CarefulCSI] = CarefulCSI) -> CSIRig:
    """The rig of the plug-in with those services."""
    given = {
        "CAREFUL_FOLDER": str(home / "careful"),
        "CAREFUL_DEFECT": f"{broken.__module__}.{broken.__name__}",
        "CAREFUL_PASSWORD": "canary-of-careful",
    }
    return CSIRig(CarefulPlugin, Sources(environ=given), size_bytes=1 << 20, step_bytes=1 << 20, files=True, below=home)
