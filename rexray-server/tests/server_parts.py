"""A volume driver in memory, a small CSI plug-in, and a running multiplexer: what the tests of the server stand on."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.plugin import SERVICES, CSIPlugin
from rexray.drivers import VolumeDriver
from rexray.errors import InUse, InvalidRequest, NotFound
from rexray.names import check_name
from rexray.types import (
    Attachment,
    AttachmentState,
    BlockDevice,
    InstanceId,
    MountPoint,
    MountRequest,
    Volume,
    VolumeId,
)
from rexray_server.csi.pipeline import Pipeline
from rexray_server.csi.server import make_server
from rexray_server.docker.app import DockerApplication
from rexray_server.mux import Multiplexer
from rexray_server.settings import ServerSettings


class MemoryVolumes(VolumeDriver):
    """Volumes in memory that keep to the contract."""

    name = "memory"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.known: dict[str, Volume] = {}
        self.holders: dict[str, set[str]] = {}

    def create(self, name: str, options: Mapping[str, str]) -> Volume:
        if unknown := set(options) - {"size"}:
            raise InvalidRequest(f"unknown option {sorted(unknown)[0]!r}")
        with self._lock:
            return self.known.setdefault(check_name(name), Volume(id=VolumeId(name), name=name, size_bytes=1))

    def remove(self, name: str, *, force: bool = False) -> None:
        with self._lock:
            if self.holders.get(name):
                raise InUse(f"volume {name!r} is mounted")
            if self.known.pop(name, None) is None:
                raise NotFound(f"volume {name!r} does not exist")

    def get(self, name: str) -> Volume:
        try:
            volume = self.known[check_name(name)]
        except KeyError:
            raise NotFound(f"volume {name!r} does not exist") from None
        if not self.holders.get(name):
            return volume
        here = Attachment(volume_id=volume.id, instance_id=InstanceId("here"), mount_point=str(self._path(name)))
        return replace(volume, attachments=(here,), state=AttachmentState.ATTACHED)

    def list(self) -> Iterator[Volume]:
        return iter([self.get(name) for name in sorted(self.known)])

    def mount(self, request: MountRequest) -> MountPoint:
        self.get(request.name)
        with self._lock:
            self.holders.setdefault(request.name, set()).add(request.holder)
        return MountPoint(path=self._path(request.name), source=request.name)

    def unmount(self, name: str, holder: str) -> None:
        with self._lock:
            self.holders.get(name, set()).discard(holder)

    def path(self, name: str) -> Path | None:
        self.get(name)
        return self._path(name) if self.holders.get(name) else None

    def attach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> Attachment:
        return Attachment(volume_id=self.get(name).id, instance_id=instance_id)

    def detach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> None:
        self.get(name)

    def network_name(self, name: str, instance_id: InstanceId) -> str:
        return self.get(name).network_name

    def unmount_all(self) -> Iterator[str]:
        held = [name for name, holders in self.holders.items() if holders]
        self.holders.clear()
        return iter(held)

    def instance_id(self) -> InstanceId:
        return InstanceId("here")

    def devices(self) -> tuple[BlockDevice, ...]:
        return ()

    def volume_id(self, name: str) -> VolumeId:
        return self.get(name).id

    def recover(self) -> Iterator[str]:
        return iter(())

    def _path(self, name: str) -> Path:
        return Path("/var/lib/rexray/volumes") / name


@dataclass
class SmallController:
    """Volumes by name; ``gate`` holds every CreateVolume back until it is set, for tests of waiting."""

    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    created: list[str] = field(default_factory=list)

    def CreateVolume(self, request: pb.CreateVolumeRequest, context: Any) -> pb.CreateVolumeResponse:
        self.entered.set()
        self.gate.wait(10)
        if request.name == "broken":
            raise RuntimeError("a secret of the plug-in's insides")
        if request.name == "taken":
            raise InUse("volume 'taken' is held by node 'other'")
        self.created.append(request.name)
        return pb.CreateVolumeResponse(volume=pb.Volume(volume_id=request.name))

    def ListVolumes(self, request: pb.ListVolumesRequest, context: Any) -> pb.ListVolumesResponse:
        entries = [pb.ListVolumesResponse.Entry(volume=pb.Volume(volume_id=name)) for name in self.created]
        return pb.ListVolumesResponse(entries=entries)


class SmallIdentity:
    """Who the plug-in is."""

    def GetPluginInfo(self, request: pb.GetPluginInfoRequest, context: Any) -> pb.GetPluginInfoResponse:
        return pb.GetPluginInfoResponse(name="small.example", vendor_version="1")

    def Probe(self, request: pb.ProbeRequest, context: Any) -> pb.ProbeResponse:
        return pb.ProbeResponse()


class SmallNode:
    """A node that only has a name."""

    def NodeGetInfo(self, request: pb.NodeGetInfoRequest, context: Any) -> pb.NodeGetInfoResponse:
        return pb.NodeGetInfoResponse(node_id="here")


class SmallPlugin(CSIPlugin):
    """A CSI plug-in of a few calls."""

    name = "small"

    def __init__(self) -> None:
        self.controller = SmallController()
        self.controller.gate.set()

    def services(self, wanted: Collection[str] = SERVICES) -> Mapping[str, object]:
        return {"Identity": SmallIdentity(), "Controller": self.controller, "Node": SmallNode()}


@dataclass
class Running:
    """A multiplexer that serves at a socket, and what is behind it."""

    path: Path
    volumes: MemoryVolumes
    plugin: SmallPlugin
    mux: Multiplexer

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(10)
        connection.connect(str(self.path))
        return connection

    def post(self, call: str, body: bytes = b"{}", method: str = "POST") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect()
        try:
            connection.request(method, call, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextmanager
def serving(folder: Path, settings: ServerSettings, *, docker: bool = True) -> Iterator[Running]:
    """Serve a small plug-in and volumes in memory in this process."""
    volumes, plugin = MemoryVolumes(), SmallPlugin()
    pipeline = Pipeline(plugin, settings)
    loop = asyncio.new_event_loop()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(folder / "mux.sock"))
    listener.listen(2048)
    with ThreadPoolExecutor(16) as calls, ThreadPoolExecutor(16) as requests:
        server = make_server(pipeline.handlers, f"unix:{folder / 'grpc.sock'}", calls)
        server.start()
        application = DockerApplication(volumes, scope="local") if docker else None
        mux = Multiplexer(application=application, grpc_path=str(folder / "grpc.sock"), executor=requests)
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        asyncio.run_coroutine_threadsafe(mux.start(listener), loop).result(5)
        try:
            yield Running(folder / "mux.sock", volumes, plugin, mux)
        finally:
            loop.call_soon_threadsafe(mux.stop_accepting)
            server.stop(0).wait()
            asyncio.run_coroutine_threadsafe(mux.drain(2), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5)
            loop.close()
