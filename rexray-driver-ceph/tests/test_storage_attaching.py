"""Volumes are attached and detached, and clients that have them open are told apart, waited for and shut out."""

from __future__ import annotations

import pytest

from ceph_parts import CephCluster, wait_until
from rbd_parts import MIB, READERS, WATCH_SECONDS, Client, Host, outcome, read, run_script, together, write
from rexray.errors import AlreadyExists, InUse, NotFound, NotReady, OutOfCapacity
from rexray.types import AttachmentState, VolumeId

pytestmark = pytest.mark.needs("ceph")


def test_an_attachment_says_all_that_a_node_has_to_know(each: Host) -> None:
    made = each.create("v", 8)
    attachment = each.attach()
    assert (attachment.volume_id, attachment.instance_id, attachment.token) == ("rbd/v", "h1", "rbd/v")
    assert attachment.read_only is False
    assert attachment.fields["sizeBytes"] == str(made.size_bytes)
    assert attachment.fields["imageId"] == each.get().fields["image"]
    assert "exclusive-lock" in attachment.fields["features"].split()
    assert each.storage.attachments(VolumeId("rbd/v")) == (attachment,)
    assert (each.get().state, each.get().attachments) == (AttachmentState.ATTACHED, (attachment,))
    [listed] = each.storage.volumes()
    assert (listed.state, [found.instance_id for found in listed.attachments]) == (AttachmentState.ATTACHED, ["h1"])
    assert [volume.id for volume in each.storage.attached(each.id)] == ["rbd/v"]


def test_processes_that_attach_to_one_instance_at_one_moment_all_have_it(cluster: CephCluster) -> None:
    hosts = [Host(cluster.conf, "h1") for _ in range(4)]
    hosts[0].create()
    for _ in range(3):
        ended = together(lambda one: outcome(one.attach), hosts)
        assert ended == ["ok"] * 4
        assert hosts[0].holders() == ["h1"]
        hosts[0].detach()
    ended = together(lambda one: outcome(lambda: one.attach(read_only=one is hosts[0])), hosts)
    assert "AlreadyExists" in ended
    assert set(ended) == {"ok", "AlreadyExists"}


def test_attaching_and_detaching_twice_is_doing_it_once(each: Host) -> None:
    each.create()
    first = each.attach()
    assert each.attach() == first
    with pytest.raises(AlreadyExists, match="attached to 'h1' writable, and was asked for read-only"):
        each.attach(read_only=True)
    each.detach(of="other")
    assert each.holders() == ["h1"]
    each.detach(of="h1")
    each.detach(of="h1")
    each.detach()
    assert each.holders() == []
    assert each.attach(read_only=True).read_only
    assert each.get().attachments[0].read_only
    with pytest.raises(AlreadyExists, match="read-only, and was asked for writable"):
        each.attach()
    each.detach(force=True)
    each.detach(force=True)
    assert each.get().state == AttachmentState.AVAILABLE


def test_what_is_not_there_is_named(each: Host) -> None:
    each.create()
    with pytest.raises(NotFound, match="instance 'nobody'"):
        each.attach(to="nobody")
    with pytest.raises(NotFound, match="volume 'rbd/none'"):
        each.attach("rbd/none")
    each.detach("rbd/none")
    with pytest.raises(NotFound):
        each.holders("rbd/none")


def test_instances_are_those_that_have_registered(cluster: CephCluster, each: Host) -> None:
    for name in ("h2", "Größe", "a.b", "h1"):
        Host(cluster.conf, name)
    assert [instance.id for instance in each.storage.instances()] == ["Größe", "a.b", "h1", "h2"] or {
        instance.id for instance in each.storage.instances()
    } == {"Größe", "a.b", "h1", "h2"}


def test_the_holder_is_named_and_its_volume_taken_by_force_alone(cluster: CephCluster, host: Host) -> None:
    other = Host(cluster.conf, "h2")
    host.create()
    other.attach()
    assert host.get().state == AttachmentState.UNAVAILABLE
    with pytest.raises(InUse, match="attached to 'h2', not to 'h1'"):
        host.attach()
    assert host.holders() == ["h2"]
    assert host.attach(force=True).instance_id == "h1"
    assert host.holders() == other.holders() == ["h1"]
    other.detach(of="h2")
    assert host.holders() == ["h1"]


def test_a_host_has_as_many_volumes_as_it_may(cluster: CephCluster) -> None:
    host = Host(cluster.conf, max_volumes=1)
    host.create("v", 1)
    host.create("w", 1)
    host.attach("rbd/v")
    host.attach("rbd/v")
    with pytest.raises(OutOfCapacity, match="1 volumes"):
        host.attach("rbd/w")
    assert [instance.max_volumes for instance in host.storage.instances()] == [1]


