"""A process that is killed at any fault point leaves what the next one puts right."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

import rexray_driver_ceph
from ceph_parts import CephCluster
from rbd_parts import Client, Host, hidden, inventory, run_script, write

pytestmark = pytest.mark.needs("ceph")

SOURCE = Path(rexray_driver_ceph.__file__).parent
STORAGE = ("making", "building", "removing", "attaching", "snapping", "changing", "fencing", "claims", "flattening")
PASSED = re.compile(r'faults\.point\("(.+?)"\)')
POINTS = sorted({point for name in STORAGE for point in PASSED.findall((SOURCE / f"{name}.py").read_text())})
"""Those of the node driver's and of group snapshots are swept by their own tests."""

DIE = (
    "import sys; from pathlib import Path; from rbd_parts import *;"
    "host = Host(Path(sys.argv[1]), register=False); host.{}"
)

CALLS: list[tuple[str, list[str], str]] = [
    ("rbd-create-", [], "create('v', 2, iops=7)"),
    ("rbd-create-", [], "clone('v', 'old', 5)"),
    ("rbd-create-", [], "restore('v', 'rbd/old@kept')"),
    ("rbd-clone-", [], "clone('v', 'old', 5)"),
    ("rbd-attach-c", ["create('v', 1)"], "attach()"),
    ("rbd-attach-", ["create('v', 1)", "attach(to='h2')"], "attach(force=True)"),
    ("rbd-detach-", ["create('v', 1)", "attach()"], "detach()"),
    ("rbd-snapshot-d", ["create('v', 1)"], "snap('s')"),
    ("rbd-snapshot-t", ["create('v', 1)"], "snap('s')"),
    ("rbd-snapshot-r", ["create('v', 1)", "snap('s')"], "remove_snap()"),
    ("rbd-rollback-", ["create('v', 1)", "snap('s')", "expand('rbd/v', 3)"], "rollback()"),
    ("rbd-expand-", ["create('v', 1)"], "expand('rbd/v', 3)"),
    ("rbd-modify-", ["create('v', 1)"], "modify(iops='5', bandwidth='10000')"),
]
"""For the points that begin so: what comes before, and a call that passes the point."""

CASES = [(point, before, call) for point in POINTS for prefix, before, call in CALLS if point.startswith(prefix)]
OPEN = [point for point in POINTS if point == "rbd-client-blocked"]
"""Passed only where a client lives, see below."""


@pytest.fixture(scope="module")
def world(running_cluster: CephCluster) -> CephCluster:
    """A cluster with two hosts, a volume and a snapshot, which no call harms."""
    running_cluster.reset()
    Host(running_cluster.conf, "h2")
    host = Host(running_cluster.conf)
    host.create("old", 3)
    write(running_cluster, "rbd/old", b"old")
    host.snap("kept", "old")
    return running_cluster


def do(host: Host, call: str) -> None:
    eval(f"host.{call}", {"host": host})


def state(cluster: CephCluster, host: Host) -> object:
    """Everything that can be seen, but for what is new each time."""
    return inventory(cluster), {
        volume.id: (volume.name, [(held.instance_id, held.read_only) for held in volume.attachments])
        for volume in host.storage.volumes()
    }


def undo(host: Host) -> None:
    host.detach(force=True)
    host.remove_snap()
    host.remove()


ENDS: dict[str, object] = {}
"""What comes of each call, and what comes before it, without a crash."""


def end_of(world: CephCluster, before: list[str], call: str) -> object:
    host, name = Host(world.conf, register=False), f"{before} {call}"
    if name not in ENDS:
        for step in (*before, call):
            do(host, step)
        ENDS[name] = state(world, host)
        undo(host)
    return ENDS[name]


def test_every_fault_point_is_swept() -> None:
    assert len(POINTS) >= 14
    assert {point for point, *_ in CASES} | set(OPEN) == set(POINTS)


@pytest.mark.parametrize(
    ("point", "before", "call"), CASES, ids=[f"{point} in {call} after {len(before)}" for point, before, call in CASES]
)
def test_after_a_crash_the_next_try_is_like_the_first(
    world: CephCluster, point: str, before: list[str], call: str
) -> None:
    wanted = end_of(world, before, call)
    host = Host(world.conf, register=False)
    try:
        for step in before:
            do(host, step)
        [ended] = run_script(DIE.format(call), world.conf, fault=point)
        assert ended.status == -signal.SIGKILL, ended.errors
        do(host, call)
        assert state(world, host) == wanted, "a try without a crash ends otherwise"
        do(host, call)
        assert state(world, host) == wanted, "the call is not idempotent"
    finally:
        undo(host)
    assert set(inventory(world)) == {"rbd/old"}
    assert hidden(world) == []


def test_a_crash_after_shutting_a_client_out_leaves_the_claim_to_the_next_try(world: CephCluster) -> None:
    script = DIE.format("attach(force=True)")
    host = Host(world.conf, register=False)
    host.create("v", 1)
    host.attach(to="h2")
    with Client(world, "rbd/v") as client:
        [ended] = run_script(script, world.conf, fault="rbd-client-blocked")
        assert ended.status == -signal.SIGKILL, ended.errors
        assert host.holders() == ["h2"]
        assert client.write("late").startswith("refused")
        Host(world.conf, register=False, watcher_timeout=20.0).attach(force=True)
        assert host.holders() == ["h1"]
    undo(host)
    assert hidden(world) == []
