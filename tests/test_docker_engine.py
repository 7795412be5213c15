"""A real Docker engine with rexray behind its volumes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from docker_parts import Engine
from service_parts import Daemon, eventually

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("docker")]

WRITER = 'i=0; while :; do i=$((i+1)); echo "$0 $i" >> /data/log; sync /data/log; sleep 0.05; done'


def lines_of(log: Path, writer: str) -> int:
    return sum(line.startswith(writer + " ") for line in log.read_text().splitlines())


def test_two_containers_share_a_volume_while_the_daemon_is_killed_and_nothing_is_lost(
    engine: Engine, plugin: tuple[Daemon, str]
) -> None:
    daemon, driver = plugin
    log = daemon.data / "vol/shared/log"
    engine.run("volume", "create", "-d", driver, "shared")
    assert "shared" in engine.run("volume", "ls", "-q").stdout.split()
    share = ("run", "-d", "--network=none", "-v", "shared:/data", "--volume-driver", driver)
    for writer in ("first", "second"):
        engine.run(*share, "--name", writer, "bb:1", "/bin/sh", "-c", WRITER, writer)
    assert eventually(lambda: lines_of(log, "first") > 3 and lines_of(log, "second") > 3)

    daemon.kill()
    daemon.start()
    engine.run("stop", "-t", "1", "first")
    after = lines_of(log, "second")
    assert eventually(lambda: lines_of(log, "second") > after + 5), "the other container no longer writes"
    assert daemon.docker("VolumeDriver.Path", Name="shared")["Mountpoint"], "one holder is left, so is the mount"

    engine.kill()
    between = lines_of(log, "second")
    assert eventually(lambda: lines_of(log, "second") > between), "the container outlives dockerd"
    engine.start()
    daemon.kill()
    daemon.start()
    engine.run("stop", "-t", "1", "second")
    numbers = [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("second ")]
    assert numbers == list(range(1, len(numbers) + 1)), "a line was lost"

    reader = ("run", "--rm", "--network=none", "-v", "shared:/data", "--volume-driver", driver, "bb:1")
    assert int(engine.run(*reader, "wc", "-l", "/data/log").stdout.split()[0]) == len(log.read_text().splitlines())
    engine.run("rm", "first", "second")
    engine.run("volume", "rm", "shared")
    assert not (daemon.data / "vol/shared").exists()
    assert daemon.mounts() == []


def test_an_unmount_that_docker_lost_does_not_keep_the_volume_for_ever(
    engine: Engine, plugin: tuple[Daemon, str]
) -> None:
    daemon, driver = plugin
    engine.run("volume", "create", "-d", driver, "-o", "size=1", "lost")
    engine.run("run", "-d", "--network=none", "--name", "holder", "-v", "lost:/data", "bb:1", "sleep", "1000")
    refused = daemon.docker_raw("VolumeDriver.Remove", b'{"Name": "lost"}')
    assert refused[0] == 409
    assert "used by pid" in str(refused[1]["Err"])
    daemon.kill()
    engine.run("stop", "-t", "1", "holder")
    daemon.start()
    engine.run("rm", "holder")
    engine.run("volume", "rm", "lost")
    assert daemon.mounts() == []
    assert list((daemon.data / "vol").glob("[!.]*")) == []


def test_what_docker_shows_of_a_volume_and_of_errors(engine: Engine, plugin: tuple[Daemon, str]) -> None:
    daemon, driver = plugin
    bad = engine.run("volume", "create", "-d", driver, "-o", "colour=red", "data", check=False)
    assert bad.returncode == 1
    assert "colour" in bad.stderr
    engine.run("volume", "create", "-d", driver, "data")
    engine.run("volume", "create", "-d", driver, "data")
    shown = engine.run("volume", "inspect", "--format", "{{.Driver}} {{.Scope}} {{.Mountpoint}}", "data").stdout
    assert shown.split() == [driver, "local"]
    started = time.monotonic()
    engine.run("run", "--rm", "--network=none", "-v", "data:/data", "bb:1", "sh", "-c", "echo kept > /data/x")
    assert time.monotonic() - started < 30
    again = engine.run("run", "--rm", "--network=none", "-v", "data:/data", "bb:1", "cat", "/data/x")
    assert again.stdout == "kept\n"
    engine.run("volume", "rm", "data")
    assert daemon.mounts() == []
