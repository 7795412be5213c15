"""The fixtures of the end-to-end tests."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ceph_parts import CephCluster
from docker_parts import Engine
from rbd_host_parts import RBD, end_exports
from service_parts import BRIDGE, Daemon

_numbers = itertools.count(1)


@pytest.fixture
def home() -> Iterator[Path]:
    """A short directory: a socket's path has to fit in 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="rx"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_daemon(home: Path) -> Iterator[Callable[..., Daemon]]:
    """Make daemons that are cleaned up after."""
    made: list[Daemon] = []

    def make(**environ: str) -> Daemon:
        made.append(Daemon(home, environ))
        return made[-1]

    yield make
    for daemon in made:
        daemon.clean_up()


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon that runs."""
    return make_daemon().start()


@pytest.fixture(scope="session")
def engine(tool: Callable[[str], str]) -> Iterator[Engine]:
    folder = Path(tempfile.mkdtemp(prefix="rxd"))
    engine = Engine(folder, tool)
    try:
        engine.start()
        engine.import_image("bb:1")
        yield engine
    finally:
        engine.clean_up()
        subprocess.run(["umount", "--lazy", str(folder / "root")], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def plugin(make_daemon: Callable[..., Daemon]) -> Iterator[tuple[Daemon, str]]:
    """A running daemon at a socket where Docker finds it, and the driver's name for Docker."""
    with _plugin(make_daemon, {}) as found:
        yield found


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[CephCluster]:
    """A Ceph cluster of one monitor, a manager and two OSDs."""
    folder = Path(tempfile.mkdtemp(prefix="rxc"))
    with CephCluster(folder / "c") as cluster:
        yield cluster
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(running_cluster: CephCluster) -> CephCluster:
    """The same, as if it had just been made."""
    running_cluster.reset()
    return running_cluster


@pytest.fixture
def make_plugin(
    make_daemon: Callable[..., Daemon], home: Path
) -> Iterator[Callable[[Mapping[str, str]], tuple[Daemon, str]]]:
    """Make what ``plugin`` is, with other settings."""
    with ExitStack() as stack:
        yield lambda environ: stack.enter_context(_plugin(make_daemon, environ))
    end_exports(home)


@pytest.fixture(params=["loop", pytest.param("rbd", marks=pytest.mark.needs("ceph", "qemu-storage-daemon"))])
def block_plugin(
    request: pytest.FixtureRequest, make_plugin: Callable[[Mapping[str, str]], tuple[Daemon, str]]
) -> tuple[Daemon, str]:
    """The same over block volumes: loop devices, or images of a Ceph cluster."""
    platform: Mapping[str, str] = {}
    if request.param == "rbd":
        platform = {**RBD, **request.getfixturevalue("cluster").environ}
    return make_plugin({**BRIDGE, **platform})


@contextmanager
def _plugin(make_daemon: Callable[..., Daemon], environ: Mapping[str, str]) -> Iterator[tuple[Daemon, str]]:
    name = f"rexraytest{os.getpid()}n{next(_numbers)}"
    path = Path("/run/docker/plugins") / f"{name}.sock"
    daemon = make_daemon(**environ, CSI_ENDPOINT=str(path))
    daemon.endpoint = path
    daemon.start()
    yield daemon, name
    daemon.kill()
    path.unlink(missing_ok=True)
