"""A storage driver on a cluster of one's own, short words for its calls, and clients that have images open."""

from __future__ import annotations

import base64
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from ceph_daemons import SYSTEM_PYTHON, clean_environ
from ceph_parts import CephCluster
from rexray.types import Attachment, InstanceId, Snapshot, SnapshotId, Volume, VolumeId, VolumeSpec
from rexray_driver_ceph import instances
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.programs import ProgramReader
from rexray_driver_ceph.reading import Reader, find_python, make_reader
from rexray_driver_ceph.settings import RbdSettings
from rexray_driver_ceph.storage import RbdStorage

MIB = 1 << 20
WATCH_SECONDS = 5
"""After how long the cluster of the tests has forgotten a client that died."""

T = TypeVar("T")
R = TypeVar("R")


class Host:
    """A storage driver of one instance, which is registered."""

    def __init__(
        self,
        conf: Path,
        instance: str = "h1",
        *,
        reader: Callable[[RbdSettings, Cluster], Reader] = make_reader,
        register: bool = True,
        **settings: Any,
    ) -> None:
        self.id = InstanceId(instance)
        given: dict[str, Any] = {"watcher_timeout": 0.5, "timeout": 20.0, **settings}
        self.settings = RbdSettings(conf=str(conf), instance_id=instance, **given)
        self.storage = RbdStorage(self.settings, reader=reader)
        if register:
            instances.register(Cluster(self.settings), instance)

    def create(self, name: str = "v", mib: int = 8, **more: Any) -> Volume:
        return self.storage.create(VolumeSpec(name=name, **{"size_bytes": mib * MIB, **more}))

    def clone(self, name: str, source: str, mib: int = 0, **more: Any) -> Volume:
        return self.create(name, mib, source_volume=VolumeId(source), **more)

    def restore(self, name: str, snapshot: str, mib: int = 0, **more: Any) -> Volume:
        return self.create(name, mib, source_snapshot=SnapshotId(snapshot), **more)

    def remove(self, volume: str = "rbd/v", *, force: bool = False) -> None:
        self.storage.remove(VolumeId(volume), force=force)

    def get(self, volume: str = "rbd/v") -> Volume:
        return self.storage.volume(VolumeId(volume))

    def ids(self) -> list[str]:
        return sorted(volume.id for volume in self.storage.volumes())

    def named(self, name: str) -> list[str]:
        return sorted(volume.id for volume in self.storage.volumes_named(name))

    def attach(
        self, volume: str = "rbd/v", to: str = "", *, read_only: bool = False, force: bool = False
    ) -> Attachment:
        return self.storage.attach(VolumeId(volume), InstanceId(to or self.id), read_only=read_only, force=force)

    def detach(self, volume: str = "rbd/v", of: str | None = None, *, force: bool = False) -> None:
        self.storage.detach(VolumeId(volume), None if of is None else InstanceId(of), force=force)

    def holders(self, volume: str = "rbd/v") -> list[str]:
        return [attachment.instance_id for attachment in self.storage.attachments(VolumeId(volume))]

    def snap(self, name: str = "s", volume: str = "rbd/v", description: str = "") -> Snapshot:
        return self.storage.create_snapshot(VolumeId(volume), name, description)

    def snaps(self, volume: str | None = None, snapshot: str | None = None) -> list[str]:
        found = self.storage.snapshots(
            volume_id=None if volume is None else VolumeId(volume),
            snapshot_id=None if snapshot is None else SnapshotId(snapshot),
        )
        return sorted(snapshot.id for snapshot in found)

    def remove_snap(self, snapshot: str = "rbd/v@s") -> None:
        self.storage.remove_snapshot(SnapshotId(snapshot))

    def rollback(self, volume: str = "rbd/v", snapshot: str = "rbd/v@s") -> Volume:
        return self.storage.rollback(VolumeId(volume), SnapshotId(snapshot))

    def expand(self, volume: str, mib: int, limit: int = 0) -> Volume:
        return self.storage.expand(VolumeId(volume), mib * MIB, limit_bytes=limit * MIB)

    def modify(self, volume: str = "rbd/v", **options: str) -> Volume:
        return self.storage.modify(VolumeId(volume), options)


