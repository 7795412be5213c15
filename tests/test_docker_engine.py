"""A real Docker engine with rexray behind its volumes."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service_parts import Daemon, eventually

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("docker")]

WRITER = 'i=0; while :; do i=$((i+1)); echo "$0 $i" >> /data/log; sync /data/log; sleep 0.05; done'

_numbers = itertools.count(1)


class Engine:
    """A dockerd and a containerd of their own, in a network namespace of their own; containers outlive dockerd."""

    def __init__(self, home: Path, tool: Callable[[str], str]) -> None:
        self.home = home
        self._socket = home / "d.sock"
        self._dockerd, self._containerd = tool("dockerd"), tool("containerd")
        self._containers: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start what does not run, and wait until it answers."""
        address = self.home / "c.sock"
        if self._containers is None:
            folders = ("--root", str(self.home / "c-root"), "--state", str(self.home / "c-state"))
            self._containers = self._spawn(self._containerd, "--address", str(address), *folders)
            assert eventually(address.exists, 30), self.log()
        self._process = self._spawn(
            *("unshare", "--net", self._dockerd, "--live-restore", "--containerd", str(address)),
            *("--host", f"unix://{self._socket}", "--pidfile", str(self.home / "d.pid")),
            *("--data-root", str(self.home / "root"), "--exec-root", str(self.home / "exec")),
            *("--bridge=none", "--iptables=false", "--ip-forward=false", "--userland-proxy=false"),
            "--storage-driver=vfs",
        )
        assert eventually(lambda: self.run("version", check=False).returncode == 0, 60), self.log()

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def log(self) -> str:
        """The end of what both have logged."""
        return (self.home / "log").read_text(errors="replace")[-3000:]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command of Docker's client."""
        answer = subprocess.run(
            ["docker", "--host", f"unix://{self._socket}", *arguments],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if check:
            assert answer.returncode == 0, (arguments, answer.stderr, self.log())
        return answer

    def import_busybox(self) -> None:
        """An image without a registry: a static busybox and a link for each of its programs."""
        busybox = shutil.which("busybox") or "/bin/busybox"
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(busybox, "bin/busybox")
            for program in ("sh", "sleep", "cat", "sync", "wc", "tail", "ls", "id"):
                link = tarfile.TarInfo(f"bin/{program}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        path = self.home / "busybox.tar"
        path.write_bytes(archive.getvalue())
        self.run("import", str(path), "bb:1")

    def kill(self) -> None:
        """End dockerd with no chance to tidy up; its containers run on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        (self.home / "d.pid").unlink(missing_ok=True)

    def clean_up(self) -> None:
        """Remove containers and end everything that belongs to it."""
        ids = self.run("ps", "-aq", check=False).stdout.split()
        if ids:
            self.run("rm", "-f", *ids, check=False)
        for process in (self._process, self._containers):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(60)
        subprocess.run(["pkill", "-KILL", "-f", str(self.home)], check=False)
        subprocess.run(["umount", "--recursive", "--lazy", str(self.home / "exec")], check=False, capture_output=True)


@pytest.fixture(scope="module")
def engine(tool: Callable[[str], str]) -> Iterator[Engine]:
    folder = Path(tempfile.mkdtemp(prefix="rxd"))
    engine = Engine(folder, tool)
    try:
        engine.start()
        engine.import_busybox()
        yield engine
    finally:
        engine.clean_up()
        subprocess.run(["umount", "--lazy", str(folder / "root")], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def plugin(make_daemon: Callable[..., Daemon]) -> Iterator[tuple[Daemon, str]]:
    """A running daemon at a socket where Docker finds it, and the driver's name for Docker."""
    name = f"rexraytest{os.getpid()}n{next(_numbers)}"
    path = Path("/run/docker/plugins") / f"{name}.sock"
    daemon = make_daemon(CSI_ENDPOINT=str(path))
    daemon.endpoint = path
    daemon.start()
    yield daemon, name
    daemon.kill()
    path.unlink(missing_ok=True)


def lines_of(log: Path, writer: str) -> int:
    return sum(line.startswith(writer + " ") for line in log.read_text().splitlines())


def test_two_containers_share_a_volume_while_the_daemon_is_killed_and_nothing_is_lost(
    engine: Engine, plugin: tuple[Daemon, str]
) -> None:
    daemon, driver = plugin
    log = daemon.data / "vol/shared/log"
    engine.run("volume", "create", "-d", driver, "shared")
    assert "shared" in engine.run("volume", "ls", "-q").stdout.split()
    share = ("run", "-d", "--network=none", "-v", "shared:/data", "--volume-driver", driver)
    for writer in ("first", "second"):
        engine.run(*share, "--name", writer, "bb:1", "/bin/sh", "-c", WRITER, writer)
    assert eventually(lambda: lines_of(log, "first") > 3 and lines_of(log, "second") > 3)

    daemon.kill()
    daemon.start()
    engine.run("stop", "-t", "1", "first")
    after = lines_of(log, "second")
    assert eventually(lambda: lines_of(log, "second") > after + 5), "the other container no longer writes"
    assert daemon.docker("VolumeDriver.Path", Name="shared")["Mountpoint"], "one holder is left, so is the mount"

    engine.kill()
    between = lines_of(log, "second")
    assert eventually(lambda: lines_of(log, "second") > between), "the container outlives dockerd"
    engine.start()
    daemon.kill()
    daemon.start()
    engine.run("stop", "-t", "1", "second")
    numbers = [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("second ")]
    assert numbers == list(range(1, len(numbers) + 1)), "a line was lost"

    reader = ("run", "--rm", "--network=none", "-v", "shared:/data", "--volume-driver", driver, "bb:1")
    assert int(engine.run(*reader, "wc", "-l", "/data/log").stdout.split()[0]) == len(log.read_text().splitlines())
    engine.run("rm", "first", "second")
    engine.run("volume", "rm", "shared")
    assert not (daemon.data / "vol/shared").exists()
    assert daemon.mounts() == []


def test_an_unmount_that_docker_lost_does_not_keep_the_volume_for_ever(
    engine: Engine, plugin: tuple[Daemon, str]
) -> None:
    daemon, driver = plugin
    engine.run("volume", "create", "-d", driver, "-o", "size=1", "lost")
    engine.run("run", "-d", "--network=none", "--name", "holder", "-v", "lost:/data", "bb:1", "sleep", "1000")
    refused = daemon.docker_raw("VolumeDriver.Remove", b'{"Name": "lost"}')
    assert refused[0] == 409
    assert "used by pid" in str(refused[1]["Err"])
    daemon.kill()
    engine.run("stop", "-t", "1", "holder")
    daemon.start()
    engine.run("rm", "holder")
    engine.run("volume", "rm", "lost")
    assert daemon.mounts() == []
    assert list((daemon.data / "vol").glob("[!.]*")) == []


def test_what_docker_shows_of_a_volume_and_of_errors(engine: Engine, plugin: tuple[Daemon, str]) -> None:
    daemon, driver = plugin
    bad = engine.run("volume", "create", "-d", driver, "-o", "colour=red", "data", check=False)
    assert bad.returncode == 1
    assert "colour" in bad.stderr
    engine.run("volume", "create", "-d", driver, "data")
    engine.run("volume", "create", "-d", driver, "data")
    shown = engine.run("volume", "inspect", "--format", "{{.Driver}} {{.Scope}} {{.Mountpoint}}", "data").stdout
    assert shown.split() == [driver, "local"]
    started = time.monotonic()
    engine.run("run", "--rm", "--network=none", "-v", "data:/data", "bb:1", "sh", "-c", "echo kept > /data/x")
    assert time.monotonic() - started < 30
    again = engine.run("run", "--rm", "--network=none", "-v", "data:/data", "bb:1", "cat", "/data/x")
    assert again.stdout == "kept\n"
    engine.run("volume", "rm", "data")
    assert daemon.mounts() == []
