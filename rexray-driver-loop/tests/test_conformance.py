"""The drivers keep to the contracts, by the conformance kit, with real loop devices."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loop_parts import MIB, clean
from rexray.settings import Sources
from rexray.testing.conformance import NodeConformance, StorageConformance
from rexray.testing.kit.devices import BlockDevices
from rexray.testing.kit.node_rig import NodeRig
from rexray.testing.kit.rig import StorageRig
from rexray.types import Attachment, Device, VolumeId
from rexray_driver_loop import here
from rexray_driver_loop.node import LoopNode
from rexray_driver_loop.pool import Pool
from rexray_driver_loop.settings import LoopSettings
from rexray_driver_loop.storage import LoopStorage

HOSTS = ("here", "there", "elsewhere")
FAR = "far"
"""A host in another zone."""


class LoopContents:
    """A volume's data: through its device if it has one, which a host would use, or else in its file."""

    def __init__(self, root: Path) -> None:
        self._volumes = root / "volumes"

    def write(self, volume_id: VolumeId, offset: int, data: bytes) -> None:
        device = here.connected(self._data(volume_id))
        if device is not None:
            BlockDevices().write(Device(path=device), offset, data)
            return
        with self._data(volume_id).open("r+b") as file:
            file.seek(offset)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def read(self, volume_id: VolumeId, offset: int, length: int) -> bytes:
        device = here.connected(self._data(volume_id))
        if device is not None:
            return BlockDevices().read(Device(path=device), offset, length)
        with self._data(volume_id).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def _data(self, volume_id: VolumeId) -> Path:
        return self._volumes / volume_id / "data"


def sources(root: Path, instance: str = HOSTS[0]) -> Sources:
    zone = "z2" if instance == FAR else "z1"
    return Sources(
        environ={
            "LOOP_ROOT": str(root),
            "LOOP_INSTANCEID": instance,
            "LOOP_ZONE": zone,
            "LOOP_MAXVOLUMES": "7",
        }
    )


@pytest.fixture
def unreachable(tmp_path: Path) -> Path:
    """A directory in which nothing can be made, as on a filesystem that the kernel has given up."""
    folder = tmp_path / "given-up"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(folder)], check=True, timeout=30)
    return folder


@pytest.fixture
def storage(tmp_path: Path, unreachable: Path) -> Iterator[StorageRig]:
    """The platform of a directory of its own, which knows four hosts in two zones."""
    root = tmp_path / "root"
    for host in (*HOSTS, FAR):
        LoopNode.make(sources(root, host)).instance()
    yield StorageRig(
        LoopStorage,
        sources(root),
        size_bytes=8 * MIB,
        step_bytes=MIB,
        hosts=HOSTS,
        contents=LoopContents(root.resolve()),
        modification={"type": "thick"},
        troubles={"unreachable": sources(unreachable / "root")},
    )
    clean(tmp_path)


@pytest.mark.needs("root", "loop")
class TestStorage(StorageConformance):
    @pytest.fixture
    def rig(self, storage: StorageRig) -> StorageRig:
        return storage


@pytest.mark.needs("root", "loop")
class TestNode(NodeConformance):
    @pytest.fixture
    def rig(self, storage: StorageRig) -> NodeRig:
        @contextlib.contextmanager
        def stall(attachment: Attachment) -> Iterator[None]:
            """Somebody else is changing the volume."""
            with Pool(storage.sources.load(LoopSettings)).volumes.changing(attachment.volume_id, "holding up"):
                yield

        return NodeRig(LoopNode, storage.sources, storage, devices=BlockDevices(), stall=stall)


@pytest.mark.needs("root", "loop")
def test_what_is_installed_is_checked_by_its_name_and_its_node_driver_with_it(root: Path, tmp_path: Path) -> None:
    config = tmp_path / "kit.yml"
    config.write_text(f"conformance: {{size: 8MiB, step: 1MiB}}\nloop: {{root: {root}, instanceID: here}}\n")
    some = "create_makes_a_volume or connect_said_ten_times or mount_says"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rexray-driver=loop", "-k", some]
    command.append(f"--rexray-config={config}")
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stdout
    for kind in ("storage", "node"):
        assert f"{kind} driver loop (rexray-driver-loop" in ended.stdout
    assert "2 passed" in ended.stdout
