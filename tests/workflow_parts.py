"""Hosts that run the volume workflow over the loop platform, in this process or in one of their own."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from loop_parts import MIB, Ended, clean, devices_of, mounts_of
from rexray.drivers import OSDriver
from rexray.errors import NotFound
from rexray.mixins import Expand, Snapshots
from rexray.mounts import Mount, mount_table
from rexray.paths import find_paths
from rexray.settings import Sources
from rexray.types import InstanceId, MountRequest, Snapshot, Volume, VolumeId, VolumeSpec
from rexray.volumes.driver import DefaultVolumes
from rexray.volumes.platform import Platform, find_platform
from rexray.volumes.settings import VolumeSettings
from rexray_driver_loop.settings import LoopSettings
from rexray_driver_loop.storage import LoopStorage

__all__ = ["MIB", "clean", "devices_of", "mounts_of"]

ROOT = Path(__file__).resolve().parents[1]
SIZE = "64MiB"
SIZES = {"ext4": SIZE, "xfs": "300MiB", "btrfs": "128MiB"}
"""A size that each filesystem can have; nothing of it is written."""


class Host:
    """The workflow of one instance. Hosts of one ``root`` and several names are several hosts of one platform.

    Everything is below the home, the platform's directory too unless ``root`` says otherwise.
    """

    def __init__(self, home: Path, instance: str = "here", root: Path | None = None, **environ: str) -> None:
        self.home = home
        self.root = root or home / "loop"
        self.environ = {
            "REXRAY_HOME": str(home),
            "REXRAY_STORAGEDRIVERS": "loop",
            "LOOP_ROOT": str(self.root),
            "LOOP_INSTANCEID": instance,
            "REXRAY_DOCKER_SIZE": SIZE,
            **environ,
        }
        self.instance = InstanceId(instance)
        self.sources = Sources(environ=self.environ)
        with mock.patch.dict(os.environ, {"REXRAY_HOME": str(home)}):
            self.volumes = DefaultVolumes.make(self.sources)

    def over(self, storage: LoopStorage | None = None, os_driver: OSDriver | None = None) -> Host:
        """The same host with another storage or OS driver in its platform."""
        platform = find_platform(self.sources)
        platform = replace(platform, storage=storage or platform.storage)
        if os_driver is not None:
            platform = replace(platform, make_os=lambda: os_driver)
        return self.on(platform)

    def on(self, platform: Platform) -> Host:
        """The same host on another platform."""
        settings = self.sources.load(VolumeSettings)
        self.volumes = DefaultVolumes(settings, platform, find_paths(self.environ))
        return self

    def again(self) -> Host:
        """The same host after its process has ended and another has started."""
        given = {key: value for key, value in self.environ.items() if key not in ("LOOP_ROOT", "LOOP_INSTANCEID")}
        return Host(self.home, str(self.instance), self.root, **given)

    def create(self, name: str = "data", /, **options: str) -> Volume:
        return self.volumes.create(name, options)

    def mount(
        self,
        name: str = "data",
        holder: str = "c1",
        *,
        read_only: bool = False,
        fs_type: str = "",
        options: tuple[str, ...] = (),
        overwrite: bool = False,
        preempt: bool = False,
    ) -> Path:
        request = MountRequest(
            name=name,
            holder=holder,
            read_only=read_only,
            fs_type=fs_type,
            mount_options=options,
            overwrite_fs=overwrite,
            preempt=preempt,
        )
        return self.volumes.mount(request).path

    def unmount(self, name: str = "data", holder: str = "c1") -> None:
        self.volumes.unmount(name, holder)

    def remove(self, name: str = "data") -> None:
        self.volumes.remove(name)

    def snap(self, name: str = "snap", volume: str = "data") -> Snapshot:
        return self.volumes.capability(Snapshots).create_snapshot(VolumeId(volume), name)

    def expand(self, size: int, volume: str = "data") -> Volume:
        return self.volumes.capability(Expand).expand(VolumeId(volume), size)

    def names(self) -> list[str]:
        return [volume.name for volume in self.volumes.list()]

    def holders_of_platform(self, name: str = "data") -> list[str]:
        """The instances that have the volume, as the platform says."""
        return [item.instance_id for item in self.volumes.get(name).attachments]

    def write(self, name: str = "data", content: str = "precious", **how: str) -> None:
        """Mount the volume, put a file there, and unmount it."""
        (self.mount(name) / "file").write_text(content)
        self.unmount(name)

    def read(self, name: str = "data") -> str:
        """The file's content, from a mount of its own."""
        content = (self.mount(name, "reader") / "file").read_text()
        self.unmount(name, "reader")
        return content

    def data(self, name: str = "data") -> Path:
        """The file that the volume is on the platform."""
        return self.root / "volumes" / name / "data"

    def content(self, name: str = "data") -> str:
        """A hash of every byte of the volume."""
        with self.data(name).open("rb") as file:
            return hashlib.file_digest(file, "sha1").hexdigest()

    def record_file(self, name: str = "data") -> Path:
        return self.home / "var/lib/docker/loop" / f"{name}.json"

    def in_use(self) -> object:
        """The mounts and the loop devices that there are of it; both lists are empty when nothing is left."""
        return mounts_of(self.home), devices_of(self.root)


