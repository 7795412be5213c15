"""Who is told of calls, and by which request id."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rexray import calls


def test_a_call_within_another_bears_its_request_id() -> None:
    with calls.call("docker", "Mount") as outer, calls.call("platform", "AttachVolume", driver="ec2") as inner:
        assert calls.current() is inner
        assert inner.request_id == outer.request_id != ""
    assert calls.current() is None


def test_a_call_knows_the_one_around_it_and_the_trace_of_its_caller() -> None:
    with calls.call("docker", "Mount", traceparent="00-1-2-01") as outer:
        with calls.call("csi", "NodePublishVolume") as inner:
            assert inner.within is outer
            assert inner.traceparent == ""
        with calls.call("csi", "NodeGetInfo") as inner:
            assert inner.within is outer
        assert (outer.within, outer.traceparent) == (None, "00-1-2-01")


def test_an_id_that_the_caller_gave_is_kept_and_others_are_new() -> None:
    with calls.call("csi", "Probe", request_id="r-1") as given:
        assert given.request_id == "r-1"
    with calls.call("csi", "Probe") as first:
        pass
    with calls.call("csi", "Probe") as second:
        assert len({first.request_id, second.request_id, ""}) == 3


def test_an_observer_is_around_each_call_and_meets_its_error_until_it_is_taken_away() -> None:
    seen: list[str] = []

    @contextmanager
    def observer(call: calls.Call) -> Iterator[None]:
        seen.append(f"begin {call.verb}")
        try:
            yield
        except ValueError as error:
            seen.append(f"{call.verb}: {error}")
            raise

    forget = calls.observe(observer)
    try:
        with pytest.raises(ValueError, match="broken"), calls.call("docker", "Mount"):
            raise ValueError("broken")
    finally:
        forget()
    with calls.call("docker", "Path"):
        pass
    assert seen == ["begin Mount", "Mount: broken"]


def test_another_thread_works_on_the_call_only_if_it_is_carried_there() -> None:
    seen: list[object] = []
    with calls.call("docker", "Mount") as made:
        for function in (calls.carried(lambda: seen.append(calls.current())), lambda: seen.append(calls.current())):
            thread = threading.Thread(target=function)
            thread.start()
            thread.join()
    assert seen == [made, None]
