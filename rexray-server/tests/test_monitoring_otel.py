"""Traces: which spans there are, whose they are part of, what they do not say, and that a collector gets them."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from monitoring_parts import watching
from rexray import calls
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.errors import NotFound, Unavailable
from rexray.locks import Locks
from rexray.redaction import scrub
from rexray_server.monitoring import otel
from server_parts import Running

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """The spans of every call from now on."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    end = otel.observe(provider)
    try:
        yield exporter
    finally:
        end()
        provider.shutdown()


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    finished = spans.get_finished_spans()
    assert len({span.name for span in finished}) == len(finished)
    return {span.name: span for span in finished}


def attributes(span: ReadableSpan) -> dict[str, object]:
    return {key: value for key, value in (span.attributes or {}).items() if key != "rexray.request_id"}


def test_a_docker_call_and_what_it_makes_others_do_are_one_trace(spans: InMemorySpanExporter) -> None:
    def attach() -> None:
        with pytest.raises(Unavailable), calls.call(calls.PLATFORM, "AttachVolume", driver="acme"):
            raise Unavailable("volume data: password hunter2 was of no use")

    with (
        ThreadPoolExecutor(1) as pool,
        calls.call("docker", "Mount", request_id="r1"),
        calls.call("csi", "NodeStageVolume"),
    ):
        pool.submit(calls.carried(attach)).result(10)
    found = by_name(spans)
    mount, stage, attached = found["docker Mount"], found["csi NodeStageVolume"], found["acme AttachVolume"]
    assert [span.kind for span in (mount, stage, attached)] == [SpanKind.SERVER, SpanKind.INTERNAL, SpanKind.CLIENT]
    assert mount.parent is None
    assert stage.parent is not None
    assert attached.parent is not None
    assert (stage.parent.span_id, attached.parent.span_id) == (mount.context.span_id, stage.context.span_id)
    assert {span.context.trace_id for span in found.values()} == {mount.context.trace_id}
    assert {(span.attributes or {})["rexray.request_id"] for span in found.values()} == {"r1"}
    assert attributes(attached) == {
        "rpc.system.name": "acme",
        "rpc.method": "AttachVolume",
        "error.type": "Unavailable",
    }
    assert (attached.status.status_code, attached.status.description) == (StatusCode.ERROR, None)
    assert attributes(stage) == {
        "rpc.system.name": "grpc",
        "rpc.method": "csi.v1.Node/NodeStageVolume",
        "rpc.response.status_code": "OK",
    }
    assert "hunter2" not in "".join(span.to_json() for span in found.values())


def test_a_callers_fault_is_no_error_of_ours(spans: InMemorySpanExporter) -> None:
    with pytest.raises(NotFound), calls.call("docker", "Get"):
        raise NotFound("volume 'data' does not exist")
    with pytest.raises(ValueError, match="x"), calls.call("csi", "CreateVolume"):
        raise ValueError("x")
    found = by_name(spans)
    assert attributes(found["docker Get"])["rpc.response.status_code"] == "404"
    assert found["docker Get"].status.status_code is StatusCode.UNSET
    assert attributes(found["csi CreateVolume"])["rpc.response.status_code"] == "INTERNAL"
    assert found["csi CreateVolume"].status.status_code is StatusCode.ERROR


def test_a_callers_trace_goes_on_over_http_and_grpc(spans: InMemorySpanExporter, running: Running) -> None:
    connection = running.connect()
    with connection:
        head = f"POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\ntraceparent: {TRACEPARENT}\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    with grpc.insecure_channel(f"unix:{running.path}", [("grpc.default_authority", "localhost")]) as channel:
        probe: grpc.UnaryUnaryMultiCallable[pb.ProbeRequest, bytes] = channel.unary_unary(
            rpc.PROBE.path, pb.ProbeRequest.SerializeToString
        )
        probe(pb.ProbeRequest(), timeout=10, metadata=(("traceparent", TRACEPARENT),))
        probe(pb.ProbeRequest(), timeout=10, metadata=(("traceparent", "nonsense"),))
    listed, probed, alone = spans.get_finished_spans()
    for span in (listed, probed):
        assert span.parent is not None
        assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
        assert span.kind is SpanKind.SERVER
    assert alone.parent is None


