"""The worst clients against a real daemon: nothing breaks, nothing leaks, nothing is made."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.client import CSIClient
from rexray.errors import InvalidRequest, RexrayError
from service_parts import Daemon, eventually

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HALF_WRITTEN = [
    b"",
    b"P",
    b"POST /VolumeDriver.Li",
    b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    PREFACE[:7],
    PREFACE,
    PREFACE + b"\x00\x00",
    PREFACE + b"\x00\x00\x20\x01\x04\x00\x00\x00\x01abc",
    PREFACE + b"\xff" * 500,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    bytes(range(256)),
]
HOSTILE_NAMES = ["..", ".", "a/b", "../../etc", "a\0b", "a\nb", "\x1b]0;x\x07", "x" * 300, "é" * 65, ".rexray"]


def probe(daemon: Daemon) -> None:
    """Both protocols answer."""
    assert daemon.docker("Plugin.Activate") == {"Implements": ["VolumeDriver"]}
    with CSIClient(str(daemon.endpoint)) as client:
        assert client.call(rpc.PROBE, pb.ProbeRequest(), timeout=10).ready.value


def settles(daemon: Daemon, files: int) -> bool:
    """Whether the daemon's open files come back to that many."""
    return eventually(lambda: daemon.facts()["files"] <= files, 15)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for a thousand connections in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_a_thousand_idle_connections_cost_no_thread_and_are_let_go(daemon: Daemon) -> None:
    probe(daemon)
    before = daemon.facts()
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(daemon.connect())
        assert eventually(lambda: daemon.facts()["files"] >= 1000)
        started = time.monotonic()
        probe(daemon)
        assert time.monotonic() - started < 2
        assert daemon.facts()["threads"] <= before["threads"] + 8
    assert settles(daemon, before["files"] + 2)


def test_half_written_requests_of_every_kind_leave_the_daemon_as_it_was(daemon: Daemon) -> None:
    probe(daemon)
    before = daemon.facts()["files"]
    with ExitStack() as stack:
        for data in HALF_WRITTEN * 10:
            connection = stack.enter_context(daemon.connect())
            connection.sendall(data)
            if len(data) % 3 == 0:
                connection.shutdown(socket.SHUT_WR)
        probe(daemon)
    assert settles(daemon, before + 2)
    probe(daemon)
    assert "Traceback" not in daemon.log.read_text()


def test_a_client_that_is_killed_in_the_middle_of_an_answer_disturbs_nobody(daemon: Daemon) -> None:
    for number in range(200):
        daemon.docker("VolumeDriver.Create", Name=f"volume-{number:050}")
    before = daemon.facts()["files"]
    for _ in range(100):
        with daemon.connect() as connection:
            connection.sendall(b"POST /VolumeDriver.List HTTP/1.1\r\n\r\n" * 5)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert settles(daemon, before + 2)
    probe(daemon)
    assert "Traceback" not in daemon.log.read_text()


