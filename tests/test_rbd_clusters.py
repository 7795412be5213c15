"""Several Ceph clusters on one host, each a service: their images of one name are never taken for each other."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ceph_parts import CephCluster
from rbd_host_parts import end_exports, exports
from service_parts import Daemon

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("ceph", "qemu-storage-daemon", "mkfs.ext4")]


@pytest.fixture
def other_cluster() -> Iterator[CephCluster]:
    folder = Path(tempfile.mkdtemp(prefix="rxo"))
    with CephCluster(folder / "c", osds=1, mgr=False) as cluster:
        yield cluster
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def host(home: Path, cluster: CephCluster, other_cluster: CephCluster) -> Iterator[Daemon]:
    """A host whose configuration names both; the daemon itself is not started."""
    services = {
        name: {"driver": "rbd", "rbd": {"conf": str(found.conf)}}
        for name, found in (("fast", cluster), ("slow", other_cluster))
    }
    (home / "config.yml").write_text(json.dumps({"rexray": {"services": services}}))
    environ = {"RBD_MAPPER": "loop", "RBD_INSTANCEID": "this-host", "RBD_WATCHERTIMEOUT": "20s"}
    host = Daemon(home, environ)
    yield host
    for name in services:
        host.rexray("-c", str(home / "config.yml"), "-s", name, "volume", "unmount", "--all")
    end_exports(home)
    host.clean_up()


def say(host: Daemon, service: str, *words: str) -> str:
    answer = host.rexray("-c", str(host.home / "config.yml"), "-s", service, *words)
    assert answer.returncode == 0, (words, answer.stderr)
    return answer.stdout.strip()


def test_volumes_of_one_name_in_two_clusters_are_mounted_at_once_and_stay_apart(
    host: Daemon, cluster: CephCluster, other_cluster: CephCluster
) -> None:
    for service in ("fast", "slow"):
        say(host, service, "volume", "create", "data", "--size", "1")
        (Path(say(host, service, "volume", "mount", "data")) / "file").write_text(service)
    assert cluster.rbd("ls") == other_cluster.rbd("ls") == "data\n"
    found = {service: json.loads(say(host, service, "volume", "get", "-f", "json")) for service in ("fast", "slow")}
    devices = {service: [item["devicename"] for item in items] for service, items in found.items()}
    assert len(devices["fast"]) == len(devices["slow"]) == 1
    assert devices["fast"] != devices["slow"]
    say(host, "fast", "volume", "unmount", "data")
    assert (Path(say(host, "slow", "volume", "path", "data")) / "file").read_text() == "slow"
    assert len(exports(host.home)) == 1
    say(host, "fast", "volume", "rm", "data")
    assert (cluster.rbd("ls"), other_cluster.rbd("ls")) == ("", "data\n")
    say(host, "slow", "volume", "unmount", "data")
    assert (Path(say(host, "slow", "volume", "mount", "data")) / "file").read_text() == "slow"
    say(host, "slow", "volume", "unmount", "data")
    assert exports(host.home) == host.loops() == host.mounts() == []
