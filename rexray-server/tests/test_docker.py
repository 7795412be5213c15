"""The Docker volume plug-in API: every call, and every kind of bad input."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from rexray import errors
from rexray.types import Volume, VolumeId
from rexray_server.docker import wire
from rexray_server.settings import ServerSettings

if TYPE_CHECKING:
    from server_parts import Running


def call(running: Running, method: str, **body: object) -> tuple[int, dict[str, object]]:
    status, answer = running.post(method, json.dumps(body).encode())
    content: dict[str, object] = json.loads(answer)
    return status, content


def test_every_call_of_the_api_answers_as_docker_expects(running: Running) -> None:
    where = "/var/lib/rexray/volumes/data"
    assert call(running, "/Plugin.Activate") == (200, {"Implements": ["VolumeDriver"]})
    assert call(running, "/VolumeDriver.Capabilities") == (200, {"Capabilities": {"Scope": "local"}})
    assert call(running, "/VolumeDriver.Create", Name="data", Opts={"size": "1"}) == (200, {})
    assert call(running, "/VolumeDriver.Create", Name="data", Opts=None) == (200, {})
    assert call(running, "/VolumeDriver.List") == (200, {"Volumes": [{"Name": "data"}]})
    assert call(running, "/VolumeDriver.Path", Name="data") == (200, {"Mountpoint": ""})
    assert call(running, "/VolumeDriver.Mount", Name="data", ID="c1") == (200, {"Mountpoint": where})
    assert call(running, "/VolumeDriver.Path", Name="data") == (200, {"Mountpoint": where})
    assert call(running, "/VolumeDriver.List") == (200, {"Volumes": [{"Name": "data", "Mountpoint": where}]})
    status, answer = call(running, "/VolumeDriver.Get", Name="data")
    assert status == 200
    assert answer == {
        "Volume": {
            "Name": "data",
            "Mountpoint": where,
            "Status": {"id": "data", "state": "attached", "size": 1},
        }
    }
    assert call(running, "/VolumeDriver.Remove", Name="data") == (409, {"Err": "volume 'data' is mounted"})
    assert call(running, "/VolumeDriver.Unmount", Name="data", ID="c1") == (200, {})
    assert call(running, "/VolumeDriver.Remove", Name="data") == (200, {})
    assert call(running, "/VolumeDriver.Get", Name="data") == (404, {"Err": "volume 'data' does not exist"})


def test_an_answer_says_its_type_and_length(running: Running) -> None:
    with running.connect() as connection:
        connection.sendall(b"POST /VolumeDriver.List HTTP/1.1\r\n\r\n")
        head, _, body = connection.recv(65536).decode().partition("\r\n\r\n")
    assert "Content-Type: application/vnd.docker.plugins.v1.1+json" in head
    assert f"Content-Length: {len(body)}" in head


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"Name": ', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100000, "not JSON"),
        (b"[]", "an array, not an object"),
        (b'"data"', "a string, not an object"),
        (b"null", "null, not an object"),
        (b'{"Name": 5}', "Name is a number"),
        (b'{"Name": ["data"]}', "Name is an array"),
        (b'{"Name": "data", "ID": {}}', "ID is an object"),
        (b'{"Name": "data", "Opts": []}', "Opts is an array"),
        (b'{"Name": "data", "Opts": {"size": 5}}', "Opts['size'] is a number"),
        (b'{"Name": "data", "Opts": {"colour": "red"}}', "unknown option 'colour'"),
        (b"{}", "Name is missing"),
        (b'{"Name": ""}', "Name is missing"),
        (b'{"Name": ".."}', "'..' is not a name"),
        (b'{"Name": "../etc"}', "contains '/'"),
        (b'{"Name": "a/b"}', "contains '/'"),
        (b'{"Name": "a\\u0000b"}', "contains '\\x00'"),
        (b'{"Name": "a\\nb"}', "contains '\\n'"),
        (b'{"Name": "a\\ud800"}', "not valid Unicode"),
        (json.dumps({"Name": "x" * 300}).encode(), "300 bytes long: at most 128"),
    ],
)
def test_bad_input_is_refused_by_one_clear_line_and_changes_nothing(running: Running, body: bytes, fault: str) -> None:
    status, answer = running.post("/VolumeDriver.Create", body)
    assert status == 400
    message = json.loads(answer)["Err"]
    assert fault in message
    assert "\n" not in message
    assert not running.volumes.known


def test_an_unknown_call_names_those_that_there_are(running: Running) -> None:
    status, answer = call(running, "/VolumeDriver.Frobnicate")
    assert status == 404
    assert "/VolumeDriver.Mount" in str(answer["Err"])


def test_another_method_than_post_is_refused(running: Running) -> None:
    status, answer = running.post("/VolumeDriver.List", method="DELETE")
    assert (status, b"by POST, not DELETE" in answer) == (405, True)


def test_docker_can_be_switched_off(serve: Callable[..., Running]) -> None:
    status, answer = serve(ServerSettings(), docker=False).post("/Plugin.Activate")
    assert status == 404
    assert "switched off" in json.loads(answer)["Err"]


def test_every_error_has_a_status() -> None:
    def tree(kind: type[errors.RexrayError]) -> list[type[errors.RexrayError]]:
        return [kind, *(found for child in kind.__subclasses__() for found in tree(child))]

    assert {wire.status_of(kind("x")) for kind in tree(errors.RexrayError)} >= {400, 404, 409, 500}


def test_names_of_any_script_come_back_as_they_went(running: Running) -> None:
    name = "données-数据-данные"
    assert call(running, "/VolumeDriver.Create", Name=name)[0] == 200
    assert call(running, "/VolumeDriver.List") == (200, {"Volumes": [{"Name": name}]})


def test_an_answer_that_cannot_be_encoded_is_an_internal_error(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    running.volumes.known["odd"] = Volume(id=VolumeId("odd"), name="no-unicode-\udcff")
    assert call(running, "/VolumeDriver.List") == (500, {"Err": "internal error: see the log of rexray"})
    assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)
    assert call(running, "/Plugin.Activate")[0] == 200


def test_an_error_whose_message_is_no_unicode_is_answered_with_what_can_be_said() -> None:
    assert json.loads(wire.fault("no volume 'données-\udcff'")) == {"Err": "no volume 'données-\\udcff'"}


def test_activate_and_capabilities_answer_while_every_thread_waits_for_a_backend(running: Running) -> None:
    with ExitStack() as stack:
        stack.enter_context(running.volumes._lock)  # a backend that hangs
        for _ in range(40):
            connection = stack.enter_context(running.connect())
            connection.sendall(b'POST /VolumeDriver.Create HTTP/1.1\r\nContent-Length: 12\r\n\r\n{"Name":"v"}')
        for _ in range(10):
            assert call(running, "/Plugin.Activate") == (200, {"Implements": ["VolumeDriver"]})
            assert call(running, "/VolumeDriver.Capabilities") == (200, {"Capabilities": {"Scope": "local"}})
        assert running.post("/Plugin.Activate", b"")[0] == 200
        assert running.post("/Plugin.Activate", b"[]")[0] == 400