@pytest.mark.parametrize("size", [10 << 20, 100 << 20])
def test_a_huge_body_is_refused_without_being_kept(daemon: Daemon, size: int) -> None:
    probe(daemon)
    before = daemon.facts()["memory"]
    with daemon.connect() as connection:
        connection.sendall(b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        with pytest.raises(OSError, match=r"Broken pipe|reset") if size > (50 << 20) else ExitStack():
            for _ in range(size >> 16):
                connection.sendall(b"x" * (1 << 16))
                time.sleep(0.01 if size > (50 << 20) else 0)
        if size <= (50 << 20):
            assert connection.recv(4096).startswith(b"HTTP/1.1 413")
    assert daemon.facts()["memory"] < before + 8 * 2**20
    probe(daemon)


def test_a_client_that_asks_on_and_never_reads_costs_no_memory(daemon: Daemon) -> None:
    probe(daemon)
    before = daemon.facts()["memory"]
    request = b"POST /%s HTTP/1.1\r\n\r\n" % (b"x" * 8000)
    with daemon.connect() as connection:
        connection.settimeout(5)
        with pytest.raises(TimeoutError):
            connection.sendall(request * 8000)
        assert daemon.facts()["memory"] < before + 8 * 2**20
        probe(daemon)


def test_a_flood_of_empty_lines_holds_nobody_up(daemon: Daemon) -> None:
    probe(daemon)
    with daemon.connect() as connection:
        connection.sendall(b"\r\n" * (4 << 20))
        started = time.monotonic()
        assert daemon.docker("Plugin.Activate") == {"Implements": ["VolumeDriver"]}
        assert time.monotonic() - started < 1
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")


def listing(folder: Path) -> dict[str, str]:
    """Every path below a folder and a digest of what it holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name not in ("daemon.log", "lock") and "locks" not in path.parts:
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return found


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_hostile_names_are_refused_by_every_call_of_docker_and_make_nothing(daemon: Daemon, name: str) -> None:
    daemon.docker("VolumeDriver.Create", Name="bystander")
    before = listing(daemon.home)
    for call in ("Create", "Get", "Mount", "Path", "Unmount", "Remove"):
        body = json.dumps({"Name": name, "ID": "c1"}).encode()
        status, answer = daemon.docker_raw(f"VolumeDriver.{call}", body)
        if (call, name) == ("Unmount", ".rexray"):
            continue  # nothing is mounted by that name, and that is success
        assert status in (400, 404), (call, answer)
        assert str(answer["Err"]).isprintable()
    assert listing(daemon.home) == before


@pytest.mark.parametrize("name", [name for name in HOSTILE_NAMES if "\0" not in name], ids=ascii)
def test_hostile_names_at_the_shell_are_one_line_and_exit_3(daemon: Daemon, name: str) -> None:
    before = listing(daemon.home)
    answer = daemon.rexray("csi", "new", "--", name)
    assert (answer.returncode, answer.stdout) == (3, "")
    assert answer.stderr.startswith("error: InvalidArgument: ")
    assert answer.stderr.rstrip("\n").isprintable()
    assert listing(daemon.home) == before


def hostile_calls() -> Iterator[tuple[rpc.Call[object, object], object]]:  # type: ignore[type-var]
    """Every call of CSI with a hostile id in every field that has one."""
    for call in rpc.CALLS:
        for name in HOSTILE_NAMES:
            request = call.request()
            for field in ("name", "volume_id", "source_volume_id", "snapshot_id", "group_snapshot_id"):
                if field in request.DESCRIPTOR.fields_by_name:
                    setattr(request, field, name)
            for field in ("target_path", "staging_target_path", "volume_path"):
                if field in request.DESCRIPTOR.fields_by_name:
                    setattr(request, field, f"/{name.strip(chr(0))}")
            if "volume_capability" in request.DESCRIPTOR.fields_by_name:
                request.volume_capability.mount.SetInParent()
                request.volume_capability.access_mode.mode = 1
            if "volume_capabilities" in request.DESCRIPTOR.fields_by_name:
                capability = request.volume_capabilities.add()
                capability.mount.SetInParent()
                capability.access_mode.mode = 1
            if "source_volume_ids" in request.DESCRIPTOR.fields_by_name:
                request.source_volume_ids.append(name)
            if "node_id" in request.DESCRIPTOR.fields_by_name:
                request.node_id = socket.gethostname()
            if "capacity_range" in request.DESCRIPTOR.fields_by_name:
                request.capacity_range.required_bytes = 1
            if any(True for _ in request.ListFields()) and not call.streams:
                yield call, request


def test_hostile_ids_in_every_call_of_csi_change_nothing(daemon: Daemon) -> None:
    daemon.docker("VolumeDriver.Create", Name="bystander")
    before, outside = listing(daemon.home), sorted(os.listdir("/"))
    tried, codes = 0, set()
    with CSIClient(str(daemon.endpoint)) as client:
        for call, request in hostile_calls():
            tried += 1
            try:
                client.call(call, request, timeout=20)  # type: ignore[type-var]
            except RexrayError as error:
                cause = error.__cause__
                assert isinstance(cause, grpc.RpcError)
                codes.add(cause.code())
    assert tried > 100
    assert not codes & {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
    assert listing(daemon.home) == before
    assert sorted(os.listdir("/")) == outside
    assert "Traceback" not in daemon.log.read_text()


def test_an_access_mode_that_csi_does_not_have_is_refused_by_name(daemon: Daemon) -> None:
    capability = pb.VolumeCapability(mount={}, access_mode={})
    capability.access_mode.mode = 99  # type: ignore[assignment]
    request = pb.CreateVolumeRequest(name="data", volume_capabilities=[capability])
    with CSIClient(str(daemon.endpoint)) as client, pytest.raises(InvalidRequest, match="access mode 99"):
        client.call(rpc.CREATE_VOLUME, request, timeout=10)
    assert daemon.docker("VolumeDriver.List") == {"Volumes": []}


def test_docker_is_answered_at_once_while_csi_has_more_calls_than_threads(daemon: Daemon) -> None:
    daemon.docker("VolumeDriver.Create", Name="big")
    for number in range(2000):
        (daemon.data / f"vol/big/{number}").write_bytes(b"x" * 100)
    done: list[str] = []

    def snapshot(number: int) -> None:
        with CSIClient(str(daemon.endpoint)) as client:
            request = pb.CreateSnapshotRequest(source_volume_id="big", name=f"copy-{number}")
            try:
                client.call(rpc.CREATE_SNAPSHOT, request, timeout=60)
                done.append("taken")
            except RexrayError as error:
                done.append(type(error).__name__)

    threads = [threading.Thread(target=snapshot, args=(number,)) for number in range(80)]
    for thread in threads:
        thread.start()
    slowest = 0.0
    while any(thread.is_alive() for thread in threads):
        started = time.monotonic()
        assert daemon.docker("Plugin.Activate") == {"Implements": ["VolumeDriver"]}
        slowest = max(slowest, time.monotonic() - started)
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert slowest < 1
    assert set(done) <= {"taken", "Busy"}
    assert len(done) == 80