def test_taking_a_volume_shuts_its_living_client_out(cluster: CephCluster, host: Host) -> None:
    other = Host(cluster.conf, "h2", watcher_timeout=30.0)
    host.create()
    host.attach()
    with Client(cluster, "rbd/v") as client:
        assert client.write("mine") == "written"
        assert host.get().fields["clients"]
        with pytest.raises(InUse, match="still open on 'h1'"):
            host.detach()
        assert host.holders() == ["h1"]
        assert other.attach(force=True).instance_id == "h2"
        assert cluster.watchers("rbd/v") == ()
        assert len(cluster.blocklist()) >= 1
        write(cluster, "rbd/v", b"yours")
        assert client.write("mine again").startswith("refused")
        assert read(cluster, "rbd/v", 5) == b"yours"
    assert other.holders() == ["h2"]
    with Client(cluster, "rbd/v") as client:
        other.detach(force=True)
        assert client.write("late").startswith("refused")
    assert read(cluster, "rbd/v", 6) == b"opened"
    assert other.holders() == []


def test_a_client_without_a_claim_is_respected_while_it_lives_and_forgotten_when_it_died(
    cluster: CephCluster, host: Host
) -> None:
    patient = Host(cluster.conf, "h2", watcher_timeout=3.0 * WATCH_SECONDS)
    for name in ("live", "dead", "held", "gone"):
        host.create(name, 1)
    host.attach("held")
    with Client(cluster, "rbd/live"):
        assert host.get("live").state == AttachmentState.UNAVAILABLE
        for call in (host.attach, host.remove):
            with pytest.raises(InUse, match=r"open by a client at 127\.0\.0\.1"):
                call("live")
        assert host.holders("live") == []
        dying = [Client(cluster, f"rbd/{name}") for name in ("dead", "held", "gone")]
        for client in dying:
            client.die()
            client.close()
        assert cluster.watchers("rbd/dead")
        assert together(
            lambda call: outcome(call),
            [lambda: patient.attach("dead"), lambda: patient.detach("held"), lambda: patient.remove("gone")],
        ) == ["ok", "ok", "ok"]
        assert patient.holders("dead") == ["h2"]
        assert patient.holders("held") == []
        assert patient.named("gone") == []
        # to remove an image librbd takes its lock from the dead, and shuts those out
        assert not set(cluster.blocklist()) & set(cluster.watchers("rbd/live"))


def test_the_managers_own_client_is_nobodys_use(cluster: CephCluster, host: Host) -> None:
    cluster.wait_mgr()
    host.create("parent", 1 << 20)
    host.snap("s", "parent")
    clone = host.restore("clone", "rbd/parent@s")
    # thousands of objects keep the manager busy for seconds
    cluster.ceph("rbd", "task", "add", "flatten", clone.id)
    wait_until(lambda: cluster.watchers(clone.id) != (), "the manager at work", 20)
    assert host.attach(clone.id).instance_id == "h1"
    assert Host(cluster.conf, "h2").attach(clone.id, force=True).instance_id == "h2"
    host.detach(clone.id, force=True)
    assert cluster.blocklist() == ()
    assert cluster.watchers(clone.id) != ()
    host.remove(clone.id)
    assert host.ids() == ["rbd/parent"]


def test_of_many_that_attach_at_once_one_does(cluster: CephCluster, host: Host) -> None:
    host.create("v", 1)
    host.create("w", 1)
    hosts = [Host(cluster.conf, f"h{number}", reader=READERS["session"]) for number in range(4)]
    ended = together(lambda one: outcome(one.attach), hosts)
    assert sorted(ended) == ["InUse", "InUse", "InUse", "ok"]
    assert host.holders() == [hosts[ended.index("ok")].id]
    script = (
        "import sys, os; from pathlib import Path; from rbd_parts import Host, outcome;"
        "host = Host(Path(sys.argv[1]), f'p{os.getpid()}'); print(host.id, outcome(lambda: host.attach('rbd/w')))"
    )
    ends = dict(line.output.split() for line in run_script(script, cluster.conf, count=3))
    assert sorted(ends.values()) == ["InUse", "InUse", "ok"]
    assert ends[host.holders("rbd/w")[0]] == "ok"
    takers = together(lambda one: outcome(lambda: one.attach(force=True)), hosts)
    assert "ok" in takers
    assert set(takers) <= {"ok", "InUse"}
    assert len(host.holders()) == 1


def test_an_interrupted_rollback_is_not_attached(cluster: CephCluster, host: Host) -> None:
    host.create()
    host.snap()
    script = "import sys; from pathlib import Path; from rbd_parts import Host; Host(Path(sys.argv[1])).rollback()"
    [ended] = run_script(script, cluster.conf, fault="rbd-rollback-noted")
    assert ended.status == -9, ended.errors
    with pytest.raises(NotReady, match="being rolled back to 's' and did not finish"):
        host.attach()
    assert host.get().status == "rolling back to s"
    assert host.holders() == []
    host.rollback()
    assert host.attach().instance_id == "h1"


def test_claims_outlive_the_cluster(cluster: CephCluster, host: Host) -> None:
    host.create()
    host.attach()
    for osd in cluster.osds:
        cluster.kill_osd(osd)
        cluster.start_osd(osd)
        cluster.wait_healthy()
    cluster.kill_monitor(0)
    cluster.start_monitor(0)
    assert host.holders() == ["h1"]
    with pytest.raises(InUse):
        Host(cluster.conf, "h2").attach()
    assert host.expand("rbd/v", 9).size_bytes == 9 * MIB
