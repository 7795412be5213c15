"""Hosts of one's own on one platform directory, short words for the contract's calls, and devices to clean up."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rexray import mounts
from rexray.types import Attachment, InstanceId, Snapshot, SnapshotId, Volume, VolumeId, VolumeSpec
from rexray_driver_loop import crypt, loops
from rexray_driver_loop.node import LoopNode
from rexray_driver_loop.settings import LoopSettings
from rexray_driver_loop.storage import LoopStorage

MIB = 1 << 20
GIB = 1 << 30
SECONDS = 20.0


class Host:
    """A storage driver and a node driver of one instance, which is registered."""

    def __init__(self, root: Path, instance: str = "here", **settings: Any) -> None:
        self.root = root
        self.id = InstanceId(instance)
        self.settings = LoopSettings(root=str(root), instance_id=instance, **settings)
        self.storage = LoopStorage(self.settings)
        self.node = LoopNode(self.settings)
        self.node.instance()

    def create(self, name: str = "v", size: int = MIB, **more: Any) -> Volume:
        return self.storage.create(VolumeSpec(name=name, size_bytes=size, **more))

    def clone(self, name: str, source: str, size: int = 0, **more: Any) -> Volume:
        return self.create(name, size, source_volume=VolumeId(source), **more)

    def restore(self, name: str, snapshot: str, size: int = 0, **more: Any) -> Volume:
        return self.create(name, size, source_snapshot=SnapshotId(snapshot), **more)

    def remove(self, name: str = "v", *, force: bool = False) -> None:
        self.storage.remove(VolumeId(name), force=force)

    def get(self, name: str = "v") -> Volume:
        return self.storage.volume(VolumeId(name))

    def names(self) -> list[str]:
        return [volume.id for volume in self.storage.volumes()]

    def attach(self, name: str = "v", to: str = "", *, read_only: bool = False, force: bool = False) -> Attachment:
        return self.storage.attach(VolumeId(name), InstanceId(to or self.id), read_only=read_only, force=force)

    def detach(self, name: str = "v", of: str | None = None, *, force: bool = False) -> None:
        self.storage.detach(VolumeId(name), None if of is None else InstanceId(of), force=force)

    def connect(self, name: str = "v") -> Path:
        """Attach and connect."""
        return self.node.connect(self.attach(name), deadline=SECONDS).path

    def attachment(self, name: str = "v") -> Attachment:
        """An attachment to this host as somebody may remember it."""
        return Attachment(volume_id=VolumeId(name), instance_id=self.id)

    def disconnect(self, name: str = "v") -> None:
        self.node.disconnect(self.attachment(name))

    def snap(self, name: str = "s", volume: str = "v", description: str = "") -> Snapshot:
        return self.storage.create_snapshot(VolumeId(volume), name, description)

    def snaps(self, volume: str | None = None, snapshot: str | None = None) -> list[str]:
        found = self.storage.snapshots(
            volume_id=None if volume is None else VolumeId(volume),
            snapshot_id=None if snapshot is None else SnapshotId(snapshot),
        )
        return [snapshot.id for snapshot in found]

    def remove_snap(self, name: str = "s") -> None:
        self.storage.remove_snapshot(SnapshotId(name))

    def rollback(self, name: str = "v", snapshot: str = "s") -> Volume:
        return self.storage.rollback(VolumeId(name), SnapshotId(snapshot))

    def expand(self, name: str, size: int) -> Volume:
        return self.storage.expand(VolumeId(name), size)

    def modify(self, name: str = "v", **options: str) -> Volume:
        return self.storage.modify(VolumeId(name), options)

    def data(self, name: str = "v") -> Path:
        return self.root / "volumes" / name / "data"

    def write(self, name: str, content: bytes, at: int = 0) -> None:
        """Write to the volume's file, as a loop device would."""
        with self.data(name).open("r+b") as file:
            file.seek(at)
            file.write(content)

    def read(self, name: str, size: int = 16, at: int = 0) -> bytes:
        with self.data(name).open("rb") as file:
            file.seek(at)
            return file.read(size)

    def leftovers(self) -> list[Path]:
        """What only an operation under way may have."""
        return [*(self.root / "tmp").iterdir(), *self.root.rglob("*.new")]


def room(file: Path) -> int:
    """The bytes that a file occupies."""
    return file.stat().st_blocks * 512


def devices_of(root: Path) -> list[tuple[Path, str]]:
    """The loop devices of the files below a directory."""
    return sorted((device, path) for device, path in loops.bound() if path.startswith(f"{root.resolve()}/"))


def mounts_of(root: Path) -> list[str]:
    return [mount.target for mount in mounts.mount_table() if mount.target.startswith(f"{root.resolve()}/")]


def clean(root: Path) -> None:
    """Unmount and release whatever of this directory is in use; a file that nobody has is released for sure."""
    for target in reversed(mounts_of(root)):
        mounts.unmount(target)
    for device, path in devices_of(root):
        if path.endswith("/data"):
            crypt.close_device(Path(path))
        subprocess.run(["losetup", "--detach", str(device)], check=False, timeout=30)
    deadline = time.monotonic() + 5  # others on this machine may just be looking at a device
    while devices_of(root) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert devices_of(root) == []


def make_filesystem(device: Path, *, size: str = "") -> None:
    command = ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0", str(device), *([size] if size else [])]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@contextmanager
def mounted(device: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", str(device), str(folder)], check=True, timeout=30)
    try:
        yield folder
    finally:
        mounts.unmount(folder)


@contextmanager
def tmpfs(folder: Path, size: int) -> Iterator[Path]:
    """A filesystem of that size, to be filled."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True, timeout=30)
    try:
        yield folder
    finally:
        clean(folder)
        mounts.unmount(folder)


@contextmanager
def open_device(device: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    descriptor = os.open(device, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


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
