"""Deadlines: a server that no longer answers costs its own callers their patience, and nobody else anything."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from linux_parts import HungFuse, Loop, at_most
from rexray.deadlines import within
from rexray.errors import Busy, RexrayError, TimedOut
from rexray_os_linux.deadlines import Deadlines
from rexray_os_linux.driver import LinuxOS


@pytest.fixture
def impatient() -> LinuxOS:
    return LinuxOS(Deadlines(system_call=0.3))


@pytest.mark.needs("loop", "mkfs.ext4")
def test_statistics_of_a_hung_filesystem_time_out_while_others_work(
    impatient: LinuxOS, hung: HungFuse, loop: Loop, home: Path
) -> None:
    with at_most(2), pytest.raises(TimedOut, match=r"no answer within 0.3 s"):
        impatient.filesystem_stats(hung.target)
    threads = threading.active_count()
    with at_most(0.25), pytest.raises(Busy, match="has hung in the kernel"):
        impatient.filesystem_stats(hung.target)
    assert threading.active_count() == threads
    with at_most(1):
        impatient.format(loop.device, "ext4")
        impatient.mount(loop.device, home / "m", fs_type="ext4")
        assert impatient.filesystem_stats(home / "m").total_bytes > 0
        impatient.unmount(home / "m")
    with at_most(1):
        assert impatient.mounted(hung.target)
        assert impatient.mounts(target=hung.target)[0].fs_type == "fuse"
        assert impatient.mounts(source="hung")
    hung.close()
    time.sleep(0.1)
    with pytest.raises(RexrayError, match="not connected"):
        impatient.filesystem_stats(hung.target)


@pytest.mark.needs("root")
def test_freezing_a_hung_filesystem_times_out(impatient: LinuxOS, hung: HungFuse) -> None:
    with at_most(2), pytest.raises(TimedOut):
        impatient.freeze(hung.target)


@pytest.mark.needs("root")
def test_a_hung_filesystem_that_nobody_uses_is_unmounted(impatient: LinuxOS, hung: HungFuse) -> None:
    with at_most(1):
        impatient.unmount(hung.target)
    assert not impatient.mounted(hung.target)


@pytest.mark.needs("loop")
def test_an_unmount_that_hangs_times_out(impatient: LinuxOS, loop: Loop, home: Path) -> None:
    """A FUSE filesystem on a block device is asked to let go of it, and the kernel waits for the answer."""
    server = HungFuse(home / "hung", loop.path)
    try:
        with at_most(2), pytest.raises(TimedOut, match="cannot unmount"):
            impatient.unmount(server.target)
        with at_most(0.25), pytest.raises(Busy):
            impatient.unmount(server.target)
    finally:
        server.close()


def test_what_an_abandoned_call_brings_is_undone() -> None:
    answer, undone = threading.Event(), threading.Event()
    with pytest.raises(TimedOut):
        within(0.05, "wait", answer.wait, undo=lambda result: undone.set() if result else None)
    answer.set()
    assert undone.wait(5)
    for _ in range(50):
        try:
            assert within(1, "wait", lambda: "well") == "well"
            break
        except Busy:
            time.sleep(0.02)
    else:
        pytest.fail("the action stays busy")


def test_calls_of_one_action_take_turns_and_errors_arrive() -> None:
    running: list[int] = []
    most: list[int] = []

    def work() -> None:
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()

    threads = [threading.Thread(target=within, args=(5, "take turns", work)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5
    with pytest.raises(ZeroDivisionError):
        within(1, "divide", lambda: 1 // 0)


def test_a_second_caller_has_a_deadline_of_its_own() -> None:
    answer = threading.Event()
    first = threading.Thread(target=within, args=(5, "share", answer.wait))
    first.start()
    try:
        with at_most(2), pytest.raises(TimedOut, match="earlier attempt"):
            within(0.1, "share", lambda: None)
    finally:
        answer.set()
        first.join()
