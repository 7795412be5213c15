"""How fast EC2 is called once it has throttled."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from rexray_driver_ec2.pacing import FLOOR, Pacer


def seconds_of(pacer: Pacer, action: str, calls: int) -> float:
    start = time.monotonic()
    for _ in range(calls):
        pacer.wait(action)
    return time.monotonic() - start


def test_an_action_that_was_never_throttled_is_not_held_up() -> None:
    assert seconds_of(Pacer(), "CreateVolume", 10_000) < 0.5


def test_a_throttled_action_is_slowed_and_the_others_are_not() -> None:
    pacer = Pacer()
    pacer.throttled("CreateVolume")
    assert seconds_of(pacer, "DescribeVolumes", 100) < 0.1
    assert seconds_of(pacer, "CreateVolume", 10) > 0.3


def test_no_pace_falls_below_what_ec2_gives_everybody() -> None:
    pacer = Pacer()
    for _ in range(100):
        pacer.throttled("CreateVolume")
    calls = int(2 * FLOOR)
    assert seconds_of(pacer, "CreateVolume", calls) < 1.5 * calls / FLOOR


def test_many_threads_share_one_pace() -> None:
    pacer = Pacer()
    pacer.throttled("AttachVolume")
    start = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: pacer.wait("AttachVolume"), range(16)))
    assert 0.5 < time.monotonic() - start < 4.0


def test_the_pace_rises_again_until_it_is_forgotten() -> None:
    pacer = Pacer(forget_above=FLOOR * 1.2)
    pacer.throttled("CreateVolume")
    time.sleep(0.8)
    assert seconds_of(pacer, "CreateVolume", 1000) < 0.5
