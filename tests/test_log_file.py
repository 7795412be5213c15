"""The log of a service in the background: one file, which may be cut off while it is written."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service_parts import Daemon, eventually


@pytest.fixture
def service(make_daemon: Callable[..., Daemon]) -> Iterator[Daemon]:
    daemon = make_daemon()
    yield daemon
    daemon.rexray("stop")


def test_the_log_file_may_be_copied_and_cut_off_as_logrotate_does(service: Daemon) -> None:
    started = service.rexray("start")
    assert started.returncode == 0, started.stderr
    log = service.home / "var/log/rexray.log"
    pid = int((service.home / "var/run/rexray.pid").read_text())
    assert log.stat().st_size > 0
    shutil.copy(log, log.with_suffix(".1"))
    os.truncate(log, 0)
    os.kill(pid, signal.SIGHUP)
    assert eventually(lambda: "reloaded" in log.read_text())
    records = [json.loads(line) for line in log.read_text().splitlines()]  # no gap where the old lines were
    assert [record["msg"] for record in records] == ["reloaded"]
    assert {"time", "level", "logger"} <= records[0].keys()


def test_a_start_in_the_background_tells_people_the_log_as_text_and_the_file_has_it_as_json(service: Daemon) -> None:
    told = service.rexray("start").stderr
    assert told.startswith("INFO[20")
    assert f"sockFile={service.endpoint}" in told
    (first, *_) = Path(service.home / "var/log/rexray.log").read_text().splitlines()
    assert json.loads(first)["sockFile"] == str(service.endpoint)


def test_the_log_is_text_where_the_setting_says_so(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(REXRAY_LOGFORMAT="text").start()
    assert daemon.log.read_text().startswith("INFO[0000] ")
    daemon.stop()
    refused = daemon.rexray("start", "-f", REXRAY_LOGFORMAT="logfmt")
    assert refused.returncode == 1
    assert "rexray.logFormat" in refused.stderr or "REXRAY_LOGFORMAT" in refused.stderr
