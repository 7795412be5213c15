"""The driver rbd against a Ceph cluster of plain processes, beside ``rbd`` itself in the same run."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "rexray-driver-ceph" / "tests"))

from figures import timed

from ceph_parts import CephCluster
from rexray.settings import Sources
from rexray.types import InstanceId, VolumeId, VolumeSpec
from rexray_driver_ceph.node import RbdNode
from rexray_driver_ceph.reading import find_python
from rexray_driver_ceph.storage import RbdStorage
from service_parts import REXRAY

HERE = "bench"

_MAKE = """
import json, os, sys
from concurrent.futures import ThreadPoolExecutor
import rados, rbd
conf, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cluster = rados.Rados(conffile=conf)
cluster.connect(timeout=10)
io = cluster.open_ioctx("rbd")
def make(number):
    name = f"image-{number}"
    rbd.RBD().create(io, name, 1 << 30)
    with rbd.Image(io, name) as image:
        image.metadata_set("rexray", json.dumps({"name": name, "image": f"rbd/{name}"}))
with ThreadPoolExecutor(16) as threads:
    list(threads.map(make, range(first, last)))
os._exit(0)
"""

_CLIENT = """
import os, sys
import rados
cluster = rados.Rados(conffile=sys.argv[1])
cluster.connect(timeout=10)
print(cluster.get_instance_id(), flush=True)
os._exit(0)
"""


def measure_ceph(folder: Path, scale: float) -> None:
    """Lists of 1,000 and 10,000 images, then what is done to single volumes."""
    with CephCluster(folder / "ceph", size_gb=4) as cluster:
        settings = {**cluster.environ, "RBD_INSTANCEID": HERE, "REXRAY_HOME": str(folder / "home")}
        settings |= {"REXRAY_STORAGEDRIVERS": "rbd"}
        made = 0
        print(f"\nrbd: {'images':>7} {'volume ls s':>12} {'sessions':>9} {'rbd ls -l s':>12} {'rbd ls s':>9}")
        for number in (1000, max(2000, int(10_000 * scale))):
            _python(_MAKE, str(cluster.conf), str(made), str(number))
            made = number
            _measure_lists(cluster, settings, number)
        _measure_volumes(cluster, settings, max(5, int(20 * scale)))


def _measure_lists(cluster: CephCluster, settings: dict[str, str], number: int) -> None:
    run = partial(subprocess.run, stdout=subprocess.DEVNULL, check=True)
    ours = partial(run, [REXRAY, "volume", "ls"], env={**os.environ, **settings})
    took = statistics.median(timed(ours) for _ in range(3))
    sessions = _sessions(cluster, ours)
    long = timed(partial(run, ["rbd", "--conf", str(cluster.conf), "ls", "-l"]))
    short = timed(partial(run, ["rbd", "--conf", str(cluster.conf), "ls"]))
    print(f"     {number:7} {took:12.2f} {sessions:9} {long:12.2f} {short:9.2f}")


def _measure_volumes(cluster: CephCluster, settings: dict[str, str], rounds: int) -> None:
    sources = Sources(environ=settings)
    storage, node = RbdStorage.make(sources), RbdNode.make(sources)
    node.instance()
    here, numbers = InstanceId(HERE), count()
    names = [f"volume-{next(numbers)}" for _ in range(rounds)]
    ids = [VolumeId(f"rbd/{name}") for name in names]
    bare = partial(cluster.rbd, "create", "--size", "1G")
    attachments = {}

    def attach(volume_id: VolumeId) -> None:
        attachments[volume_id] = storage.attach(volume_id, here)

    def connect(volume_id: VolumeId) -> None:
        node.connect(attachments[volume_id], deadline=30)

    def disconnect(volume_id: VolumeId) -> None:
        node.disconnect(attachments[volume_id])

    steps: dict[str, list[Callable[[], object]]] = {
        "rbd create": [partial(bare, f"bare-{name}") for name in names],
        "create": [partial(storage.create, VolumeSpec(name=name, size_bytes=1 << 30)) for name in names],
        "attach": [partial(attach, volume_id) for volume_id in ids],
        "connect": [partial(connect, volume_id) for volume_id in ids],
        "disconnect": [partial(disconnect, volume_id) for volume_id in ids],
        "detach": [partial(storage.detach, volume_id, here) for volume_id in ids],
        "remove": [partial(storage.remove, volume_id) for volume_id in ids],
        "rbd rm": [partial(cluster.rbd, "rm", "--no-progress", f"bare-{name}") for name in names],
    }
    print(f"\n{'':12} {'p50 ms':>8} {'sessions':>9}")
    for name, actions in steps.items():
        took: list[float] = []
        sessions = _sessions(cluster, partial(_time_all, actions, took))
        print(f"{name:12} {statistics.median(took) * 1000:8.1f} {sessions / len(actions):9.1f}")


def _time_all(actions: Sequence[Callable[[], object]], took: list[float]) -> None:
    took.extend(map(timed, actions))


def _sessions(cluster: CephCluster, action: Callable[[], object]) -> int:
    """How many sessions with the cluster an action takes: clients are numbered, and each takes two numbers.

    The first one only fetches the monitors' configuration.
    """
    before = _client(cluster)
    action()
    return (_client(cluster) - before) // 2 - 1


def _client(cluster: CephCluster) -> int:
    return int(_python(_CLIENT, str(cluster.conf)))


def _python(script: str, *arguments: str) -> str:
    python = find_python()
    assert python is not None, "Ceph's Python bindings are missing: apt-get install python3-rbd"
    return subprocess.run([python, "-c", script, *arguments], capture_output=True, text=True, check=True).stdout
