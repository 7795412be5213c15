"""The cluster of the tests is what it says: it comes up, empties, fails and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ceph_daemons import clean_environ, run
from ceph_parts import CephCluster, wait_until

pytestmark = pytest.mark.needs("ceph")


def try_program(cluster: CephCluster, program: str, *words: str, timeout: float = 30) -> tuple[int, str]:
    """The exit status and the complaint of a program."""
    done = run(program, "--conf", str(cluster.conf), *words, timeout=timeout)
    return done.returncode, done.stderr


def test_new_cluster_serves_one_empty_pool_and_stays_in_its_folder(cluster: CephCluster) -> None:
    assert cluster.pools() == ("rbd",)
    assert cluster.rbd("ls") == ""
    assert set(cluster.pids) == {"mon.a", "mgr.x", "osd.0", "osd.1"}
    for pid in cluster.pids.values():
        opened = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
        assert not [path for path in opened if path.startswith(("/etc/ceph", "/var/lib/ceph", "/run", "/var/run"))]
    cluster.wait_healthy()
    assert cluster.json("health")["status"] == "HEALTH_OK"


def test_manager_tells_free_space_and_takes_tasks(cluster: CephCluster) -> None:
    cluster.wait_mgr()
    (pool,) = cluster.json("df")["pools"]
    assert 1 << 30 < pool["stats"]["max_avail"] <= 2 << 30
    cluster.rbd("create", "parent", "--size", "8M")
    cluster.rbd("snap", "create", "parent@one")
    cluster.rbd("clone", "--rbd-default-clone-format", "2", "parent@one", "child")
    cluster.ceph("rbd", "task", "add", "flatten", "rbd/child")
    wait_until(lambda: "parent" not in cluster.json("info", "child", program="rbd"), "the child flattened")


def test_reset_leaves_nothing(cluster: CephCluster) -> None:
    cluster.create_pool("other")
    cluster.create_pool("odd name", rbd=False)
    keyring = cluster.user("joe", {"mon": "profile rbd", "osd": "profile rbd pool=rbd"})
    cluster.rbd("create", "parent", "--size", "8M")
    cluster.rbd("snap", "create", "parent@one")
    cluster.rbd("snap", "protect", "parent@one")
    cluster.rbd("clone", "parent@one", "other/child")
    cluster.rbd("create", "gone", "--size", "8M")
    cluster.rbd("trash", "mv", "gone")
    cluster.rbd("group", "create", "group")
    cluster.rbd("namespace", "create", "rbd/space")
    cluster.ceph("osd", "blocklist", "add", "192.0.2.1:0/1")
    cluster.set_full()
    cluster.freeze()

    started = time.monotonic()
    cluster.reset()
    assert time.monotonic() - started < 15  # on a busy machine; a quiet one needs one or two

    assert cluster.pools() == ("rbd",)
    objects = {line.strip() for line in cluster.rados("ls", "--all", "--pool", "rbd").splitlines()}
    assert objects <= {"rbd_directory", "rbd_info", "rbd_task"}, objects
    assert cluster.blocklist() == ()
    assert not keyring.exists()
    assert "client.joe" not in cluster.ceph("auth", "ls")
    cluster.rbd("create", "parent", "--size", "8M")


def test_io_goes_on_without_one_osd(cluster: CephCluster) -> None:
    cluster.rados("--pool", "rbd", "put", "before", "/dev/stdin", input="kept")
    cluster.kill_osd(0)
    cluster.rados("--pool", "rbd", "put", "after", "/dev/stdin", input="kept")
    assert cluster.rados("--pool", "rbd", "get", "before", "-") == "kept"
    cluster.start_osd(0)
    cluster.wait_healthy()
    cluster.kill_osd(1)
    assert cluster.rados("--pool", "rbd", "get", "before", "-") == "kept"
    assert cluster.rados("--pool", "rbd", "get", "after", "-") == "kept"
    cluster.start_osd(1)
    cluster.wait_healthy()


def test_frozen_cluster_does_not_answer_and_thaws(cluster: CephCluster) -> None:
    cluster.rbd("create", "image", "--size", "8M")
    with cluster.frozen(), pytest.raises(AssertionError, match="no end within 1s"):
        cluster.rbd("info", "image", timeout=1)
    assert "8 MiB" in cluster.rbd("info", "image")


def test_watchers_and_blocklist(cluster: CephCluster) -> None:
    cluster.rbd("create", "image", "--size", "8M")
    assert cluster.watchers("rbd/image") == ()
    command = [
        "rbd",
        "--conf",
        str(cluster.conf),
        "bench",
        "--io-type",
        "write",
        "--io-size",
        "4K",
        "--io-threads",
        "1",
    ]
    command += ["--io-total", "8M", "--rbd-qos-iops-limit", "10", "rbd/image"]
    with subprocess.Popen(
        command, env=clean_environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as writer:
        try:
            wait_until(lambda: bool(cluster.watchers("rbd/image")), "somebody has the image open")
            (address,) = cluster.watchers("rbd/image")
            cluster.ceph("osd", "blocklist", "add", address)
            assert cluster.blocklist() == (address,)
            assert writer.wait(30) != 0
        finally:
            writer.kill()
    wait_until(lambda: not cluster.watchers("rbd/image"), "nobody has the image open", 20)


def test_full_pool_takes_no_writes_until_it_has_room(cluster: CephCluster) -> None:
    cluster.rbd("create", "image", "--size", "8M")
    cluster.set_full()
    with pytest.raises(AssertionError, match="no end within 2s"):  # Ceph's clients wait for room
        cluster.rbd("create", "another", "--size", "8M", timeout=2)
    # a removal may go beyond the quota to make room, but not where it begins by a mark on the image
    status, complaint = try_program(cluster, "rbd", "rm", "image")
    assert status != 0
    assert "Disk quota exceeded" in complaint
    assert cluster.rbd("ls").split() == ["image"]
    cluster.set_full(full=False)
    cluster.rbd("create", "another", "--size", "8M")


def test_user_may_only_what_its_caps_say(cluster: CephCluster) -> None:
    cluster.create_pool("other")
    cluster.user("joe", {"mon": "profile rbd", "osd": "profile rbd pool=rbd"})
    cluster.rbd("--id", "joe", "create", "rbd/image", "--size", "8M")
    status, complaint = try_program(cluster, "rbd", "--id", "joe", "create", "other/image", "--size", "8M")
    assert status == 1
    assert "Operation not permitted" in complaint


def test_three_monitors_lose_one(tmp_path: Path) -> None:
    with CephCluster(tmp_path / "c", monitors=3, osds=1, mgr=False) as cluster:
        cluster.wait_healthy()
        assert len(cluster.json("quorum_status")["quorum_names"]) == 3
        cluster.kill_monitor(0)  # the leader
        cluster.rbd("create", "image", "--size", "8M")
        wait_until(lambda: len(cluster.json("quorum_status")["quorum_names"]) == 2, "a quorum of two")
        cluster.start_monitor(0)
        cluster.wait_healthy()
        assert len(cluster.json("quorum_status")["quorum_names"]) == 3


def test_stopped_cluster_comes_back_with_its_data(tmp_path: Path) -> None:
    with CephCluster(tmp_path / "c", osds=1, objectstore="bluestore") as cluster:
        cluster.rados("--pool", "rbd", "put", "object", "/dev/stdin", input="kept")
        cluster.stop()
        assert cluster.pids == {}
        cluster.start_again()
        assert cluster.rados("--pool", "rbd", "get", "object", "-") == "kept"
    assert [path.name for path in (tmp_path / "c").glob("*.*")] == ["ceph.conf", "ceph.client.admin.keyring"]


def test_daemons_die_with_whoever_started_them(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from ceph_parts import CephCluster;"
        "cluster = CephCluster(Path(sys.argv[1]), osds=1).start();"
        "print(*cluster.pids.values(), flush=True); cluster.freeze(); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "c")]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as starter:
        assert starter.stdout is not None
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        assert len(pids) == 3
        starter.stdout.readline()
        starter.send_signal(signal.SIGKILL)
        wait_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids), "the daemons gone", 10)
