"""HTTP/1 as clients really speak it, and as they should not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rexray.types import Volume, VolumeId
from rexray_server.http1 import DEFAULT_LIMITS, Limits
from rexray_server.mux import Multiplexer
from rexray_server.settings import ServerSettings
from server_parts import Running, serving

LIST = b"POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\n\r\n"


class Scripted:
    """An application that counts its calls and answers each by a function."""

    def __init__(self, respond: Callable[[Callable[..., Any]], Iterable[bytes]], *, instant: bool = False) -> None:
        self.calls = 0
        self._respond = respond
        self._instant = instant

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.calls += 1
        return self._respond(start_response)

    def is_instant(self, environ: Mapping[str, Any]) -> bool:
        return self._instant


def ok(start_response: Callable[..., Any], size: int = 2) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", str(size))])
    return [b"x" * size]


@contextlib.contextmanager
def listening(
    folder: Path, application: Scripted, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Callable[[], socket.socket]]:
    """Serve an application, and nothing by gRPC; what connects to it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(folder / "http.sock"))
    listener.listen()

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(10)
        connection.connect(str(folder / "http.sock"))
        return connection

    with ThreadPoolExecutor(2) as pool:
        mux = Multiplexer(application=application, grpc_path=str(folder / "none"), executor=pool, limits=limits)
        thread.start()
        asyncio.run_coroutine_threadsafe(mux.start(listener), loop).result(5)
        try:
            yield connect
        finally:
            loop.call_soon_threadsafe(mux.stop_accepting)
            asyncio.run_coroutine_threadsafe(mux.drain(0.5), loop).result(5)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5)
            loop.close()


def exchange(connection: socket.socket, data: bytes) -> bytes:
    """Send bytes, say no more, and read all of the answer."""
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    answer = bytearray()
    while chunk := connection.recv(65536):
        answer += chunk
    return bytes(answer)


def test_the_seeds_socat_line_without_host_header_and_with_half_close_is_answered(running: Running) -> None:
    with running.connect() as connection:
        answer = exchange(connection, b"GET /Plugin.Activate HTTP/1.1\r\n\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"Implements": ["VolumeDriver"]}


def test_what_dockerd_sends_is_answered_again_and_again_on_one_connection(running: Running) -> None:
    request = (
        b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n"
        b"Content-Length: 26\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n\r\n"
        b'{"Name":"v1","Opts":null}\n'
    )
    with running.connect() as connection:
        for _ in range(50):
            connection.sendall(request)
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"{}")
    assert list(running.volumes.known) == ["v1"]


def test_pipelined_requests_are_answered_in_their_order(running: Running) -> None:
    def create(name: str) -> bytes:
        body = json.dumps({"Name": name}).encode()
        return b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    with running.connect() as connection:
        requests = create("aa") + create("a/b") + b"POST /VolumeDriver.List HTTP/1.0\r\n\r\n"
        answers = exchange(connection, requests)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"400", b"200"]
    assert answers.endswith(b'{"Volumes":[{"Name":"aa"}]}')


def test_a_request_that_arrives_byte_by_byte_is_answered(running: Running) -> None:
    with running.connect() as connection:
        for byte in b"\r\nPOST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}":
            connection.sendall(bytes([byte]))
            time.sleep(0.001)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_chunked_body_is_read(running: Running) -> None:
    with running.connect() as connection:
        answer = exchange(
            connection,
            b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'8\r\n{"Name":\r\n6\r\n"chk"}\r\n0\r\n\r\n',
        )
    assert answer.startswith(b"HTTP/1.1 200")
    assert "chk" in running.volumes.known


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_of_ten_megabytes_is_refused_and_the_refusal_can_be_read(running: Running, declared: bool) -> None:
    size = 10 << 20
    head = b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: x\r\n"
    if declared:
        head += b"Content-Length: %d\r\n\r\n" % size
        body = b"x" * size
    else:
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        body = b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n"
    with running.connect() as connection:
        answer = exchange(connection, head + body)
    assert answer.startswith(b"HTTP/1.1 413")
    assert "at most" in answer.decode() or "larger than" in answer.decode()
    assert not running.volumes.known


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nContent-Length: two\r\n\r\n", b"400"),
        (b"POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{}", b"400"),
        (b"POST / HTTP/1.1\r\nX: " + b"y" * 20000, b"431"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20000 + b"\r\n\r\n", b"431"),
    ],
)
def test_what_is_not_http_gets_its_status_and_the_connection_ends(running: Running, data: bytes, status: bytes) -> None:
    with running.connect() as connection:
        answer = exchange(connection, data)
    assert answer.split(b" ")[1] == status, answer
    assert b'{"Err"' in answer