NOTHING: tuple[list[str], list[tuple[Path, str]]] = ([], [])
"""What :meth:`Host.in_use` says when nothing is left."""


class Numbered(LoopStorage):
    """Volumes whose ids are not their names, which need not be unique: ``vol-data`` is called ``data``."""

    def create(self, spec: VolumeSpec) -> Volume:
        return _named(super().create(replace(spec, name=f"vol-{spec.name}")))

    def volume(self, volume_id: VolumeId) -> Volume:
        return _named(super().volume(volume_id))

    def volumes(self) -> Iterator[Volume]:
        return map(_named, super().volumes())

    def volumes_named(self, name: str) -> Iterator[Volume]:
        return (volume for volume in self.volumes() if volume.name == name)


def _named(volume: Volume) -> Volume:
    return replace(volume, name=volume.id.partition("-")[2])


class Titled(LoopStorage):
    """Volumes with names as long as a cloud's, which are not their ids."""

    def __init__(self, settings: LoopSettings) -> None:
        super().__init__(settings)
        self.titles: dict[str, str] = {}

    def create(self, spec: VolumeSpec) -> Volume:
        known = next((volume_id for volume_id, title in self.titles.items() if title == spec.name), "")
        made = super().create(replace(spec, name=known or f"vol-{len(self.titles)}"))
        self.titles[made.id] = spec.name
        return self._titled(made)

    def volume(self, volume_id: VolumeId) -> Volume:
        return self._titled(super().volume(volume_id))

    def volumes(self) -> Iterator[Volume]:
        return map(self._titled, super().volumes())

    def volumes_named(self, name: str) -> Iterator[Volume]:
        return (volume for volume in self.volumes() if volume.name == name)

    def _titled(self, volume: Volume) -> Volume:
        return replace(volume, name=self.titles[volume.id])


def numbered(host: Host) -> Numbered:
    """The storage driver of the host's platform with other ids."""
    return Numbered(host.sources.load(LoopSettings))


def mount_at(path: Path) -> Mount | None:
    """The mount on top at exactly that path."""
    found = [mount for mount in mount_table() if mount.target == str(path)]
    return found[-1] if found else None


def mounted(path: Path) -> Mount:
    """The mount at that path, which has to be there."""
    found = mount_at(path)
    assert found is not None, path
    return found


