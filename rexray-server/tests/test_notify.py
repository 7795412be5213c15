"""What the service manager is told, at real datagram sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rexray_server.notify import Notifier


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, short_dir: Path) -> Iterator[tuple[socket.socket, str]]:
    """The manager's socket, and its address as $NOTIFY_SOCKET has it."""
    address = str(short_dir / "notify") if request.param == "file" else f"@rexray-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0", 1))
        listener.settimeout(5)
        yield listener, address


def test_states_reach_the_manager_and_the_variables_are_kept_from_children(
    manager: tuple[socket.socket, str],
) -> None:
    listener, address = manager
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "X": "y"}
    notifier = Notifier.from_environ(environ)
    assert environ == {"X": "y"}
    assert notifier.watchdog == 3.0
    notifier.ready("2 of 2\nmodules ready")
    assert listener.recv(4096) == b"READY=1\nSTATUS=2 of 2 modules ready"
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    state, when = listener.recv(4096).decode().split("\n")
    assert state == "RELOADING=1"
    assert before <= int(when.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    notifier.stopping()
    assert listener.recv(4096).startswith(b"STOPPING=1\n")


def test_a_watchdog_of_another_process_is_not_fed() -> None:
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}
    assert Notifier.from_environ(environ).watchdog == 0


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_without_a_manager_nothing_is_sent(address: str) -> None:
    Notifier.from_environ({"NOTIFY_SOCKET": address}).ready("fine")


def test_a_manager_that_is_gone_fails_nothing(tmp_path: Path) -> None:
    Notifier(str(tmp_path / "gone")).ready("fine")


def test_the_watchdog_is_fed_twice_in_its_time_and_only_while_the_event_loop_turns(
    manager: tuple[socket.socket, str],
) -> None:
    listener, address = manager
    notifier = Notifier(address, watchdog=0.2)

    def drained() -> int:
        listener.setblocking(False)
        count = 0
        try:
            while listener.recv(4096) == b"WATCHDOG=1":
                count += 1
        except BlockingIOError:
            return count
        raise AssertionError("something else was sent")

    async def run() -> None:
        async with notifier.watched():
            await asyncio.sleep(0.55)
            assert 4 <= drained() <= 7
            time.sleep(0.5)  # the loop hangs in this call
            assert drained() == 0
            await asyncio.sleep(0.05)
            assert drained() >= 1

    asyncio.run(run())
