"""Docker on block volumes: a database writes inside a container while all around it comes and goes."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from docker_parts import Engine
from service_parts import Daemon, eventually

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("docker"), pytest.mark.needs("sqlite3")]

WRITER = (
    'sqlite3 /data/db "PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t (n INTEGER, body BLOB)"; '
    'while :; do sqlite3 /data/db "INSERT INTO t SELECT count(*), randomblob(4000) FROM t"; done'
)


@pytest.fixture
def image(engine: Engine, tool: Callable[[str], str]) -> str:
    """An image with SQLite's own shell in it."""
    engine.import_image("sqlite:1", tool("sqlite3"))
    return "sqlite:1"


def rows(where: Path) -> int:
    """The rows that are committed; the database is whole."""
    waiting = ["-cmd", ".timeout 20000"]  # for the writer's lock
    command = ["sqlite3", "-readonly", *waiting, str(where / "db"), "PRAGMA integrity_check; SELECT count(*) FROM t"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if answer.returncode:
        return 0
    whole, count = answer.stdout.split()
    assert whole == "ok"
    return int(count)


def digest(where: Path) -> str:
    """What is in every row; the file's bytes change when SQLite moves its journal into it."""
    command = ["sqlite3", "-readonly", str(where / "db"), "SELECT n, hex(body) FROM t ORDER BY n"]
    answer = subprocess.run(command, capture_output=True, timeout=60, check=True)
    return hashlib.sha256(answer.stdout).hexdigest()


def path_of(daemon: Daemon, name: str) -> Path:
    return Path(str(daemon.docker("VolumeDriver.Path", Name=name)["Mountpoint"]))


def test_a_database_in_a_container_survives_daemon_and_container_and_is_whole_elsewhere(
    engine: Engine, block_plugin: tuple[Daemon, str], image: str
) -> None:
    daemon, driver = block_plugin
    engine.run("volume", "create", "-d", driver, "-o", "size=1", "-o", "fstype=xfs", "db")
    engine.run("run", "-d", "--name", "writer", "-v", "db:/data", image, "/bin/sh", "-c", WRITER)
    where = path_of(daemon, "db")
    assert eventually(lambda: rows(where) > 20, 30)
    daemon.kill()
    before = rows(where)
    assert eventually(lambda: rows(where) > before, 30), "the container writes on without the daemon"
    daemon.start()
    engine.run("rm", "-f", "writer")
    assert daemon.mounts() == []
    assert daemon.loops() == []

    elsewhere = Path(daemon.rexray("volume", "mount", "db").stdout.strip())
    found = rows(elsewhere)
    assert found > before
    written = digest(elsewhere)
    assert daemon.rexray("volume", "unmount", "db").returncode == 0
    count = engine.run("run", "--rm", "-v", "db:/data", image, "/usr/bin/sqlite3", "/data/db", "SELECT count(*) FROM t")
    assert int(count.stdout) == found
    again = Path(daemon.rexray("volume", "mount", "db").stdout.strip())
    assert digest(again) == written
    assert daemon.rexray("volume", "unmount", "db").returncode == 0
    engine.run("volume", "rm", "db")
    assert daemon.docker("VolumeDriver.List")["Volumes"] == []


def test_a_volume_grows_under_a_container_that_writes_to_it(
    engine: Engine, block_plugin: tuple[Daemon, str], image: str
) -> None:
    daemon, driver = block_plugin
    engine.run("volume", "create", "-d", driver, "-o", "size=1", "-o", "fstype=xfs", "grow")
    engine.run("run", "-d", "--name", "grower", "-v", "grow:/data", image, "/bin/sh", "-c", WRITER)
    where = path_of(daemon, "grow")
    assert eventually(lambda: rows(where) > 3, 30)
    answer = daemon.rexray("volume", "expand", "grow", "--size", "3")
    assert answer.returncode == 0, answer.stderr
    kilobytes = int(engine.run("exec", "grower", "/bin/df", "-k", "/data").stdout.split()[-5])
    assert kilobytes > 2.5 * 1024 * 1024
    before = rows(where)
    assert eventually(lambda: rows(where) > before, 30)
    engine.run("rm", "-f", "grower")
    engine.run("volume", "rm", "grow")


def test_a_snapshot_of_a_running_database_is_mounted_beside_it(
    engine: Engine, block_plugin: tuple[Daemon, str], image: str
) -> None:
    daemon, driver = block_plugin
    engine.run("volume", "create", "-d", driver, "-o", "size=1", "-o", "fstype=xfs", "first")
    engine.run("run", "-d", "--name", "first", "-v", "first:/data", image, "/bin/sh", "-c", WRITER)
    where = path_of(daemon, "first")
    assert eventually(lambda: rows(where) > 3, 30)
    taken = daemon.rexray("snapshot", "create", "--volumename", "first", "--snapshotname", "then")
    assert taken.returncode == 0, taken.stderr
    at_least = rows(where)
    assert eventually(lambda: rows(where) > at_least + 3, 30), "the filesystem is thawed"
    engine.run("volume", "create", "-d", driver, "-o", "snapshotname=then", "second")
    count = engine.run(
        *("run", "--rm", "-v", "second:/data", image, "/usr/bin/sqlite3", "/data/db"),
        "PRAGMA integrity_check; SELECT count(*) FROM t",
    ).stdout.split()
    assert count[0] == "ok"
    assert 3 < int(count[1]) <= at_least
    engine.run("rm", "-f", "first")
    assert daemon.rexray("snapshot", "rm", "then").returncode == 0
    engine.run("volume", "rm", "first", "second")
    assert daemon.loops() == []
