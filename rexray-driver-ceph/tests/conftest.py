"""The fixtures of the tests of rbd: a Ceph cluster for the session, empty for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ceph_parts import CephCluster
from rbd_parts import READERS, WATCH_SECONDS, Host, has_bindings
from rexray import mounts


@pytest.fixture(scope="session")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CephCluster]:
    """A cluster of one monitor, a manager and two OSDs that keep their objects in memory."""
    with CephCluster(tmp_path_factory.mktemp("ceph") / "cluster", watch_seconds=WATCH_SECONDS) as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster: CephCluster) -> CephCluster:
    """The session's cluster, as if it had just been made."""
    running_cluster.reset()
    return running_cluster


@pytest.fixture(params=list(READERS))
def reader(request: pytest.FixtureRequest) -> str:
    """Each way of asking the cluster that this host has."""
    if request.param == "session" and not has_bindings():
        pytest.skip("no Python of this host has Ceph's bindings: apt-get install python3-rbd")
    return str(request.param)


@pytest.fixture
def host(cluster: CephCluster) -> Host:
    """A storage driver of the instance h1, which asks as it would by itself."""
    return Host(cluster.conf)


@pytest.fixture
def each(cluster: CephCluster, reader: str) -> Host:
    """The same for each way of asking."""
    return Host(cluster.conf, reader=READERS[reader])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory to mount at."""
    made = tmp_path / "mounted"
    made.mkdir()
    yield made
    if os.path.ismount(made):
        mounts.unmount(made)