READERS: dict[str, Callable[[RbdSettings, Cluster], Reader]] = {"session": make_reader, "programs": ProgramReader}
"""The two ways of asking the cluster; the first one only where this host has Ceph's bindings."""


def has_bindings() -> bool:
    """Whether some Python of this host has them."""
    return find_python() is not None


def inventory(cluster: CephCluster) -> dict[str, list[Any]]:
    """Every image of the cluster: its size, its snapshots and its metadata."""
    found: dict[str, list[Any]] = cluster.session.ask("inventory")
    return found


def hidden(cluster: CephCluster) -> list[str]:
    """What is there that only an operation under way may have, images and snapshots."""
    names = [name for image, (_, snaps, _) in inventory(cluster).items() for name in (image, *snaps)]
    return [name for name in names if "rexray-making-" in name]


def write(cluster: CephCluster, image: str, content: bytes, *, at: int = 0) -> None:
    """Write to an image as any client would."""
    cluster.session.ask("write", image, at, base64.b64encode(content).decode())


def read(cluster: CephCluster, image: str, size: int = 16, *, at: int = 0) -> bytes:
    """Read from an image, or from its snapshot."""
    return base64.b64decode(cluster.session.ask("read", image, at, size))


class Client:
    """A process that has an image open; ``with Client(cluster, "rbd/image") as client``."""

    _SCRIPT = """
import sys, rados, rbd
pool, *namespace, name = sys.argv[2].split("/")
cluster = rados.Rados(conffile=sys.argv[1])
cluster.connect(timeout=20)
io = cluster.open_ioctx(pool)
io.set_namespace("".join(namespace))
with rbd.Image(io, name) as image:
    image.write(b"opened", 0)
    print("open", flush=True)
    for line in sys.stdin:
        try:
            image.write(line.encode(), 0)
            image.flush()
            print("written", flush=True)
        except (OSError, rbd.Error) as error:
            print("refused", type(error).__name__, getattr(error, "errno", ""), flush=True)
"""

    def __init__(self, cluster: CephCluster, image: str) -> None:
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, "-c", self._SCRIPT, str(cluster.conf), image],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=clean_environ(),
        )
        assert self._output.readline() == "open\n"

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def write(self, text: str) -> str:
        """Have it write that to the image; ``written``, or ``refused`` and why."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()
        return self._output.readline().strip()

    def die(self) -> None:
        """End it by SIGKILL: it says goodbye to nobody."""
        self._process.kill()
        self._process.wait(30)

    def freeze(self) -> None:
        """Stop it, as a host that hangs: it does not say that it lives."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it in good order, if it still lives."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:  # one that was shut out may hang
            self.die()
        self._output.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a script ended."""

    status: int
    output: str
    errors: str


@contextlib.contextmanager
def scripts(script: str, *arguments: object, count: int = 1, fault: str = "") -> Iterator[list[subprocess.Popen[str]]]:
    """Python in processes of their own, with this module to import."""
    environ = clean_environ(PYTHONPATH=str(Path(__file__).parent), REXRAY_FAULT=fault)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    running = [
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        yield running
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
            process.communicate()


def run_script(script: str, *arguments: object, count: int = 1, fault: str = "", timeout: float = 60) -> list[Ended]:
    """Run Python in that many processes at once, and wait for their ends."""
    with scripts(script, *arguments, count=count, fault=fault) as running, ThreadPoolExecutor(count) as threads:
        said = threads.map(lambda process: process.communicate(timeout=timeout), running)
        return [
            Ended(status=process.returncode, output=output, errors=errors)
            for process, (output, errors) in zip(running, said, strict=True)
        ]


def together(what: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """What comes of doing it to all things, at one moment."""
    todo = list(things)
    gate = threading.Barrier(len(todo))

    def run(thing: T) -> R:
        gate.wait(30)
        return what(thing)

    with ThreadPoolExecutor(len(todo)) as pool:
        return list(pool.map(run, todo))


def outcome(what: Callable[[], object]) -> str:
    """``ok``, or the name of the error that it raised."""
    try:
        what()
    except Exception as error:  # noqa: BLE001 the test looks at which it was
        return type(error).__name__
    return "ok"