def can_grow_ext4() -> bool:
    """Whether the kernel lets this process grow a mounted ext4: CAP_SYS_RESOURCE is bit 24 of capabilities(7)."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.partition("CapEff:")[2].split()[0], 16) & 1 << 24)


def exists(host: Host, name: str) -> bool:
    """Whether the platform has the volume."""
    try:
        host.volumes.get(name)
    except NotFound:
        return False
    return True


@contextmanager
def quick_home() -> Iterator[Path]:
    """A home in memory, where flushing to disk costs nothing, and of which nothing is in use at the end."""
    memory = "/dev/shm"
    home = Path(tempfile.mkdtemp(prefix="rexray-", dir=memory if os.access(memory, os.W_OK) else None)).resolve()
    try:
        yield home
    finally:
        clean(home)
        shutil.rmtree(home)


_NO_REPLY = {2, 36, 42}
"""FORGET, INTERRUPT and BATCH_FORGET of include/uapi/linux/fuse.h."""
_ENOSYS = 38
_IN = struct.Struct("=IIQQIIII")
_TRANSFER = struct.Struct("=QQIIQII")
"""The bodies of READ and WRITE: handle, offset, size, and what does not matter here."""


def serve_file(target: Path, backing: Path) -> None:
    """Be a FUSE filesystem that is one file, mounted on a file, with what another one holds, until it is unmounted."""
    server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={server},rootmode=100000,user_id=0,group_id=0".encode()
    if libc.mount(b"file", os.fsencode(target), b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "cannot mount FUSE")
    file = os.open(backing, os.O_RDWR)
    print("serving", flush=True)
    while True:
        try:
            request = os.read(server, 1 << 18)
        except OSError:
            return
        _, opcode, unique, *_ = _IN.unpack_from(request)
        if opcode not in _NO_REPLY:
            error, body = _answer(opcode, request[_IN.size :], file)
            os.write(server, struct.pack("=IiQ", 16 + len(body), -error, unique) + body)


def _answer(opcode: int, asked: bytes, file: int) -> tuple[int, bytes]:
    size = os.fstat(file).st_size
    match opcode:
        case 26:  # INIT
            return 0, struct.pack("=IIIIHHIIHHI", 7, 31, 65536, 0, 16, 12, 131072, 1, 0, 0, 0).ljust(64, b"\0")
        case 3 | 4:  # GETATTR and SETATTR
            return 0, struct.pack("=QII6Q10I", 0, 0, 0, 1, size, size // 512, 0, 0, 0, 0, 0, 0, *_OWNER)
        case 14:  # OPEN
            return 0, struct.pack("=QII", 0, 0, 0)
        case 15:  # READ
            _, offset, count, *_ = _TRANSFER.unpack_from(asked)
            return 0, os.pread(file, count, offset)
        case 16:  # WRITE
            _, offset, count, *_ = _TRANSFER.unpack_from(asked)
            return 0, struct.pack("=II", os.pwrite(file, asked[_TRANSFER.size :][:count], offset), 0)
        case 18 | 20 | 25 | 38:  # RELEASE, FSYNC, FLUSH, DESTROY
            return 0, b""
    return _ENOSYS, b""


_OWNER = (0o100600, 1, 0, 0, 0, 4096, 0)
"""Mode, links, user, group, device, block size and flags of the file."""


class Server:
    """A process in which a volume's file lives, and which can stop answering."""

    def __init__(self, host: Host, name: str) -> None:
        self.backing = host.home / f"{name}.backing"
        self.target = host.data(name)
        shutil.copyfile(self.target, self.backing)
        script = f"from workflow_parts import serve_file\nserve_file(Path({str(self.target)!r}), Path(sys.argv[1]))"
        command = program(self.backing, script, start="import sys\nfrom pathlib import Path\n")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"serving\n"

    def stop(self) -> None:
        """Hang: whatever is asked waits."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def die(self) -> None:
        """End; whoever waits for an answer gets an error."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()


_START = """
import sys
from pathlib import Path
from workflow_parts import Host
host = Host(Path(sys.argv[1]))
"""


def program(home: Path, script: str, *, fault: str = "", start: str = "") -> list[str]:
    """A command that runs Python on a ``host`` of that home in a process of its own."""
    paths = [ROOT / "tests", *(ROOT / member / "tests" for member in ("rexray-driver-loop", "rexray-os-linux"))]
    extra = {
        "PYTHONPATH": os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")]),
        "REXRAY_FAULT": fault,
    }
    settings = [f"{key}={value}" for key, value in extra.items()]
    return ["/usr/bin/env", *settings, sys.executable, "-c", (start or _START) + script, str(home)]


def run_host(home: Path, script: str, *, fault: str = "", seconds: float = 60) -> Ended:
    """Run Python on a ``host`` of that home in a process of its own, to its end."""
    ended = subprocess.run(
        program(home, script, fault=fault), check=False, capture_output=True, text=True, timeout=seconds
    )
    return Ended(status=ended.returncode, output=ended.stdout, errors=ended.stderr)


@contextmanager
def container(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a mount namespace of its own, where the volume is bound to another place as for a container."""
    inside = path.parents[3] / "inside"
    inside.mkdir(exist_ok=True)
    script = 'mount --bind "$0" "$1" && echo ready && read line'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(path), str(inside)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)
