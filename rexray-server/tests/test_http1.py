"""HTTP/1 as clients really speak it, and as they should not."""

from __future__ import annotations

import json
import re
import socket
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from server_parts import Running


def exchange(connection: socket.socket, data: bytes) -> bytes:
    """Send bytes, say no more, and read all of the answer."""
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    return answer


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
