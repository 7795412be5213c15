"""Listening sockets that are passed to a process, as systemd passes them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rexray.csi.settings import Endpoint
from rexray_server.activation import Passed, matching, take

PROGRAM = """
import json, os
from rexray.csi.settings import Endpoint
from rexray_server.activation import take
found = take(os.environ)
left = sorted(name for name in os.environ if name.startswith("LISTEN_"))
inherited = [os.get_inheritable(one.descriptor) for one in found]
print(json.dumps([[one.name, str(one.endpoint)] for one in found] + left + inherited))
"""


@pytest.fixture
def listener(short_dir: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(short_dir / "a.sock"))
        listener.listen()
        yield listener


def taken(sockets: list[socket.socket], names: str, *, pid: str = "$$") -> list[object]:
    """What a process finds that was started with those sockets."""
    high = [os.dup(one.fileno()) for one in sockets]
    script = " ".join(
        [f"LISTEN_PID={pid} LISTEN_FDS={len(sockets)} LISTEN_FDNAMES={names}", 'exec "$@"']
        + [f"{3 + number}<&{descriptor}" for number, descriptor in enumerate(high)]
    )
    try:
        answer = subprocess.run(
            ["bash", "-c", script, "bash", sys.executable, "-c", PROGRAM],
            pass_fds=high,
            check=True,
            capture_output=True,
            timeout=60,
        )
    finally:
        for descriptor in high:
            os.close(descriptor)
    found: list[object] = json.loads(answer.stdout)
    return found


def test_passed_sockets_are_found_by_address_and_name_and_kept_from_children(
    listener: socket.socket, short_dir: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as second:
        port = second.getsockname()[1]
        found = taken([listener, second], "fast:slow")
    assert found == [["fast", str(short_dir / "a.sock")], ["slow", f"tcp://127.0.0.1:{port}"], False, False]


def test_what_was_passed_to_another_process_is_not_ours(listener: socket.socket) -> None:
    assert taken([listener], "fast", pid="1") == []


def test_a_socket_that_does_not_listen_is_left_alone(listener: socket.socket, short_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams, socket.socket() as unbound:
        datagrams.bind(str(short_dir / "d.sock"))
        assert [row for row in taken([datagrams, unbound, listener], "a:b:c") if row] == [
            ["c", str(short_dir / "a.sock")]
        ]


def test_nothing_passed_is_nothing_found() -> None:
    assert take({}) == ()
    assert take({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"}) == ()


def test_a_module_gets_the_socket_at_its_endpoint_before_the_one_with_its_name() -> None:
    one = Passed(name="b", descriptor=3, endpoint=Endpoint(path=Path("/run/a.sock")))
    other = Passed(name="a", descriptor=4, endpoint=Endpoint(host="127.0.0.1", port=7000))
    assert matching([one, other], "a", Endpoint(path=Path("/run/a.sock"))) is one
    assert matching([one, other], "a", Endpoint(path=Path("/run/z.sock"))) is other
    assert matching([one, other], "c", Endpoint(host="127.0.0.1", port=7000)) is other
    assert matching([one, other], "c", Endpoint(host="127.0.0.1", port=7001)) is None
