"""What a driver asks of its platform is told to observers, in whichever thread it is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rexray import calls
from rexray.csi.bridge.waiting import Waiting
from rexray.deadlines import within
from rexray.http import NotSent, Server
from rexray.testing.ports import lasting_port


class Told:
    """The platform calls that an observer met: the driver, the call, the error that ended it, the request's id."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.ids: set[str] = set()

    @contextmanager
    def __call__(self, call: calls.Call) -> Iterator[None]:
        error = ""
        try:
            yield
        except BaseException as caught:
            error = type(caught).__name__
            raise
        finally:
            if call.kind == calls.PLATFORM:
                self.calls.append((call.driver, call.verb, error))
                self.ids.add(call.request_id)


@pytest.fixture
def told() -> Iterator[Told]:
    found = Told()
    end = calls.observe(found)
    yield found
    end()


class Handler(BaseHTTPRequestHandler):
    """Answers with the status that the last part of the path is."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.partition("?")[0].rpartition("/")[2]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield Server(f"http://127.0.0.1:{site.server_port}", prefix="acme", insecure=True)
        site.shutdown()


def test_each_request_is_a_call_of_the_platform_by_its_kind_and_a_refusal_has_failed(
    server: Server, told: Told
) -> None:
    with calls.call("docker", "Remove", request_id="r-1"):
        assert server.send("GET", "/api/instances/Volume::3fa/action/200", query=[("name", "data")]).status == 200
        assert server.send("DELETE", "/api/json/v2/types/volumes/404").status == 404
    assert told.calls == [
        ("acme", "GET /api/instances/Volume::*/action/*", ""),
        ("acme", "DELETE /api/json/v2/types/volumes/*", "_Refused"),
    ]
    assert told.ids == {"r-1"}


def test_each_attempt_is_a_call(told: Told) -> None:
    server = Server(f"https://127.0.0.1:{lasting_port()}", prefix="acme")
    with pytest.raises(NotSent):
        server.send("GET", "/api/volumes", seconds=0.1)
    assert set(told.calls) == {("acme", "GET /api/volumes", "NotSent")}


@pytest.mark.parametrize(
    "path",
    ["/volumes/my-volume", "/volumes/0af3", "/volumes/a%20b", "/volumes/d.b", "/volumes/é", "/volumes/Volume::x"],
)
def test_no_name_or_id_is_a_part_of_the_kind(told: Told, path: str) -> None:
    server = Server(f"https://127.0.0.1:{lasting_port()}", prefix="acme")
    with pytest.raises(NotSent):
        server.send("GET", path, seconds=0.1, once=True)
    assert told.calls[0][1] in ("GET /volumes/*", "GET /volumes/Volume::*")


def ask() -> None:
    with calls.call(calls.PLATFORM, "Ask", driver="acme"):
        pass


def test_work_with_a_deadline_is_the_callers(told: Told) -> None:
    with calls.call("docker", "Mount", request_id="r-2"):
        within(10, "ask", ask)
    assert told.ids == {"r-2"}


def test_work_that_may_outlast_a_call_is_that_of_who_began_it(told: Told) -> None:
    with calls.call("csi", "CreateVolume", request_id="r-3"):
        Waiting().wait("key", ask, seconds=10, action="ask")
    assert told.ids == {"r-3"}
