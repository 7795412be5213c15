"""Many questions in few calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from rexray.errors import Unavailable
from rexray_driver_ec2.batching import Batcher


class Questions:
    """What was asked for, call by call; knows every key but ``missing``."""

    def __init__(self) -> None:
        self.calls: list[set[str]] = []
        self.slow = 0.0
        self.broken = False

    def fetch(self, keys: Collection[str]) -> Mapping[str, str]:
        self.calls.append(set(keys))
        time.sleep(self.slow)
        if self.broken:
            raise Unavailable("no answer")
        return {key: key.upper() for key in keys if key != "missing"}


def test_one_question_is_one_call_at_once() -> None:
    questions = Questions()
    batcher = Batcher(questions.fetch, most=10)
    start = time.monotonic()
    assert batcher.get("a") == "A"
    assert time.monotonic() - start < 0.05
    assert questions.calls == [{"a"}]


def test_what_does_not_exist_is_none() -> None:
    assert Batcher(Questions().fetch, most=10).get("missing") is None


def test_questions_of_many_threads_share_calls() -> None:
    questions = Questions()
    questions.slow = 0.02
    batcher = Batcher(questions.fetch, most=500)
    batcher.get("first")
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda number: batcher.get(f"k{number}"), range(64)))
    assert answers == [f"K{number}" for number in range(64)]
    assert len(questions.calls) <= 4


def test_no_call_has_more_keys_than_are_allowed() -> None:
    questions = Questions()
    batcher = Batcher(questions.fetch, most=10)
    batcher.get("first")
    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(lambda number: batcher.get(f"k{number}"), range(50))) == [f"K{n}" for n in range(50)]
    assert max(map(len, questions.calls)) <= 10


def test_an_answer_is_never_older_than_its_question() -> None:
    started, go = threading.Event(), threading.Event()
    value = ["old"]

    def fetch(keys: Collection[str]) -> Mapping[str, str]:
        seen = value[0]
        started.set()
        go.wait(5)
        return dict.fromkeys(keys, seen)

    batcher = Batcher(fetch, most=10)
    with ThreadPoolExecutor(2) as pool:
        before = pool.submit(batcher.get, "a")
        assert started.wait(5)
        value[0] = "new"
        after = pool.submit(batcher.get, "a")
        time.sleep(0.05)
        go.set()
        assert (before.result(5), after.result(5)) == ("old", "new")


def test_an_error_reaches_everybody_who_asked_and_nobody_later() -> None:
    questions = Questions()
    questions.broken = True
    questions.slow = 0.05
    batcher = Batcher(questions.fetch, most=10)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(batcher.get, f"k{number}") for number in range(8)]
        for one in asked:
            with pytest.raises(Unavailable, match="no answer"):
                one.result(5)
    questions.broken = False
    assert batcher.get("a") == "A"