def test_a_client_that_waits_for_100_continue_gets_it(running: Running) -> None:
    with running.connect() as connection:
        connection.sendall(
            b"POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(b"{}")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_head_request_gets_no_body(running: Running) -> None:
    with running.connect() as connection:
        answer = exchange(connection, b"HEAD /VolumeDriver.List HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405")
    assert answer.endswith(b"\r\n\r\n")


def test_a_stop_waits_until_a_slow_reader_has_its_whole_answer(short_dir: Path) -> None:
    names = [f"volume-{number:0100}" for number in range(20_000)]

    def read_late(connection: socket.socket) -> bytes:
        time.sleep(0.3)
        return read_all(connection)

    with ThreadPoolExecutor(1) as reader:
        with serving(short_dir, ServerSettings()) as running:
            running.volumes.known.update((name, Volume(id=VolumeId(name), name=name)) for name in names)
            connection = running.connect()
            connection.sendall(LIST)
            begin = connection.recv(1)
            rest = reader.submit(read_late, connection)
        with connection:
            answer = begin + rest.result(10)
    assert [volume["Name"] for volume in json.loads(answer.partition(b"\r\n\r\n")[2])["Volumes"]] == names


def test_a_stop_does_not_wait_longer_than_it_may_for_a_client_that_never_reads(short_dir: Path) -> None:
    with listening(short_dir, Scripted(lambda start: ok(start, 8 << 20))) as connect:
        connection = connect()
        connection.sendall(LIST)
        assert connection.recv(1) == b"H"
        stopped = time.monotonic()
    assert 0.5 <= time.monotonic() - stopped < 3
    connection.close()


def test_megabytes_of_empty_lines_are_refused_and_hold_nobody_up(running: Running) -> None:
    started = time.monotonic()
    with running.connect() as connection:
        answer = exchange(connection, b"\r\n" * (4 << 20) + LIST)
        assert running.post("/VolumeDriver.List")[0] == 200
    assert time.monotonic() - started < 2
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"empty lines" in answer


def test_a_few_empty_lines_between_requests_are_ignored(running: Running) -> None:
    with running.connect() as connection:
        answers = exchange(connection, LIST + b"\r\n\n\r\n" * 100 + LIST + b"\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200"]


@pytest.mark.parametrize("instant", [True, False])
def test_no_call_is_made_for_a_client_that_does_not_read_the_answers(short_dir: Path, instant: bool) -> None:
    application = Scripted(lambda start: ok(start, 100_000), instant=instant)
    with listening(short_dir, application) as connect, connect() as connection:
        connection.sendall(LIST * 200)
        time.sleep(0.5)
        assert application.calls < 20
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).count(b"HTTP/1.1 200") == 200
    assert application.calls == 200


def test_a_client_that_does_not_read_is_not_read_from_and_gets_all_answers_when_it_does(short_dir: Path) -> None:
    request = b"GET / HTTP/1.1\r\nX: %s\r\n\r\n" % (b"x" * 8000)
    sent = 0

    def send(connection: socket.socket) -> None:
        nonlocal sent
        for _ in range(1000):
            connection.sendall(request)
            sent += 1
        connection.shutdown(socket.SHUT_WR)

    application = Scripted(lambda start: ok(start, 8000))
    with listening(short_dir, application) as connect, connect() as connection, ThreadPoolExecutor(1) as sender:
        sending = sender.submit(send, connection)
        before = -1
        while before != sent:
            before = sent
            time.sleep(0.5)
        blocked_after = sent
        answers = read_all(connection)
        sending.result(10)
    assert blocked_after < 500
    assert answers.count(b"HTTP/1.1 200") == 1000


def fail(_: Callable[..., Any]) -> Iterable[bytes]:
    raise RuntimeError("a secret of the application's insides")


@pytest.mark.parametrize("instant", [True, False])
@pytest.mark.parametrize("respond", [fail, lambda _: [b"no status"]])
def test_an_application_that_fails_is_answered_for_and_the_connection_goes_on(
    short_dir: Path, caplog: pytest.LogCaptureFixture, respond: Callable[..., Iterable[bytes]], instant: bool
) -> None:
    with listening(short_dir, Scripted(respond, instant=instant)) as connect, connect() as connection:
        for _ in range(2):
            connection.sendall(LIST)
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 500")
            assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"Err": "internal error: see the log of rexray"}
    assert caplog.records[0].levelno == logging.ERROR
    assert caplog.records[0].exc_info


@pytest.mark.parametrize("header", [("X-Bad", "a\nb"), ("Content-Length", "5"), ("Content-Length", "many")])
def test_an_answer_that_is_not_http_ends_the_connection(short_dir: Path, header: tuple[str, str]) -> None:
    def respond(start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [header])
        return [b"{}"]

    with listening(short_dir, Scripted(respond)) as connect, connect() as connection:
        connection.sendall(LIST)
        assert connection.recv(65536) == b""


@pytest.mark.parametrize("answered", [0, 1, 3])
@pytest.mark.parametrize("part", [b"PO", LIST[:-2], b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"])
def test_every_request_of_a_connection_has_to_arrive_in_time(short_dir: Path, answered: int, part: bytes) -> None:
    with listening(short_dir, Scripted(ok), Limits(request=0.3)) as connect, connect() as connection:
        for _ in range(answered):
            connection.sendall(LIST)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        begun = time.monotonic()
        connection.sendall(part)
        assert connection.recv(65536) == b""
        assert 0.2 < time.monotonic() - begun < 3


def test_bytes_that_trickle_in_do_not_stretch_the_time_of_a_request(short_dir: Path) -> None:
    with listening(short_dir, Scripted(ok), Limits(request=0.3)) as connect, connect() as connection:
        connection.sendall(LIST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        begun = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - begun < 5:
                connection.sendall(b"P")
                time.sleep(0.05)
        assert time.monotonic() - begun < 3


def test_the_time_of_a_request_does_not_run_between_requests(short_dir: Path) -> None:
    with listening(short_dir, Scripted(ok), Limits(request=0.2)) as connect, connect() as connection:
        for _ in range(3):
            connection.sendall(LIST)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(0.5)


def test_an_idle_connection_is_let_go_after_its_own_time(short_dir: Path) -> None:
    with listening(short_dir, Scripted(ok), Limits(idle=0.3)) as connect, connect() as connection:
        connection.sendall(LIST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert connection.recv(65536) == b""
