"""What a volume can become, and how it and the cluster are."""

from __future__ import annotations

import os
import signal

import pytest

from ceph_parts import CephCluster, wait_until
from rbd_parts import MIB, Client, Host
from rexray.errors import InvalidRequest, NotFound, OutOfRange
from rexray.types import VolumeId
from rexray_driver_ceph.sizes import LARGEST

pytestmark = pytest.mark.needs("ceph")


def test_growing(cluster: CephCluster, host: Host) -> None:
    host.create("v", 4)
    assert host.expand("rbd/v", 6).size_bytes == 6 * MIB
    assert host.expand("rbd/v", 6).size_bytes == host.expand("rbd/v", 2).size_bytes == 6 * MIB
    assert host.storage.expand(VolumeId("v"), 6 * MIB + 1).size_bytes == 7 * MIB
    with pytest.raises(OutOfRange, match="limit"):
        host.storage.expand(VolumeId("rbd/v"), 7 * MIB + 1, limit_bytes=7 * MIB + 2)
    with pytest.raises(OutOfRange):
        host.storage.expand(VolumeId("rbd/v"), LARGEST + 1)
    with pytest.raises(NotFound):
        host.expand("rbd/none", 9)
    host.attach()
    with Client(cluster, "rbd/v") as client:
        assert host.expand("rbd/v", 8).size_bytes == 8 * MIB
        assert client.write("on") == "written"
    assert host.get().size_bytes == 8 * MIB


def test_limits_are_changed_and_taken_away(cluster: CephCluster, host: Host) -> None:
    host.create("v", 1)
    assert host.modify(iops="500", bandwidth="1000000").iops == 500
    assert host.modify(iops="500").iops == host.get().iops == 500
    known = cluster.json("image-meta", "list", "v", program="rbd")
    assert (known["conf_rbd_qos_iops_limit"], known["conf_rbd_qos_bps_limit"]) == ("500", "1000000")
    assert host.modify(iops="0").iops == 0
    for options, said in (
        ({"size": "1"}, "'size' is unknown: there are iops, bandwidth"),
        ({"iops": "-1"}, "'-1' is not a whole number"),
        ({"iops": "7", "type": "fast"}, "'type' is unknown"),
    ):
        with pytest.raises(InvalidRequest, match=said):
            host.modify(**options)
    assert host.get().iops == 0
    with pytest.raises(NotFound):
        host.modify("rbd/none", iops="1")


def test_room_is_what_the_pool_can_take_within_its_quota(cluster: CephCluster, host: Host) -> None:
    cluster.wait_mgr()
    free = host.storage.capacity().available_bytes
    assert MIB < free <= 2 << 30
    cluster.ceph("osd", "pool", "set-quota", "rbd", "max_bytes", str(10 * MIB))
    wait_until(lambda: host.storage.capacity().available_bytes <= 10 * MIB, "the quota known", 20)
    assert host.storage.capacity().available_bytes > 9 * MIB
    with pytest.raises(InvalidRequest, match="zone 'a'"):
        host.storage.capacity("a")
    with pytest.raises(NotFound, match=r"pool 'none' \(rbd.defaultPool\)"):
        Host(cluster.conf, default_pool="none", register=False).storage.capacity()


def test_a_volume_is_well_until_its_pool_is_full(cluster: CephCluster, host: Host) -> None:
    cluster.create_pool("other")
    host.create("v", 1)
    host.create("w", 1, type="other")
    cluster.wait_healthy()
    assert not host.storage.health(VolumeId("rbd/v")).abnormal
    cluster.set_full()
    wait_until(lambda: host.storage.health(VolumeId("rbd/v")).abnormal, "the pool full", 20)
    assert "POOL_FULL" in host.storage.health(VolumeId("rbd/v")).message
    assert not host.storage.health(VolumeId("other/w")).abnormal
    cluster.set_full(full=False)
    wait_until(lambda: not host.storage.health(VolumeId("rbd/v")).abnormal, "room again", 20)
    with pytest.raises(NotFound):
        host.storage.health(VolumeId("rbd/none"))


def test_a_volume_is_unwell_while_its_osds_are_down(cluster: CephCluster) -> None:
    host = Host(cluster.conf, timeout=4.0)
    host.create("v", 1)
    cluster.wait_healthy()
    stopped = [cluster.pids[f"osd.{osd}"] for osd in cluster.osds]
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        cluster.ceph("osd", "down", *(str(osd) for osd in cluster.osds))
        wait_until(lambda: host.storage.health(VolumeId("rbd/v")).abnormal, "the volume unwell", 30)
        assert host.storage.health(VolumeId("rbd/v")).message
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    cluster.wait_healthy()
    wait_until(lambda: not host.storage.health(VolumeId("rbd/v")).abnormal, "the volume well", 30)
