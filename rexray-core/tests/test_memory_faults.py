"""Every fault that can be injected into the platform memory does what it says, here and from another process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from test_memory_parts import HERE, MIB, Host, fresh_name

from rexray import errors
from rexray.errors import AlreadyExists, NotFound, RexrayError, TimedOut, Unavailable
from rexray.testing.memory.injecting import ANY
from rexray.testing.memory.settings import MemorySettings
from rexray.types import VolumeSpec

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RexrayError)]
SPEC = VolumeSpec(name="data", size_bytes=MIB)
LONG = 60.0
SHORT = 0.05


@pytest.fixture(params=["process", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[float], Host]:
    """A host that waits so many seconds for an answer; all hosts share a platform."""
    file, name = str(tmp_path / "platform.json") if request.param == "file" else "", fresh_name()
    return lambda timeout: Host(MemorySettings(name=name, file=file, timeout=timeout))


@pytest.fixture
def host(make: Callable[[float], Host]) -> Host:
    return make(LONG)


@pytest.fixture
def hasty(make: Callable[[float], Host]) -> Host:
    """A host that gives up soon."""
    return make(SHORT)


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_calls_fail_as_asked_and_do_nothing(host: Host, kind: type[RexrayError]) -> None:
    host.platform.fail("volume", kind, times=2, message="no luck")
    made = host.create()
    for _ in range(2):
        with pytest.raises(kind, match=r"^no luck$") as told:
            host.storage.volume(made.id)
        assert type(told.value) is kind
    assert host.storage.volume(made.id) == made


def test_a_failure_is_of_the_call_that_it_was_injected_into(host: Host) -> None:
    host.platform.fail("attach")
    made = host.create()
    with pytest.raises(Unavailable, match="attach: the platform answers Unavailable"):
        host.attach(made)
    assert host.storage.attachments(made.id) == ()
    host.platform.fail(ANY, NotFound)
    with pytest.raises(NotFound):
        host.node.instance()
    assert host.attach(made).instance_id == HERE


def test_a_call_whose_answer_is_lost_has_taken_effect_and_is_asked_again(host: Host) -> None:
    host.platform.lose_answer("create")
    with pytest.raises(Unavailable, match="the connection broke"):
        host.storage.create(SPEC)
    [made] = host.storage.volumes()
    assert host.storage.create(SPEC) == made
    steps: dict[str, Callable[[], object]] = {
        "attach": lambda: host.attach(made),
        "expand": lambda: host.storage.expand(made.id, 2 * MIB),
        "detach": lambda: host.storage.detach(made.id),
        "remove": lambda: host.storage.remove(made.id),
    }
    for call, step in steps.items():
        host.platform.lose_answer(call)
        with pytest.raises(Unavailable):
            step()
        step()
    assert list(host.storage.volumes()) == []


def test_who_does_not_wait_for_what_hangs_gets_timed_out_and_changes_nothing(host: Host, hasty: Host) -> None:
    host.platform.hang("create")
    with pytest.raises(TimedOut, match=r"create: no answer within 0.05 s"):
        hasty.storage.create(SPEC)
    host.platform.release()
    assert list(host.storage.volumes()) == []


def test_what_hangs_goes_on_when_it_is_released(host: Host) -> None:
    host.platform.hang("create")
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(host.storage.create, SPEC)
        while host.platform.state().faults:
            threading.Event().wait(0.001)
        assert list(host.storage.volumes()) == []
        host.platform.release()
        assert [made.result()] == list(host.storage.volumes())


def test_connecting_and_locating_have_the_deadline_that_they_are_given(host: Host) -> None:
    attachment = host.attach(host.create())
    host.platform.hang("connect")
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"connect: no answer within 0.05 s"):
        host.node.connect(attachment, deadline=SHORT)
    device = host.node.connect(attachment, deadline=LONG)
    host.platform.hang("locate")
    with pytest.raises(TimedOut, match=r"locate: no answer within 0.05 s"):
        host.os.locate(device, deadline=SHORT)
    assert time.monotonic() - began < LONG / 2


def test_what_is_slow_is_done_unless_it_is_too_slow(host: Host, hasty: Host) -> None:
    host.platform.slow("create", SHORT)
    began = time.monotonic()
    host.storage.create(SPEC)
    assert time.monotonic() - began >= SHORT
    host.platform.slow("remove", LONG)
    [made] = host.storage.volumes()
    with pytest.raises(TimedOut):
        hasty.storage.remove(made.id)
    assert list(host.storage.volumes()) == [made]
    assert time.monotonic() - began < LONG / 2


def test_what_acts_late_is_done_after_its_caller_gave_up(host: Host, hasty: Host) -> None:
    host.platform.act_late("create", 0.2)
    with pytest.raises(TimedOut):
        hasty.storage.create(SPEC)
    assert list(host.storage.volumes()) == []
    host.platform.settle()
    [made] = host.storage.volumes()
    assert host.storage.create(SPEC) == made


def test_a_late_create_makes_no_second_volume(host: Host, hasty: Host) -> None:
    host.platform.act_late("create", 0.2)
    with pytest.raises(TimedOut):
        hasty.storage.create(SPEC)
    made = host.storage.create(SPEC)
    host.platform.settle()
    assert list(host.storage.volumes()) == [made]


def test_waiting_for_what_is_late_ends(host: Host, hasty: Host) -> None:
    host.platform.act_late("create", LONG)
    with pytest.raises(TimedOut):
        hasty.storage.create(SPEC)
    with pytest.raises(TimedOut, match="is not done within"):
        host.platform.settle(SHORT)


def test_a_platform_that_is_down_answers_nobody_and_hosts_go_on(host: Host, tmp_path: Path) -> None:
    made = host.create()
    device = host.mount(made, tmp_path / "m")
    host.platform.go_down("maintenance until noon")
    steps: list[Callable[[], object]] = [
        lambda: host.storage.create(SPEC),
        lambda: list(host.storage.volumes()),
        lambda: host.storage.detach(made.id),
        lambda: host.storage.zones(),
    ]
    for step in steps:
        with pytest.raises(Unavailable, match=r"^maintenance until noon$"):
            step()
    host.os.write_file(tmp_path / "m/file", b"x")
    assert len(host.node.devices()) == 1
    assert host.os.device_size(device) == MIB
    host.platform.come_up()
    assert len(host.storage.attachments(made.id)) == 1


def test_faults_are_cleared(host: Host) -> None:
    host.platform.fail("create", times=9)
    host.platform.go_down()
    host.platform.clear_faults()
    assert host.create().name == "data"


def test_a_fault_in_a_change_leaves_nothing_half_done(host: Host) -> None:
    first, second = host.create("a"), host.create("b")

    def fail_midway() -> None:
        with host.platform.array() as array:
            array.remove(first.id)
            array.snap_group("group", [second.id])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_midway()
    assert list(host.storage.volumes()) == [first, second]
    assert list(host.storage.snapshots()) == []


def test_each_fault_meets_one_call_however_many_ask_at_once(host: Host) -> None:
    host.platform.fail("zones", AlreadyExists, times=5)
    start = threading.Barrier(8)

    def ask(_: int) -> bool:
        start.wait()
        try:
            host.storage.zones()
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(ask, range(8))) == [False] * 5 + [True] * 3
