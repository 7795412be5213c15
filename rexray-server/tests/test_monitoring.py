"""Metrics as Prometheus scrapes them: they count what happened, their number is bounded, and off means not there."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from monitoring_parts import Watched, watching
from rexray import calls
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import Busy, Unavailable
from rexray.locks import Locks
from rexray.mounts import mount_table
from rexray.types import Attachment, InstanceId, Volume, VolumeId
from rexray_server.monitoring.families import FAMILIES, table
from rexray_server.monitoring.inventory import Stock
from rexray_server.monitoring.metrics import WORDS
from server_parts import Running


@pytest.fixture
def watched() -> Iterator[Watched]:
    with watching() as watched:
        yield watched


def eventually(truth: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + 10
    while not truth():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_calls_of_docker_and_csi_are_counted_by_verb_and_code(watched: Watched, running: Running) -> None:
    for name in ("one", "two"):
        assert running.post("/VolumeDriver.Create", b'{"Name": "%s"}' % name.encode())[0] == 200
    assert running.post("/VolumeDriver.Get", b'{"Name": "none"}')[0] == 404
    assert running.post("/VolumeDriver.Mount", b"no JSON")[0] == 400
    with grpc.insecure_channel(f"unix:{running.path}", [("grpc.default_authority", "localhost")]) as channel:
        create: grpc.UnaryUnaryMultiCallable[pb.CreateVolumeRequest, bytes] = channel.unary_unary(
            rpc.CREATE_VOLUME.path, pb.CreateVolumeRequest.SerializeToString
        )
        with pytest.raises(grpc.RpcError):
            create(pb.CreateVolumeRequest(), timeout=10)
        assert (
            channel.unary_unary(rpc.PROBE.path, pb.ProbeRequest.SerializeToString)(pb.ProbeRequest(), timeout=10) == b""
        )
    assert watched.series("rexray_calls_total") == {
        ("200", "docker", "Create"): 2,
        ("404", "docker", "Get"): 1,
        ("400", "docker", "Mount"): 1,
        ("INVALID_ARGUMENT", "csi", "CreateVolume"): 1,
        ("OK", "csi", "Probe"): 1,
    }
    assert watched.series("rexray_call_seconds_count")["docker", "Create"] == 2
    assert watched.series("rexray_calls_in_progress") == {("docker",): 0, ("csi",): 0}


def test_calls_nobody_serves_make_no_series(watched: Watched, running: Running) -> None:
    before = watched.scrape().keys()
    with grpc.insecure_channel(f"unix:{running.path}", [("grpc.default_authority", "localhost")]) as channel:
        for number in range(50):
            assert running.post(f"/VolumeDriver.Nothing{number}")[0] == 404
            path = f"/csi.v1.Controller/Nothing{number}"
            call: grpc.UnaryUnaryMultiCallable[pb.ProbeRequest, bytes] = channel.unary_unary(
                path, pb.ProbeRequest.SerializeToString
            )
            with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
                call(pb.ProbeRequest(), timeout=10)
    assert watched.scrape().keys() == before


def test_labels_are_bounded_whatever_the_words(watched: Watched) -> None:
    for number in range(WORDS * 4):
        with calls.call("docker", f"Verb{number}"):
            pass
        with pytest.raises(ValueError, match="x"), calls.call(calls.PLATFORM, f"GET /volumes/vol-{number}", driver="d"):
            raise type(f"Error{number}", (ValueError,), {})("x")
    verbs = {labels[-1] for labels in watched.series("rexray_calls_total")}
    assert len(verbs) == WORDS + 1
    assert watched.series("rexray_calls_total")["200", "docker", "other"] == WORDS * 3
    platform = watched.series("rexray_platform_calls_total")
    assert len({labels[0] for labels in platform}) == len(platform) == WORDS + 1
    assert sum(platform.values()) == WORDS * 4


@pytest.mark.parametrize("word", ["x\ny", "ü", "x" * 121, '"', "{}", "1"])
def test_words_that_are_none_are_told_as_other_ones(watched: Watched, word: str) -> None:
    with calls.call(calls.PLATFORM, word, driver=word):
        pass
    assert watched.series("rexray_platform_calls_total") == {("other", "other", "ok"): 1}


def test_counts_are_right_under_many_threads(watched: Watched) -> None:
    def work(number: int) -> None:
        for turn in range(200):
            with calls.call("csi", f"Verb{turn % 5}"), calls.call(calls.PLATFORM, "List", driver=f"d{number % 2}"):
                pass

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(work, range(32)))
    counted = watched.series("rexray_calls_total")
    assert counted == {("OK", "csi", f"Verb{verb}"): 32 * 40 for verb in range(5)}
    assert watched.series("rexray_platform_calls_total") == {("List", driver, "ok"): 3200 for driver in ("d0", "d1")}
    assert watched.series("rexray_platform_call_seconds_count") == {("List", driver): 3200 for driver in ("d0", "d1")}
    assert watched.series("rexray_calls_in_progress") == {("csi",): 0}


def test_what_dockers_calls_ask_of_csi_is_no_call_from_outside(watched: Watched) -> None:
    with ThreadPoolExecutor(1) as pool, calls.call("docker", "Mount"):
        with calls.call("csi", "NodePublishVolume"):
            pass

        def elsewhere() -> None:
            with calls.call("csi", "NodeStageVolume"), calls.call(calls.PLATFORM, "Attach", driver="d"):
                assert watched.series("rexray_platform_calls_in_progress") == {("d",): 1}

        pool.submit(calls.carried(elsewhere)).result(10)
        assert watched.series("rexray_calls_in_progress") == {("docker",): 1}
    assert watched.series("rexray_calls_total") == {("200", "docker", "Mount"): 1}
    assert watched.series("rexray_platform_calls_total") == {("Attach", "d", "ok"): 1}


def test_a_platforms_errors_are_told_by_their_class(watched: Watched) -> None:
    with pytest.raises(Unavailable), calls.call(calls.PLATFORM, "Attach", driver="d"):
        raise Unavailable("volume data is at https://user:password@array")
    assert watched.series("rexray_platform_calls_total") == {("Attach", "d", "Unavailable"): 1}
    assert "password" not in watched.get("/metrics")[2]


def test_work_that_waits_for_a_thread_is_seen_and_timed(watched: Watched) -> None:
    pool = watched.monitoring.pool(2, "docker")
    gate, entered = threading.Event(), threading.Semaphore(0)

    def work() -> bool:
        entered.release()
        return gate.wait(10)

    try:
        running = [pool.submit(work) for _ in range(2)]
        for _ in running:
            assert entered.acquire(timeout=10)
        waiting = [pool.submit(gate.wait, 10) for _ in range(5)]
        assert watched.series("rexray_queue_waiting") == {("docker",): 5}
        assert watched.series("rexray_queue_threads") == {("docker",): 2}
        assert waiting[-1].cancel()
        assert watched.series("rexray_queue_waiting") == {("docker",): 4}
        gate.set()
        assert all(done.result(10) for done in (*running, *waiting[:-1]))
        assert watched.series("rexray_queue_waiting") == {("docker",): 0}
        assert watched.series("rexray_queue_wait_seconds_count") == {("docker",): 6}
    finally:
        gate.set()
        pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(gate.wait)
    assert watched.series("rexray_queue_waiting") == {("docker",): 0}


@pytest.mark.parametrize("scope", ["thread", "process"])
def test_only_waits_for_a_lock_are_counted(watched: Watched, tmp_path: Path, scope: str) -> None:
    mine = Locks(tmp_path)
    theirs = mine if scope == "thread" else Locks(tmp_path)
    with mine.hold("data", owner="free", timeout=1):
        pass
    assert watched.series("rexray_lock_wait_seconds_count") == {}
    with ThreadPoolExecutor(1) as pool:
        with mine.hold("data", owner="first", timeout=1):
            with pytest.raises(Busy, match="pending behind first"), theirs.hold("data", owner="late", timeout=0.02):
                pass

            def second() -> None:
                with theirs.hold("data", owner="second", timeout=10):
                    pass

            waiter = pool.submit(second)
            eventually(lambda: watched.series("rexray_lock_waiting") == {(scope,): 1})
        waiter.result(10)
    assert watched.series("rexray_lock_wait_seconds_count") == {(scope,): 2}
    assert watched.series("rexray_lock_timeouts_total") == {(scope,): 1}
    assert watched.series("rexray_lock_waiting") == {(scope,): 0}


def volume(name: str, *hosts: str) -> Volume:
    held = tuple(Attachment(volume_id=VolumeId(name), instance_id=InstanceId(host)) for host in hosts)
    return Volume(id=VolumeId(name), name=name, attachments=held)


def test_volumes_are_listed_once_in_an_interval_however_often_it_is_scraped() -> None:
    listings = []

    def listing() -> Iterator[Volume]:
        listings.append(time.time())
        with calls.call("csi", "ListVolumes"):
            pass
        yield from (volume("one", "a", "b"), volume("two", "a"), volume("three"))

    with watching(stocks=lambda: [Stock(service="fast", volumes=listing)]) as watched:
        assert listings == []
        eventually(lambda: watched.series("rexray_volumes") == {("fast",): 3})
        assert watched.series("rexray_attachments") == {("fast",): 3}
        (at,) = watched.series("rexray_inventory_timestamp_seconds").values()
        assert listings[0] <= at <= time.time()
        assert len(listings) == 1
        assert watched.series("rexray_calls_total") == {}  # nobody sent that one


def test_a_scrape_waits_for_no_platform_and_keeps_what_was_known() -> None:
    gate = threading.Event()
    answers: list[list[Volume]] = [[volume("one")]]

    def listing() -> Iterator[Volume]:
        if not answers:
            gate.wait(10)
            raise Unavailable("the platform is away")
        yield from answers.pop()

    stocks = [Stock(service="slow", volumes=listing)]
    with watching({"inventory_interval": 0.001}, stocks=lambda: stocks) as watched:
        eventually(lambda: watched.series("rexray_volumes") == {("slow",): 1})
        began = time.monotonic()
        for _ in range(5):
            assert watched.series("rexray_volumes") == {("slow",): 1}
        assert time.monotonic() - began < 5
        gate.set()
        assert watched.series("rexray_volumes") == {("slow",): 1}
        stocks.clear()  # the service was removed by a reload
        assert watched.series("rexray_volumes") == {}


def test_an_interval_of_none_lists_never() -> None:
    def listing() -> Iterator[Volume]:
        raise AssertionError("listed")

    with watching({"inventory_interval": 0.0}, stocks=lambda: [Stock(service="s", volumes=listing)]) as watched:
        assert watched.series("rexray_volumes") == {}
    assert not [thread for thread in threading.enumerate() if thread.name == "inventory"]


def test_mounts_are_those_below_the_services_directory() -> None:
    targets = {mount.target for mount in mount_table()}
    root = next(Path(target).parent for target in sorted(targets) if target.count("/") > 1)
    below = sum(target.startswith(f"{root}/") for target in targets)
    stocks = [Stock(service="here", mount_root=root), Stock(service="none", mount_root=Path("/nowhere"))]
    with watching(stocks=lambda: stocks) as watched:
        assert watched.series("rexray_mounts") == {("here",): below, ("none",): 0}


def test_repairs_and_reloads_are_counted(watched: Watched) -> None:
    assert watched.series("rexray_repairs_total") == {(): 0}
    assert watched.series("rexray_reloads_total") == {("ok",): 0, ("refused",): 0}
    watched.monitoring.repaired()
    watched.monitoring.reloaded(ok=True)
    watched.monitoring.reloaded(ok=False)
    watched.monitoring.reloaded(ok=False)
    assert watched.series("rexray_repairs_total") == {(): 1}
    assert watched.series("rexray_reloads_total") == {("ok",): 1, ("refused",): 2}


def test_every_metric_is_served_as_it_is_declared(watched: Watched) -> None:
    text = watched.get("/metrics")[2]
    for family in FAMILIES:
        assert f"# HELP {family.name} {family.help}\n" in text
        assert f"# TYPE {family.name} {family.kind}\n" in text
        assert f"| `{family.name}` | {family.kind} |" in table()
        assert family.name.endswith("_total") == (family.kind == "counter")
    ours = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE rexray_")}
    assert ours == {family.name for family in FAMILIES}
    assert "process_resident_memory_bytes" in text
    assert 'rexray_build_info{version="' in text


def test_a_reader_that_asks_for_openmetrics_gets_it(watched: Watched) -> None:
    status, content_type, text = watched.get("/metrics", accept="application/openmetrics-text;version=1.0.0")
    assert (status, content_type.partition(";")[0]) == (200, "application/openmetrics-text")
    assert text.endswith("# EOF\n")


OFF = """
import sys
from rexray_server.monitoring.monitor import Monitoring
from rexray_server.monitoring.settings import MonitoringSettings

monitoring = Monitoring(MonitoringSettings(), tuple, lambda: True)
monitoring.start()
with monitoring.pool(2, "docker") as pool:
    assert type(pool).__name__ == "ThreadPoolExecutor"
monitoring.repaired()
monitoring.reloaded(ok=True)
monitoring.close()
heavy = ("prometheus_client", "opentelemetry", "http.server", "grpc", "werkzeug")
sys.exit(" ".join(name for name in heavy if name in sys.modules) or 0)
"""


def test_monitoring_that_is_off_imports_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
