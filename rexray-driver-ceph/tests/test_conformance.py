"""The drivers keep to the contracts, by the conformance kit, on a Ceph cluster and with images mapped on this host."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ceph_parts import CephCluster
from rbd_parts import MIB, Host, read, write
from rexray.locks import Locks
from rexray.paths import find_paths
from rexray.settings import Sources
from rexray.testing.conformance import NodeConformance, StorageConformance
from rexray.testing.kit.devices import BlockDevices
from rexray.testing.kit.node_rig import NodeRig
from rexray.testing.kit.rig import StorageRig
from rexray.types import Attachment, VolumeId
from rexray_driver_ceph.node import RbdNode
from rexray_driver_ceph.storage import RbdStorage

HOSTS = ("h1", "h2", "h3")


class Images:
    """The volumes' data as any client of the cluster sees it."""

    def __init__(self, cluster: CephCluster) -> None:
        self._cluster = cluster

    def write(self, volume_id: VolumeId, offset: int, data: bytes) -> None:
        write(self._cluster, volume_id, data, at=offset)

    def read(self, volume_id: VolumeId, offset: int, length: int) -> bytes:
        return read(self._cluster, volume_id, length, at=offset)


def sources(conf: Path | str, **more: str) -> Sources:
    """What configures a driver of the cluster."""
    environ = {"RBD_CONF": str(conf), "RBD_INSTANCEID": "h1", "RBD_WATCHERTIMEOUT": "500ms", "RBD_TIMEOUT": "20s"}
    return Sources(environ={**environ, **more})


@pytest.fixture(scope="module")
def kept(running_cluster: CephCluster) -> CephCluster:
    """The session's cluster, emptied once: with an image of somebody's, and three hosts that it knows."""
    running_cluster.reset()
    running_cluster.rbd("create", "--size", "8M", "rbd/theirs")
    for instance in HOSTS:
        Host(running_cluster.conf, instance)
    return running_cluster


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """The address of a monitor that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the passphrase of encrypted volumes."""
    folder = tmp_path_factory.mktemp("keys")
    folder.chmod(0o700)
    (folder / "default").touch(0o600)
    (folder / "default").write_text("a passphrase of the kit's")
    return folder


@pytest.fixture
def storage(kept: CephCluster, silent: str, keys: Path) -> StorageRig:
    return StorageRig(
        RbdStorage,
        sources(kept.conf, RBD_KEYDIRECTORY=str(keys)),
        size_bytes=8 * MIB,
        step_bytes=4 * MIB,
        hosts=HOSTS,
        contents=Images(kept),
        modification={"iops": "1000"},
        troubles={
            "unreachable": sources(kept.conf, RBD_MONITORS="127.0.0.1:1", RBD_TIMEOUT="1s"),
            "hanging": sources(kept.conf, RBD_MONITORS=silent, RBD_TIMEOUT="1s"),
            "denied": sources(kept.conf, RBD_USER="nobody", RBD_TIMEOUT="3s"),
        },
        many=12,
    )


@pytest.mark.needs("ceph", "root")
@pytest.mark.long
class TestStorage(StorageConformance):
    @pytest.fixture
    def rig(self, storage: StorageRig) -> StorageRig:
        return storage


@pytest.mark.needs("ceph", "root", "loop", "qemu-storage-daemon")
class TestNode(NodeConformance):
    @pytest.fixture
    def rig(self, storage: StorageRig, kept: CephCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeRig:
        monkeypatch.setenv("REXRAY_HOME", str(tmp_path / "home"))

        @contextlib.contextmanager
        def stall(attachment: Attachment) -> Iterator[None]:
            """Somebody else on this host is mapping the volume, and takes long."""
            key = "rbd-" + hashlib.sha256(attachment.volume_id.encode()).hexdigest()[:32]
            with Locks(find_paths().run / "locks").hold(key, owner="map it slowly", timeout=5):
                yield

        return NodeRig(RbdNode, sources(kept.conf, RBD_MAPPER="loop"), storage, devices=BlockDevices(), stall=stall)
