"""Device names: no two attaches have one, and what EC2 refused is left alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from rexray.errors import NotFound, OutOfCapacity
from rexray_driver_ec2.names import LARGE_RANGE, SMALL_RANGE
from rexray_driver_ec2.slots import Slots


class Instance:
    """What EC2 says an instance has in use."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.asked = 0

    def ask(self, instance_id: str) -> list[str]:
        self.asked += 1
        if instance_id != "i-1":
            raise NotFound(instance_id)
        return self.names


def test_the_preferred_name_is_taken_where_it_is_free() -> None:
    slots = Slots(Instance().ask, large=False)
    with slots.taken("i-1", "/dev/xvdk") as name:
        assert name == "/dev/xvdk"


def test_a_name_in_use_is_never_taken_whichever_way_it_is_written() -> None:
    slots = Slots(Instance("/dev/sdf", "sdg", "/dev/xvdh").ask, large=False)
    with slots.taken("i-1", "/dev/xvdf") as name:
        assert name == "/dev/xvdi"


def test_the_large_range_follows_when_the_small_one_is_used_up() -> None:
    slots = Slots(Instance(*SMALL_RANGE).ask, large=False)
    with slots.taken("i-1") as name:
        assert name == LARGE_RANGE[0]


def test_only_the_large_range_is_used_where_that_is_configured() -> None:
    with Slots(Instance().ask, large=True).taken("i-1") as name:
        assert name == LARGE_RANGE[0]


def test_attaches_at_one_time_have_different_names() -> None:
    slots = Slots(Instance().ask, large=False)
    with ExitStack() as stack:
        names = [stack.enter_context(slots.taken("i-1")) for _ in range(len(SMALL_RANGE + LARGE_RANGE))]
        assert sorted(names) == sorted(SMALL_RANGE + LARGE_RANGE)
        with pytest.raises(OutOfCapacity, match="no device name left"):
            stack.enter_context(slots.taken("i-1"))


def test_a_name_whose_attach_failed_is_free_again() -> None:
    slots = Slots(Instance().ask, large=False)
    with pytest.raises(ValueError, match="failed"), slots.taken("i-1"):
        raise ValueError("failed")
    with slots.taken("i-1") as name:
        assert name == SMALL_RANGE[0]


def test_a_refused_name_is_the_last_choice() -> None:
    slots = Slots(Instance().ask, large=False)
    slots.refused("i-1", "/dev/xvdf")
    with slots.taken("i-1") as name:
        assert name == "/dev/xvdg"
    full = Slots(Instance(*(SMALL_RANGE + LARGE_RANGE)[1:]).ask, large=False)
    full.refused("i-1", SMALL_RANGE[0])
    with full.taken("i-1") as name:
        assert name == SMALL_RANGE[0]


def test_ec2_is_asked_once_for_many_attaches_and_again_when_names_run_out() -> None:
    instance = Instance()
    slots = Slots(instance.ask, large=False)
    for _ in range(len(SMALL_RANGE + LARGE_RANGE)):
        with slots.taken("i-1"):
            pass
    assert instance.asked == 1
    with slots.taken("i-1") as name:
        assert name == SMALL_RANGE[0]
    assert instance.asked == 2


def test_many_threads_never_share_a_name() -> None:
    """Each name once: EC2 knows of none of them, so one that was given can only be given again by mistake."""

    def use(slots: Slots) -> str:
        with slots.taken("i-1") as name:
            return name

    with ThreadPoolExecutor(16) as pool:
        for _ in range(20):
            slots = Slots(Instance().ask, large=False)
            names = list(pool.map(use, [slots] * 48))
            assert len(set(names)) == len(names)


def test_an_unknown_instance_is_said_so() -> None:
    with pytest.raises(NotFound), Slots(Instance().ask, large=False).taken("i-2"):
        pass
