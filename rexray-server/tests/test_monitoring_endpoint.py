"""Where metrics and health are served: to whom, at which address, and beside readers that are slow, stuck or many."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import stat
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from monitoring_parts import MODULE, watching
from rexray.csi.settings import Endpoint
from rexray.errors import SettingsError
from rexray.redaction import register
from rexray.settings import Sources
from rexray_server.monitoring.listener import CONNECTIONS, Listener, Reply
from rexray_server.monitoring.monitor import Monitoring
from rexray_server.monitoring.settings import MonitoringSettings
from rexray_server.monitoring.state import DEGRADED, STARTING


def test_health_is_whether_the_event_loop_turns() -> None:
    with watching() as watched:
        assert watched.get("/healthz")[::2] == (200, "ok\n")
        watched.alive[0] = False
        assert watched.get("/healthz")[::2] == (503, "the event loop does not turn\n")


def test_ready_is_when_every_module_is() -> None:
    with watching() as watched:
        assert watched.get("/readyz")[::2] == (200, "ready\n")
        watched.modules += [
            replace(MODULE, name="fast", state=DEGRADED, reason="the platform is\naway"),
            replace(MODULE, name="slow", state=STARTING),
        ]
        assert watched.get("/readyz")[::2] == (503, "fast: degraded: the platform is away\nslow: starting\n")
        watched.modules.clear()
        assert watched.get("/readyz")[::2] == (503, "no module is started\n")


def test_readiness_in_json_has_every_module() -> None:
    with watching() as watched:
        watched.modules.append(replace(MODULE, name="fast", state=DEGRADED, reason="away"))
        for path, accept in (("/readyz?verbose", ""), ("/readyz", "application/json")):
            status, content_type, body = watched.get(path, accept)
            assert (status, content_type) == (503, "application/json")
            content = json.loads(body)
            assert content["ready"] is False
            assert [(each["name"], each["state"], each["reason"]) for each in content["modules"]] == [
                ("default", "ready", ""),
                ("fast", "degraded", "away"),
            ]


def test_no_secret_is_told_as_a_reason() -> None:
    register("hunter2-of-the-array")
    with watching() as watched:
        watched.modules[0] = replace(MODULE, state=DEGRADED, reason="no answer to hunter2-of-the-array")
        for path in ("/readyz", "/readyz?verbose"):
            assert "no answer to ***" in watched.get(path)[2]


def test_other_paths_and_methods_are_refused() -> None:
    with watching() as watched:
        assert watched.get("/")[::2] == (404, "there are /metrics, /healthz and /readyz\n")
        assert watched.monitoring.listener is not None
        connection = http.client.HTTPConnection(*watched.monitoring.listener.address, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", "/metrics", b"x")
            assert connection.getresponse().status == 501
            connection.close()
            connection.request("HEAD", "/healthz")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
            connection.close()
            connection.putrequest("GET", "http://[/metrics", skip_host=True)
            connection.endheaders()
            assert connection.getresponse().status == 400


def test_what_fails_in_an_answer_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    def state() -> tuple[()]:
        raise ValueError("broken")

    monitoring = Monitoring(MonitoringSettings(address="127.0.0.1:0"), state, lambda: True)
    monitoring.start()
    try:
        assert monitoring.listener is not None
        connection = http.client.HTTPConnection(*monitoring.listener.address, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/readyz")
            assert connection.getresponse().status == 500
    finally:
        monitoring.close()
    assert "no answer" in caplog.text


def test_slow_readers_keep_no_scrape_out() -> None:
    with watching() as watched, contextlib.ExitStack() as stack:
        assert watched.monitoring.listener is not None
        for number in range(CONNECTIONS * 3):
            slow = stack.enter_context(socket.create_connection(watched.monitoring.listener.address, 10))
            slow.sendall(b"GET /metrics HTTP/1.1\r\nHost" if number % 2 else b"")
            if number % 8 == 0:
                began = time.monotonic()
                assert watched.get("/healthz")[0] == 200
                assert time.monotonic() - began < 2
        readers = [thread for thread in threading.enumerate() if thread.name == "monitoring-reader"]
        assert len(readers) <= CONNECTIONS + 2  # those that made way may not have noticed yet
        assert watched.scrape()
        stack.close()
        assert watched.get("/readyz")[0] == 200


def test_a_reader_that_never_reads_is_left() -> None:
    """Its answer is larger than what the kernel keeps for it."""
    sent = threading.Event()

    def answer(path: str, query: str, accept: str) -> Reply:
        sent.set()
        return Reply(status=200, body=b"x" * (64 << 20))

    listener = Listener(Endpoint(host="127.0.0.1", port=0), answer)
    listener.start()
    with socket.create_connection(listener.address, 10) as stuck:
        stuck.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert sent.wait(10)
        began = time.monotonic()
        listener.close()
        assert time.monotonic() - began < 3


def test_a_unix_socket_is_for_its_owner_alone_and_goes_with_the_daemon(short_dir: Path) -> None:
    path = short_dir / "metrics.sock"
    with watching({"address": f"unix://{path}"}):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(10)
            connection.connect(str(path))
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            answer = b""
            while part := connection.recv(4096):
                answer += part
        assert answer.startswith(b"HTTP/1.0 200")
        assert answer.endswith(b"\r\n\r\nok\n")
    assert not path.exists()


def test_nothing_is_served_after_the_end() -> None:
    with watching() as watched:
        assert watched.monitoring.listener is not None
        address = watched.monitoring.listener.address
        assert watched.get("/healthz")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 10)


def test_an_address_that_is_taken_stops_no_daemon_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        listener = Listener(
            Endpoint(host="127.0.0.1", port=port), lambda *_: Reply(status=200, body=b"x"), retry_seconds=0.02
        )
        listener.start()
        assert "metrics are not served" in caplog.text
    try:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                if connection.recv(100).startswith(b"HTTP/1.0 200"):
                    break
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        listener.close()


def test_an_address_that_stays_taken_does_not_hold_up_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        endpoint = Endpoint(host="127.0.0.1", port=other.getsockname()[1])
        listener = Listener(endpoint, lambda *_: Reply(status=200, body=b""))
        listener.start()
        began = time.monotonic()
        listener.close()
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(("address", "open_to_all"), [("0.0.0.0:0", True), ("127.0.0.1:0", False), ("[::1]:0", False)])
def test_an_open_address_is_warned_of(address: str, open_to_all: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), watching({"address": address}):
        assert ("metrics are open to the network" in caplog.text) == open_to_all


@pytest.mark.parametrize(
    "environ",
    [
        {"REXRAY_METRICS_ADDRESS": "127.0.0.1"},
        {"REXRAY_METRICS_ADDRESS": "127.0.0.1:99999"},
        {"REXRAY_METRICS_ADDRESS": "http://127.0.0.1:9797"},
        {"REXRAY_METRICS_INVENTORYINTERVAL": "-1s"},
        {"REXRAY_TRACING_ENDPOINT": "collector:4318"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://:x"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:hunter2@collector:4318"},
    ],
)
def test_wrong_settings_are_refused_by_their_names(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        Sources(environ=environ).load(MonitoringSettings)
    (name,) = environ
    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_addresses_are_written_with_or_without_a_scheme() -> None:
    def endpoint(address: str) -> str:
        return str(MonitoringSettings(address=address).endpoint())

    assert endpoint("127.0.0.1:9797") == endpoint("tcp://127.0.0.1:9797") == "tcp://127.0.0.1:9797"
    assert endpoint(":9797") == endpoint("9797") == "tcp://127.0.0.1:9797"
    assert endpoint("/run/x.sock") == endpoint("unix:///run/x.sock") == "/run/x.sock"
