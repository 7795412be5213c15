"""Monitoring of a real daemon: what it serves when it is on, and what it does not import when it is off."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rexray_server.monitoring.families import FAMILIES
from service_parts import Daemon

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("prometheus_client", "opentelemetry")


def get(path: Path, call: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.closing(connection):
        connection.sock.settimeout(10)
        connection.sock.connect(str(path))
        connection.request("GET", call)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@contextlib.contextmanager
def running(home: Path, **environ: str) -> Iterator[Daemon]:
    """A daemon whose log has every import that it makes."""
    daemon = Daemon(home, {"PYTHONPROFILEIMPORTTIME": "1", **environ})
    try:
        yield daemon.start()
    finally:
        daemon.stop()


def imported(daemon: Daemon) -> set[str]:
    lines = daemon.log.read_text().splitlines()
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}


def test_a_daemon_counts_what_it_is_asked_and_says_that_it_is_ready(tmp_path: Path) -> None:
    address = tmp_path / "metrics.sock"
    with running(tmp_path, REXRAY_METRICS_ADDRESS=f"unix://{address}") as daemon:
        assert get(address, "/healthz") == (200, "ok\n")
        assert get(address, "/readyz") == (200, "ready\n")
        status, body = get(address, "/readyz?verbose")
        assert (status, [each["driver"] for each in json.loads(body)["modules"]]) == (200, ["csi-vfs"])
        assert daemon.rexray("csi", "new", "data").returncode == 0
        status, text = get(address, "/metrics")
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        created = {"protocol": "csi", "verb": "CreateVolume", "code": "OK"}
        assert [each.value for each in samples if each.name == "rexray_calls_total" and each.labels == created] == [1]
        pools = {each.labels["pool"] for each in samples if each.name == "rexray_queue_threads"}
        assert {pool.partition("-")[0] for pool in pools} == {"csi", "docker"}
        assert "prometheus_client" in imported(daemon)
    assert not address.exists()


def test_a_daemon_whose_monitoring_is_off_imports_nothing_for_it(tmp_path: Path) -> None:
    with running(tmp_path) as daemon:
        assert daemon.rexray("csi", "new", "data").returncode == 0
        found = imported(daemon)
    assert "rexray_server" in found
    assert not found & set(PACKAGES)


@pytest.mark.parametrize("what", ["alerts", "paths"])
def test_the_page_names_nothing_that_is_not_there(what: str) -> None:
    page = (ROOT / "docs/operators/metrics.md").read_text()
    if what == "alerts":
        known = {family.name for family in FAMILIES}
        named = {re.sub("_bucket$", "", name) for name in re.findall(r"\brexray_[a-z_]+\b", page)}
        assert named - {"rexray_server"} <= known
    else:
        assert "<!-- metrics -->" in page
        assert set(re.findall(r"^\| `(/\w+)` \|", page, re.MULTILINE)) == {"/metrics", "/healthz", "/readyz"}