def test_a_wait_for_a_lock_is_a_span_that_names_no_volume(spans: InMemorySpanExporter) -> None:
    locks = Locks()
    taken, waiting = threading.Event(), threading.Event()

    def first() -> None:
        with locks.hold("volume secret-name", owner="first", timeout=1):
            taken.set()
            assert waiting.wait(10)

    end = calls.observe(lambda call: _Notice(waiting, call))
    try:
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(first)
            assert taken.wait(10)
            with calls.call("docker", "Mount"), locks.hold("volume secret-name", owner="second", timeout=10):
                pass
            done.result(10)
    finally:
        end()
    found = by_name(spans)
    wait = found["lock thread"]
    assert wait.parent is not None
    assert wait.parent.span_id == found["docker Mount"].context.span_id
    assert attributes(wait) == {"rexray.lock.scope": "thread"}
    assert "secret-name" not in wait.to_json()


class _Notice:
    """Tells when a wait for a lock begins."""

    def __init__(self, event: threading.Event, call: calls.Call) -> None:
        self._event = event
        self._call = call

    def __enter__(self) -> None:
        if self._call.kind == calls.LOCK:
            self._event.set()

    def __exit__(self, *_: object) -> None:
        pass


class Collector:
    """A collector of OTLP over HTTP: it keeps what was sent to it, and where."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, ExportTraceServiceRequest]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                message = ExportTraceServiceRequest.FromString(body)
                received.append((self.path, self.headers["Content-Type"], message))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


def test_a_collector_gets_the_spans_over_otlp_by_the_end() -> None:
    with Collector() as collector:
        with watching({"tracing_endpoint": f"{collector.url}/"}) as watched:
            with calls.call("docker", "Mount", request_id="r1"):
                pass
            assert watched.series("rexray_calls_total") == {("200", "docker", "Mount"): 1}
        with calls.call("docker", "Unmount"):
            pass
    ((path, content_type, message),) = collector.received
    assert (path, content_type) == ("/v1/traces", "application/x-protobuf")
    (resource,) = message.resource_spans
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "rexray"
    assert named["service.version"]
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["docker Mount"]


def test_a_collector_that_is_away_holds_no_end_up() -> None:
    with Collector() as gone:
        url = gone.url
    with watching({"tracing_endpoint": url}) as watched:
        with calls.call("docker", "Mount"):
            pass
        assert watched.get("/readyz")[0] == 200
        began = time.monotonic()
    assert time.monotonic() - began < otel.CLOSE_SECONDS + 3
    ending = [thread for thread in threading.enumerate() if thread.name == "tracing-end"]
    for thread in ending:
        thread.join(5)
    assert not any(thread.is_alive() for thread in ending)


DAEMON = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s", level=logging.INFO)
for name in sys.argv[1:]:
    sys.modules[name] = None
from rexray import calls
from rexray.settings import Sources
from rexray_server.monitoring.monitor import Monitoring
from rexray_server.monitoring.settings import MonitoringSettings

monitoring = Monitoring(Sources().load(MonitoringSettings), tuple, lambda: True)
monitoring.start()
with calls.call("docker", "Mount"):
    pass
monitoring.close()
assert "prometheus_client" not in sys.modules
"""


def run(environ: dict[str, str], home: Path, *missing: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", DAEMON, *missing],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"REXRAY_HOME": str(home), "PATH": "/usr/bin:/bin", **environ},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_without_the_packages_one_line_says_what_to_install(tmp_path: Path) -> None:
    lines = run({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, tmp_path, "opentelemetry")
    assert lines == ["WARNING no traces: OpenTelemetry is not installed"]
    assert otel.INSTALL == "pip install 'rexray-server[otel]'"


def test_opentelemetrys_own_variables_are_kept_to(tmp_path: Path) -> None:
    with Collector() as collector:
        general = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        assert run({**general, "OTEL_SDK_DISABLED": "true"}, tmp_path) == []
        assert run({**general, "OTEL_TRACES_EXPORTER": "none"}, tmp_path) == []
        assert collector.received == []
        run({**general, "OTEL_RESOURCE_ATTRIBUTES": "service.name=mine"}, tmp_path)
        run({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/own"}, tmp_path)
    assert [path for path, _, _ in collector.received] == ["/v1/traces", "/own"]
    names = [
        {each.key: each.value.string_value for each in message.resource_spans[0].resource.attributes}["service.name"]
        for _, _, message in collector.received
    ]
    assert names == ["mine", "rexray"]


def test_a_collectors_credentials_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary-token,api-key=canary-key,odd canary"
    )
    otel.start("http://127.0.0.1:1")()
    for secret in ("canary-token", "canary-key"):
        assert scrub(f"it says {secret} here") == "it says *** here"


def test_a_variable_that_opentelemetry_cannot_read_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")  # less than a batch
    with caplog.at_level(logging.INFO):
        otel.start("http://127.0.0.1:1")()
    assert "no traces: OpenTelemetry does not start" in caplog.text
