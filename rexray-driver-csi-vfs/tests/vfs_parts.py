"""A plug-in of one's own below a directory, and short words for the calls of CSI."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rexray import mounts
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.local import LocalCaller, handlers_of
from rexray.csi.settings import CSISettings
from rexray.csi.volumes import CSIVolumes
from rexray.paths import find_paths
from rexray.settings import Sources
from rexray_driver_csi_vfs.driver import VFSPlugin
from rexray_driver_csi_vfs.settings import VFSSettings

NODE = "here"
NOBODY = 65534
SECONDS = 30.0
MIB = 1 << 20
GIB = 1 << 30
Mode = pb.VolumeCapability.AccessMode


def capability(
    mode: Mode.Mode = Mode.SINGLE_NODE_MULTI_WRITER, *, group: str = "", fs_type: str = "", flags: Sequence[str] = ()
) -> pb.VolumeCapability:
    mount = pb.VolumeCapability.MountVolume(volume_mount_group=group, fs_type=fs_type, mount_flags=flags)
    return pb.VolumeCapability(access_mode=Mode(mode=mode), mount=mount)


def from_volume(name: str) -> pb.VolumeContentSource:
    return pb.VolumeContentSource(volume=pb.VolumeContentSource.VolumeSource(volume_id=name))


def from_snapshot(name: str) -> pb.VolumeContentSource:
    return pb.VolumeContentSource(snapshot=pb.VolumeContentSource.SnapshotSource(snapshot_id=name))


def settings_below(data: Path, **more: str | int) -> VFSSettings:
    chosen: Mapping[str, object] = {"node_id": NODE, "data": str(data), **more}
    return VFSSettings(**chosen)  # type: ignore[arg-type]


class VolumesOfVFS(CSIVolumes):
    """The volume driver over a csi-vfs that is called in this process; other processes can make it as well."""

    @classmethod
    def make(cls, sources: Sources) -> Self:
        plugin = VFSPlugin.make(sources)
        plugin.start()
        caller = LocalCaller(handlers_of(plugin))
        return cls(sources.load(CSISettings), caller=caller, paths=find_paths(sources.environ))


class Vfs:
    """A started plug-in and its caller; ``paths`` is where an orchestrator keeps its own paths."""

    def __init__(self, home: Path, *, data: Path | None = None, **settings: str | int) -> None:
        self.home = home
        self.data = data or home / "data"
        self.paths = home / "paths"
        self.paths.mkdir(parents=True, exist_ok=True)
        self.plugin = VFSPlugin(settings_below(self.data, **settings))
        self.plugin.start()
        self._caller = LocalCaller(handlers_of(self.plugin))

    def call(self, call: rpc.Call[rpc.Req, rpc.Rep], request: rpc.Req, *, timeout: float = SECONDS) -> rpc.Rep:
        return self._caller.call(call, request, timeout=timeout)

    def volume(self, name: str) -> Path:
        return self.data / "vol" / name

    def snapshot(self, name: str) -> Path:
        return self.data / "snap" / name

    def device(self, name: str) -> Path:
        return self.data / "dev" / name

    def staging(self, name: str) -> Path:
        return self.paths / f"staging-{name}"

    def target(self, name: str) -> Path:
        return self.paths / f"target-{name}"

    def create(
        self,
        name: str,
        *,
        size: int = 0,
        limit: int = 0,
        source: pb.VolumeContentSource | None = None,
        parameters: Mapping[str, str] = {},
        mutable: Mapping[str, str] = {},
        timeout: float = SECONDS,
    ) -> pb.Volume:
        request = pb.CreateVolumeRequest(
            name=name,
            capacity_range=pb.CapacityRange(required_bytes=size, limit_bytes=limit),
            volume_capabilities=[capability()],
            parameters=parameters,
            mutable_parameters=mutable,
            volume_content_source=source,
        )
        return self.call(rpc.CREATE_VOLUME, request, timeout=timeout).volume

    def delete(self, name: str) -> None:
        self.call(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=name))

    def get(self, name: str) -> pb.ControllerGetVolumeResponse:
        return self.call(rpc.CONTROLLER_GET_VOLUME, pb.ControllerGetVolumeRequest(volume_id=name))

    def page(self, token: str = "", count: int = 0) -> pb.ListVolumesResponse:
        return self.call(rpc.LIST_VOLUMES, pb.ListVolumesRequest(starting_token=token, max_entries=count))

    def names(self) -> list[str]:
        return [entry.volume.volume_id for entry in self.page().entries]

    def attach(self, name: str, *, read_only: bool = False, node: str = NODE) -> str:
        request = pb.ControllerPublishVolumeRequest(
            volume_id=name, node_id=node, volume_capability=capability(), readonly=read_only
        )
        return self.call(rpc.CONTROLLER_PUBLISH_VOLUME, request).publish_context["path"]

    def detach(self, name: str, node: str = NODE) -> None:
        request = pb.ControllerUnpublishVolumeRequest(volume_id=name, node_id=node)
        self.call(rpc.CONTROLLER_UNPUBLISH_VOLUME, request)

    def stage(self, name: str, path: Path | str | None = None, *, wanted: pb.VolumeCapability | None = None) -> None:
        request = pb.NodeStageVolumeRequest(
            volume_id=name,
            staging_target_path=str(path or self.staging(name)),
            volume_capability=wanted or capability(),
        )
        self.call(rpc.NODE_STAGE_VOLUME, request)

    def unstage(self, name: str, path: Path | str | None = None) -> None:
        request = pb.NodeUnstageVolumeRequest(volume_id=name, staging_target_path=str(path or self.staging(name)))
        self.call(rpc.NODE_UNSTAGE_VOLUME, request)

    def publish(
        self,
        name: str,
        path: Path | str | None = None,
        *,
        staging: Path | str | None = None,
        read_only: bool = False,
        wanted: pb.VolumeCapability | None = None,
    ) -> None:
        """Publish; ``staging=""`` is an orchestrator that does not stage."""
        request = pb.NodePublishVolumeRequest(
            volume_id=name,
            staging_target_path=str(self.staging(name) if staging is None else staging),
            target_path=str(path or self.target(name)),
            volume_capability=wanted or capability(),
            readonly=read_only,
        )
        self.call(rpc.NODE_PUBLISH_VOLUME, request)

    def unpublish(self, name: str, path: Path | str | None = None) -> None:
        request = pb.NodeUnpublishVolumeRequest(volume_id=name, target_path=str(path or self.target(name)))
        self.call(rpc.NODE_UNPUBLISH_VOLUME, request)

    def snap(self, name: str, source: str, *, timeout: float = SECONDS) -> pb.Snapshot:
        request = pb.CreateSnapshotRequest(name=name, source_volume_id=source)
        return self.call(rpc.CREATE_SNAPSHOT, request, timeout=timeout).snapshot

    def delete_snap(self, name: str) -> None:
        self.call(rpc.DELETE_SNAPSHOT, pb.DeleteSnapshotRequest(snapshot_id=name))

    def snaps(self, *, source: str = "", name: str = "", token: str = "", count: int = 0) -> pb.ListSnapshotsResponse:
        request = pb.ListSnapshotsRequest(
            source_volume_id=source, snapshot_id=name, starting_token=token, max_entries=count
        )
        return self.call(rpc.LIST_SNAPSHOTS, request)

    def group(self, name: str, *sources: str, timeout: float = SECONDS) -> pb.VolumeGroupSnapshot:
        request = pb.CreateVolumeGroupSnapshotRequest(name=name, source_volume_ids=sources)
        return self.call(rpc.CREATE_VOLUME_GROUP_SNAPSHOT, request, timeout=timeout).group_snapshot

    def get_group(self, name: str, *members: str) -> pb.VolumeGroupSnapshot:
        request = pb.GetVolumeGroupSnapshotRequest(group_snapshot_id=name, snapshot_ids=members)
        return self.call(rpc.GET_VOLUME_GROUP_SNAPSHOT, request).group_snapshot

    def delete_group(self, name: str, *members: str) -> None:
        request = pb.DeleteVolumeGroupSnapshotRequest(group_snapshot_id=name, snapshot_ids=members)
        self.call(rpc.DELETE_VOLUME_GROUP_SNAPSHOT, request)

    def mount(self, name: str, *, read_only: bool = False) -> Path:
        """Attach, stage and publish."""
        self.attach(name, read_only=read_only)
        self.stage(name)
        self.publish(name)
        return self.target(name)

    def unmount(self, name: str) -> None:
        """The way back."""
        self.unpublish(name)
        self.unstage(name)
        self.detach(name)

    def leftovers(self) -> list[Path]:
        """What only an operation under way may have: scratch directories, temporary files."""
        ours = [self.data / kind / ".rexray" for kind in ("vol", "snap", "mnt")]
        scratch = [path for folder in ours if (folder / "tmp").exists() for path in (folder / "tmp").iterdir()]
        return [*scratch, *(path for folder in ours for path in folder.rglob("*.tmp"))]


def mounts_below(folder: Path) -> list[mounts.Mount]:
    return [mount for mount in mounts.mount_table() if mount.target.startswith(f"{folder.resolve()}/")]


def become_nobody() -> None:
    """Give up every right of root; what is imported late may not be readable any more."""
    for module in ("controller", "groups", "identity", "node"):
        importlib.import_module(f"rexray_driver_csi_vfs.{module}")
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def unmount_below(folder: Path) -> None:
    for mount in reversed(mounts_below(folder)):
        mounts.unmount(mount.target)


def tree(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything in a directory by its path: mode, owner, group and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.fsencode(os.readlink(path))
        elif path.is_file():
            content = path.read_bytes()
        found[str(path.relative_to(folder))] = (facts.st_mode, facts.st_uid, facts.st_gid, content)
    return found


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a script ended."""

    status: int
    output: str
    errors: str


def run_script(script: str, *arguments: str | Path, fault: str = "", timeout: float = 60) -> Ended:
    """Run Python in a process of its own, with this module to import."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "REXRAY_FAULT": fault}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    ended = subprocess.run(command, check=False, env=environ, capture_output=True, text=True, timeout=timeout)
    return Ended(status=ended.returncode, output=ended.stdout, errors=ended.stderr)


@contextmanager
def loop_filesystem(image: Path, folder: Path, size: int, *make: str) -> Iterator[Path]:
    """A filesystem of its own in a file, made by that command and mounted at the folder."""
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run([*make, str(image)], check=True, capture_output=True, timeout=60)
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True, capture_output=True, timeout=60)
    try:
        yield folder
    finally:
        unmount_below(folder)
        subprocess.run(["umount", str(folder)], check=True, capture_output=True, timeout=60)
