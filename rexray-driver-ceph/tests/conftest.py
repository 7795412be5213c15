"""The fixtures of the tests of rbd: a Ceph cluster for the session, empty for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ceph_parts import CephCluster


@pytest.fixture(scope="session")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CephCluster]:
    """A cluster of one monitor, a manager and two OSDs that keep their objects in memory."""
    with CephCluster(tmp_path_factory.mktemp("ceph") / "cluster") as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster: CephCluster) -> CephCluster:
    """The session's cluster, as if it had just been made."""
    running_cluster.reset()
    return running_cluster
