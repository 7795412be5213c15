"""The PID file tells the living from the dead."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rexray.errors import InUse
from rexray_server.pidfile import PidFile

HOLD = """
import pathlib, sys
from rexray_server.pidfile import PidFile
PidFile(pathlib.Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_nobody_owns_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert PidFile(tmp_path / "x.pid").owner() is None
    assert not PidFile(tmp_path / "x.pid").is_stale()


def test_a_living_owner_is_named_and_a_killed_one_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "run/x.pid"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert PidFile(path).owner() == process.pid
        with pytest.raises(InUse, match=f"PID {process.pid}"):
            PidFile(path).acquire()
        process.kill()
    assert PidFile(path).owner() is None
    assert PidFile(path).is_stale()
    taken = PidFile(path)
    taken.acquire()
    assert path.read_text() == f"{os.getpid()}\n"
    taken.release()
    assert not path.exists()


def test_a_pid_that_belongs_to_somebody_else_now_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    path.write_text(f"{os.getppid()}\n")
    assert PidFile(path).is_stale()


@pytest.mark.parametrize("content", ["", "nonsense", "\xff" * 100])
def test_whatever_a_stale_file_holds_a_new_owner_takes_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.pid"
    path.write_text(content)
    pid_file = PidFile(path)
    pid_file.acquire()
    pid_file.release()


def test_asking_for_the_owner_over_and_over_keeps_nobody_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    path.touch()
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            PidFile(path).owner()

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(100):
            pid_file = PidFile(path)
            pid_file.acquire()
            assert PidFile(path).owner() == os.getpid()
            pid_file.release()
            path.touch()
    finally:
        ended.set()
        for asker in askers:
            asker.join()
