"""A Ceph cluster that fails: each failure ends with the truth, with no data lost, and with nothing left mapped."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from ceph_parts import CephCluster, wait_until
from docker_parts import Engine
from rbd_host_parts import RBD, end_exports, exports
from service_parts import BRIDGE, Daemon, eventually

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("ceph", "qemu-storage-daemon")]

WRITER = 'n=0; while :; do n=$((n+1)); echo "row $n of what must stay" >> /data/log; sync; done'


class Shell:
    """``rexray`` on a host with that cluster; no daemon is needed."""

    def __init__(self, home: Path, cluster: CephCluster) -> None:
        self.home = home
        self._daemon = Daemon(home, {**BRIDGE, **RBD, **cluster.environ, "RBD_TIMEOUT": "3s"})

    def say(self, *words: str, **environ: str) -> str:
        """What it prints; it has to succeed."""
        answer = self._daemon.rexray(*words, **environ)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def say_at_last(self, *words: str) -> None:
        """Say it until it succeeds: daemons that were away find each other while their monitors already say well."""
        wait_until(lambda: self._daemon.rexray(*words).returncode == 0, " ".join(words), 90, pause=1)

    def refused(self, *words: str, **environ: str) -> str:
        """Its error, which is one line."""
        answer = self._daemon.rexray(*words, **environ)
        assert answer.returncode != 0, answer.stdout
        assert answer.stderr.count("\n") == 1, answer.stderr
        return answer.stderr.strip()

    def path(self, name: str) -> Path:
        """Where a volume is mounted."""
        return Path(self.say("volume", "path", name).strip())

    def nothing_mapped(self) -> bool:
        """Whether no image is mapped, mounted or open here."""
        return not (self._daemon.mounts() or self._daemon.loops() or exports(self.home))


@pytest.fixture
def shell(home: Path, cluster: CephCluster) -> Iterator[Shell]:
    shell = Shell(home, cluster)
    yield shell
    cluster.thaw()
    subprocess.run(["umount", "--lazy", *shell._daemon.mounts()], check=False, capture_output=True)
    end_exports(home)
    shell._daemon.clean_up()


@pytest.fixture
def lasting_cluster() -> Iterator[CephCluster]:
    """Three monitors, and two OSDs that keep their objects when they are killed."""
    folder = Path(tempfile.mkdtemp(prefix="rxl"))
    with CephCluster(folder / "c", monitors=3, objectstore="bluestore") as cluster:
        yield cluster
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.needs("docker", "busybox")
def test_a_container_writes_on_through_a_dead_monitor_a_dead_osd_and_half_a_minute_without_a_cluster(
    engine: Engine, make_plugin: Callable[[Mapping[str, str]], tuple[Daemon, str]], lasting_cluster: CephCluster
) -> None:
    cluster = lasting_cluster
    daemon, driver = make_plugin({**BRIDGE, **RBD, **cluster.environ})
    engine.run("volume", "create", "-d", driver, "-o", "size=1", "steady")
    engine.run("run", "-d", "--name", "steady", "-v", "steady:/data", "bb:1", "/bin/sh", "-c", WRITER)
    log = Path(str(daemon.docker("VolumeDriver.Path", Name="steady")["Mountpoint"])) / "log"

    def writes_on(what: str, timeout: float = 60) -> None:
        before = log.stat().st_size
        wait_until(lambda: log.stat().st_size > before + 1000, what, timeout)

    writes_on("at first")
    cluster.kill_monitor(0)
    writes_on("with two of three monitors")
    cluster.start_monitor(0)
    cluster.kill_osd(0)
    writes_on("with one of two OSDs")
    cluster.start_osd(0)
    cluster.wait_healthy()
    cluster.stop()
    time.sleep(30)
    cluster.start_again()
    writes_on("after the cluster was away", 120)
    engine.run("rm", "-f", "steady")
    rows = engine.run("run", "--rm", "-v", "steady:/data", "bb:1", "/bin/cat", "/data/log").stdout.splitlines()
    assert rows == [f"row {number} of what must stay" for number in range(1, len(rows) + 1)]
    engine.run("volume", "rm", "steady")
    assert cluster.rbd("ls") == ""
    assert exports(daemon.home) == daemon.loops() == daemon.mounts() == []


def test_a_cluster_that_hangs_is_told_in_time_and_leaves_nothing_mapped(shell: Shell, cluster: CephCluster) -> None:
    shell.say("volume", "create", "data", "--size", "1")
    with cluster.frozen():
        for words in (
            ("volume", "mount", "data"),
            ("volume", "ls"),
            ("volume", "create", "other"),
            ("volume", "rm", "data"),
        ):
            began = time.monotonic()
            error = shell.refused(*words)
            assert "no monitor" in error, error
            assert time.monotonic() - began < 30
        assert shell.nothing_mapped()
    shell.say_at_last("volume", "mount", "data")
    cluster.wait_healthy()
    (shell.path("data") / "file").write_text("kept")
    shell.say("volume", "unmount", "data")
    shell.say("volume", "create", "other")
    assert sorted(cluster.rbd("ls").split()) == ["data", "other"]
    assert shell.nothing_mapped()


def test_a_mount_that_hangs_halfway_lets_go_of_the_image(shell: Shell, cluster: CephCluster) -> None:
    shell.say("volume", "create", "data", "--size", "1")
    shell.say("volume", "attach", "data")
    shell.say("volume", "detach", "data")
    cluster.kill_osd(0)
    cluster.kill_osd(1)
    assert "cannot" in shell.refused("volume", "mount", "data", REXRAY_DEVICEATTACHTIMEOUT="5s")
    cluster.reset()
    assert eventually(shell.nothing_mapped, 30)


def test_a_full_pool_is_told_and_what_was_being_written_is_written_when_there_is_room(
    shell: Shell, cluster: CephCluster
) -> None:
    shell.say("volume", "create", "data", "--size", "1")
    shell.say("volume", "mount", "data")
    file = shell.path("data") / "file"
    file.write_bytes(b"before")
    cluster.set_full()
    assert "POOL_FULL" in shell.refused("volume", "create", "more")
    assert "POOL_FULL" in shell.refused("volume", "expand", "data", "--size", "2")
    writer = subprocess.Popen(["sh", "-c", f"echo later >{file}.2 && sync {file}.2"])
    time.sleep(2)
    cluster.set_full(full=False)
    assert writer.wait(60) == 0
    shell.say("volume", "unmount", "data")
    shell.say("volume", "mount", "data")
    assert (file.read_bytes(), Path(f"{file}.2").read_text()) == (b"before", "later\n")
    shell.say("volume", "unmount", "data")
    shell.say("volume", "create", "more")
    shell.say("volume", "expand", "data", "--size", "2")
    assert sorted(cluster.rbd("ls").split()) == ["data", "more"]
    assert shell.nothing_mapped()


def test_what_the_cluster_refuses_is_one_line_that_says_what_to_do(
    shell: Shell, cluster: CephCluster, tmp_path: Path
) -> None:
    shell.say("volume", "create", "data", "--size", "1")
    wrong = tmp_path / "wrong.keyring"
    subprocess.run(["ceph-authtool", "-C", str(wrong), "--gen-key", "-n", "client.admin"], check=True)
    for settings, words in (
        ({"RBD_KEYRING": str(wrong)}, "rbd.keyring"),
        ({"RBD_KEYRING": str(tmp_path / "none")}, "rbd.keyring"),
        ({"RBD_USER": "nobody"}, "rbd.user"),
        ({"RBD_DEFAULTPOOL": "nowhere", "RBD_POOLS": "nowhere"}, "nowhere"),
        ({"RBD_CONF": str(tmp_path / "none.conf")}, "rbd.conf"),
        ({"RBD_MONITORS": "127.0.0.1:1", "RBD_TIMEOUT": "1s"}, "monitor"),
    ):
        for verb in (("ls",), ("create", "new"), ("rm", "data"), ("mount", "data")):
            error = shell.refused("volume", *verb, **settings)
            assert words in error, (settings, verb, error)
    assert cluster.rbd("ls").split() == ["data"]
    assert shell.nothing_mapped()


def test_images_with_snapshots_and_parents_of_clones_lose_nothing(shell: Shell, cluster: CephCluster) -> None:
    shell.say("volume", "create", "parent", "--size", "1")
    shell.say("volume", "mount", "parent")
    (shell.path("parent") / "file").write_text("of the parent")
    shell.say("volume", "unmount", "parent")
    shell.say("snapshot", "create", "--volumename", "parent", "--snapshotname", "then")
    assert "snapshots" in shell.refused("volume", "rm", "parent")
    shell.say("volume", "create", "child.one", "--snapshotname", "then")
    shell.say("snapshot", "rm", "then")
    shell.say("volume", "rm", "parent")
    shell.say("volume", "mount", "child.one")
    assert (shell.path("child.one") / "file").read_text() == "of the parent"
    shell.say("volume", "unmount", "child.one")
    shell.say("volume", "rm", "child.one")
    assert cluster.rbd("ls") == cluster.rbd("trash", "ls", "--all") == ""
    assert shell.nothing_mapped()
