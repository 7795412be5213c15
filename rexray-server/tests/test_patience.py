"""Looks at a platform that never answers."""

from __future__ import annotations

import threading
import time

import pytest

from rexray.errors import NotFound, TimedOut
from rexray_server.docker.patience import Patience


def refuse() -> str:
    raise NotFound("no such volume")


def late() -> str:
    raise TimedOut("the driver's own timeout")


def test_what_is_answered_in_time_is_the_answer_and_so_is_an_error() -> None:
    patience = Patience(5)
    assert patience.look("data", "volume 'data'", lambda: "found") == "found"
    with pytest.raises(NotFound, match="no such volume"):
        patience.look("data", "volume 'data'", refuse)
    with pytest.raises(TimedOut, match="the driver's own timeout"):
        patience.look("data", "volume 'data'", late)


def test_a_look_that_is_not_answered_ends_and_the_next_ones_fail_at_once_until_it_is() -> None:
    patience, release, done = Patience(0.2), threading.Event(), threading.Event()

    def hang() -> str:
        release.wait(30)
        done.set()
        return "found"

    with pytest.raises(TimedOut, match=r"volume 'data': no answer from the storage platform within 0\.2 s"):
        patience.look("data", "volume 'data'", hang)
    started = time.monotonic()
    for _ in range(20):
        with pytest.raises(TimedOut, match="has still not answered"):
            patience.look("data", "volume 'data'", lambda: "found")
    assert time.monotonic() - started < 0.2
    assert patience.look("other", "volume 'other'", lambda: "found") == "found"
    release.set()
    assert done.wait(5)
    deadline = time.monotonic() + 5
    while True:
        try:
            assert patience.look("data", "volume 'data'", lambda: "fresh") == "fresh"
            return
        except TimedOut:
            assert time.monotonic() < deadline
            time.sleep(0.01)
