"""A Ceph user with what ``rexray policy`` prints can do all that the driver does, and one with less is told so."""

from __future__ import annotations

from typing import Any

import pytest

from ceph_parts import CephCluster
from rbd_parts import READERS, Client, Host
from rexray.errors import Forbidden, Unauthorized
from rexray.settings import Sources
from rexray.types import VolumeId
from rexray_driver_ceph import instances
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.storage import RbdStorage

pytestmark = pytest.mark.needs("ceph")


def policy(**environ: str) -> Any:
    return RbdStorage.policy(Sources(environ=environ))


def test_the_policy_is_that_of_the_pools_that_are_seen() -> None:
    known = policy(RBD_USER="joe", RBD_POOLS="fast,rbd,slow/tenant")
    places = "profile rbd pool=rbd, profile rbd pool=fast, profile rbd pool=slow namespace=tenant"
    assert known["entity"] == "client.joe"
    assert (known["caps"]["osd"], known["caps"]["mgr"]) == (places, places)
    for kind, caps in known["caps"].items():
        assert f"{kind} '{caps}'" in known["command"]
    assert policy()["entity"] == "client.rexray"
    assert policy(RBD_CEPHARGS="--id jim")["entity"] == "client.jim"


def user(cluster: CephCluster, caps: dict[str, str], reader: str = "session", **settings: Any) -> Host:
    cluster.user("joe", caps)
    return Host(cluster.conf, user="joe", register=False, reader=READERS[reader], **settings)


def do_everything(cluster: CephCluster, host: Host, pool: str) -> None:
    instances.register(Cluster(host.settings), "h1")
    host.create(f"{pool}.v", 4, iops=100) if "/" not in pool else host.create("v", 4, type=pool, iops=100)
    volume = f"{pool}/v"
    assert volume in host.ids() or "/" in pool
    [volume] = [found for found in host.ids() if found.startswith(f"{pool}/")]
    assert host.expand(volume, 6).size_bytes
    host.modify(volume, bandwidth="1000")
    host.snap("s", volume)
    host.clone("w", volume, type=pool)
    host.clone("u", f"{pool}/w", type=pool)  # past the depth that is flattened
    assert host.snaps() == [f"{volume}@s"]
    host.rollback(volume, f"{volume}@s")
    host.remove_snap(f"{volume}@s")
    host.attach(volume)
    with Client(cluster, volume) as client:
        host.attach(volume, force=True)
        host.detach(volume, force=True)
        assert client.write("late").startswith("refused")
    assert cluster.blocklist()
    assert host.storage.health(VolumeId(volume)).abnormal in (False, True)
    assert host.storage.capacity().available_bytes > 0
    for name in host.ids():
        host.remove(name)
        host.remove(name)
    assert host.ids() == []


def test_a_user_with_the_policy_can_do_everything(cluster: CephCluster, caplog: pytest.LogCaptureFixture) -> None:
    cluster.create_pool("fast")
    cluster.rbd("namespace", "create", "fast/tenant")
    cluster.wait_mgr()
    pools = ("fast", "fast/tenant")
    caps = policy(RBD_USER="joe", RBD_POOLS=",".join(pools))["caps"]
    for pool, reader in (("fast", "session"), ("fast/tenant", "programs")):
        host = user(cluster, caps, reader, pools=pools, clone_depth=1, watcher_timeout=20.0)
        do_everything(cluster, host, pool)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("missing", "given"),
    [("osd", ""), ("osd", "profile rbd-read-only pool=rbd"), ("mon", "allow r"), ("mon", "")],
)
def test_a_user_with_less_is_told_what_to_do(cluster: CephCluster, missing: str, given: str, reader: str) -> None:
    Host(cluster.conf).create("v", 1)
    caps = {**policy()["caps"], missing: given}
    host = user(cluster, {kind: text for kind, text in caps.items() if text}, reader)
    with pytest.raises((Forbidden, Unauthorized)) as caught:
        make_and_shut_out(cluster, host)
    said = str(caught.value)
    assert "\n" not in said
    assert "rexray policy rbd" in said or "rbd.user" in said, said


def make_and_shut_out(cluster: CephCluster, host: Host) -> None:
    host.create("w", 1)
    host.attach()
    with Client(cluster, "rbd/v"):
        host.detach(force=True)
