"""One lock per key: between threads, between processes, and after a death."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rexray import calls
from rexray.errors import Busy
from rexray.locks import WAITERS, Locks

HOLD = """
import pathlib, sys
from rexray.locks import WAITERS, Locks
with Locks(pathlib.Path(sys.argv[1])).hold("data", owner="Mount of 'data'", timeout=1):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("shared", [True, False])
def test_holders_of_one_key_never_meet(tmp_path: Path, shared: bool) -> None:
    locks = Locks(tmp_path if shared else None)
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with locks.hold("data", owner="test", timeout=30):
                inside += 1
                most = max(most, inside)
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        for task in [pool.submit(work) for _ in range(8)]:
            task.result()
    assert most == 1


def test_different_keys_do_not_wait_for_each_other() -> None:
    locks = Locks()
    with locks.hold("a", owner="first", timeout=0), locks.hold("b", owner="second", timeout=0):
        pass


def test_who_waits_too_long_is_told_for_whom() -> None:
    locks = Locks()
    held = threading.Event()
    done = threading.Event()

    def hold() -> None:
        with locks.hold("data", owner="Mount of 'data'", timeout=0):
            held.set()
            done.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)
    with (
        pytest.raises(Busy, match=r"^Remove of 'data': pending behind Mount of 'data', under way for 0\.\d s"),
        locks.hold("data", owner="Remove of 'data'", timeout=0.05),
    ):
        pass
    done.set()
    thread.join()


def test_several_keys_taken_in_any_order_do_not_deadlock() -> None:
    locks = Locks()

    def work(keys: tuple[str, str]) -> None:
        for _ in range(200):
            with locks.hold(*keys, owner="test", timeout=30):
                pass

    with ThreadPoolExecutor(4) as pool:
        for task in [pool.submit(work, keys) for keys in (("a", "b"), ("b", "a"), ("a", "a"), ("b", "b"))]:
            task.result(60)


def test_a_key_is_free_again_after_an_error() -> None:
    locks = Locks()
    with pytest.raises(RuntimeError), locks.hold("data", owner="test", timeout=0):
        raise RuntimeError
    with locks.hold("data", owner="test", timeout=0):
        pass


def test_another_process_excludes_this_one_until_it_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        locks = Locks(tmp_path)
        with (
            pytest.raises(Busy, match=rf"pending behind Mount of 'data' in process {process.pid}"),
            locks.hold("data", owner="test", timeout=0.05),
        ):
            pass
        os.kill(process.pid, signal.SIGKILL)
        start = time.monotonic()
        with locks.hold("data", owner="test", timeout=10):
            assert time.monotonic() - start < 5


def test_one_stuck_key_does_not_take_every_thread() -> None:
    locks = Locks()
    refused: list[str] = []
    done = threading.Event()

    def wait() -> None:
        try:
            with locks.hold("data", owner="Mount of 'data'", timeout=30):
                assert done.wait(30)
        except Busy as error:
            refused.append(str(error))
            if len(refused) == 40 - WAITERS - 1:
                done.set()

    with ThreadPoolExecutor(40) as pool:
        for task in [pool.submit(wait) for _ in range(40)]:
            task.result(60)
    assert len(refused) == 40 - WAITERS - 1
    assert all("others are pending behind Mount of 'data'" in message for message in refused)


COUNT = """
import pathlib, sys
from rexray.locks import Locks
locks, counter = Locks(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2])
for _ in range(200):
    with locks.hold("data", owner="count", timeout=60):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def test_processes_that_count_lose_no_count_and_leave_no_lock_file(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    folder = tmp_path / "locks"
    command = [sys.executable, "-c", COUNT, str(folder), str(counter)]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert counter.read_text() == "800"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("scope", ["thread", "process"])
def test_a_wait_for_a_lock_is_a_call_and_a_free_lock_is_none(tmp_path: Path, scope: str) -> None:
    waits: list[calls.Call] = []

    @contextlib.contextmanager
    def observer(call: calls.Call) -> Iterator[None]:
        waits.append(call)
        yield

    mine = Locks(tmp_path)
    theirs = mine if scope == "thread" else Locks(tmp_path)
    forget = calls.observe(observer)
    try:
        with mine.hold("data", owner="first", timeout=1):
            assert waits == []
            with pytest.raises(Busy, match="second: pending behind first"):
                theirs.hold("data", owner="second", timeout=0.02).__enter__()
    finally:
        forget()
    assert [(wait.kind, wait.verb, wait.driver) for wait in waits] == [(calls.LOCK, scope, "")]
