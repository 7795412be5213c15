"""Answers that are lost, and requests that are: each change is made exactly once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from rexray.errors import NotFound
from rexray.http import NoAnswer
from rexray.types import SnapshotId, VolumeId
from rexray_driver_xtremio.names import GONE
from rexray_driver_xtremio.storage import XtremIoStorage
from xms_parts import Call, Xms
from xtremio_parts import GIB, HERE, THERE, driver, fails, hosts, maps, named, spec, words


@dataclass(frozen=True)
class Change:
    prepare: Callable[[XtremIoStorage], object]
    call: Callable[[XtremIoStorage], object]
    lost: tuple[str, str]
    """The method and the type of the call whose answer is lost."""
    names: list[str]
    """The names of the volumes and snapshots at the end."""
    mapped: list[tuple[str, str]]
    old: bool = True
    """Whether an XMS below 4.0 can do it."""
    once: bool = False
    """Whether a request that was lost is not made again, but told."""


def volume(storage: XtremIoStorage, name: str = "data") -> VolumeId:
    """The volume of that name, or what it is called while it is deleted."""
    found = [*storage.volumes_named(name), *(volume for volume in storage.volumes() if volume.name.startswith(GONE))]
    return found[0].id


def snapshot(storage: XtremIoStorage) -> SnapshotId:
    return next(storage.snapshots()).id


def prepare(storage: XtremIoStorage) -> None:
    storage.create(spec("data", 1))


def prepare_snapshot(storage: XtremIoStorage) -> None:
    storage.create_snapshot(storage.create(spec("data", 1)).id, "kept")


def prepare_attached(storage: XtremIoStorage) -> None:
    storage.attach(storage.create(spec("data", 1)).id, THERE)


def prepare_group(storage: XtremIoStorage) -> None:
    storage.create_snapshot_group("both", [storage.create(spec("data", 1)).id])


def attach(storage: XtremIoStorage) -> object:
    return storage.attach(volume(storage), HERE, force=True)


def clone(storage: XtremIoStorage) -> object:
    return storage.create(spec("clone", 2, source_volume=volume(storage)))


def remove_group(storage: XtremIoStorage) -> None:
    [found] = storage.snapshots()
    storage.remove_snapshot_group(SnapshotId(found.group))


CHANGES = {
    "create": Change(lambda storage: None, prepare, ("POST", "volumes"), ["data"], []),
    "expand": Change(
        prepare, lambda storage: storage.expand(volume(storage), 2 * GIB), ("PUT", "volumes"), ["data"], []
    ),
    "remove": Change(
        prepare, lambda storage: storage.remove(volume(storage)), ("DELETE", "volumes"), [], [], once=True
    ),
    "remove, renamed": Change(prepare, lambda storage: storage.remove(volume(storage)), ("PUT", "volumes"), [], []),
    "clone": Change(prepare, clone, ("POST", "snapshots"), ["clone", "data"], []),
    "clone, changed": Change(prepare, clone, ("PUT", "volumes"), ["clone", "data"], []),
    "snapshot": Change(
        prepare,
        lambda storage: storage.create_snapshot(volume(storage), "kept"),
        ("POST", "snapshots"),
        ["data", "kept.snap"],
        [],
    ),
    "remove snapshot": Change(
        prepare_snapshot,
        lambda storage: storage.remove_snapshot(snapshot(storage)),
        ("DELETE", "volumes"),
        ["data"],
        [],
        once=True,
    ),
    "attach": Change(prepare, attach, ("POST", "lun-maps"), ["data"], [("data", HERE)]),
    "attach, new group": Change(prepare, attach, ("POST", "initiator-groups"), ["data"], [("data", HERE)]),
    "attach, new initiator": Change(prepare, attach, ("POST", "initiators"), ["data"], [("data", HERE)]),
    "attach, by force": Change(prepare_attached, attach, ("DELETE", "lun-maps"), ["data"], [("data", HERE)], once=True),
    "detach": Change(
        prepare_attached,
        lambda storage: storage.detach(volume(storage), THERE),
        ("DELETE", "lun-maps"),
        ["data"],
        [],
        once=True,
    ),
    "roll back": Change(
        prepare_snapshot,
        lambda storage: storage.rollback(volume(storage), snapshot(storage)),
        ("POST", "snapshots"),
        ["data", "kept.snap"],
        [],
        old=False,
        once=True,
    ),
    "remove group": Change(prepare_group, remove_group, ("DELETE", "volumes"), ["data"], [], old=False, once=True),
}


@pytest.mark.parametrize("fault", ["lose_answer", "drop_before", "html", "failed"])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("name", "which"),
    [(name, which) for name, change in CHANGES.items() for which in ("xms", "old_xms")[: 2 if change.old else 1]],
)
def test_what_is_not_answered_is_done_exactly_once(
    request: pytest.FixtureRequest, name: str, which: str, fault: str, times: int
) -> None:
    each_xms: Xms = request.getfixturevalue(which)
    change, storage = CHANGES[name], driver(each_xms)
    change.prepare(storage)
    method, kind = change.lost
    pattern = rf"types/{kind}(/|\?|$)"
    match fault:
        case "lose_answer":
            each_xms.lose_answer(method, pattern, times)
        case "drop_before":
            each_xms.drop_before(method, pattern, times)
        case "html":
            each_xms.html(times, method=method, pattern=pattern)
        case _:
            each_xms.refuse(method, pattern, status=500, message="failed", times=times)
    if change.once and (fault != "lose_answer" or name == "roll back"):
        before = named(each_xms), maps(each_xms)
        fails(NoAnswer, "may still be", lambda: change.call(storage))
        assert len(named(each_xms)) == len(before[0])
        assert len([call for call in each_xms.calls if words(call) == f"{method} {kind}"]) <= 2
        each_xms.faults.clear()
    change.call(storage)
    each_xms.faults.clear()
    assert named(each_xms) == change.names
    assert maps(each_xms) == change.mapped
    if change.call is attach:
        assert hosts(each_xms) == sorted({(HERE, HERE), *([(THERE, THERE)] if "force" in name else [])})


@pytest.mark.parametrize("identity", ["kept", "moved"])
def test_a_rollback_that_is_not_answered_finds_its_volume(xms: Xms, storage: XtremIoStorage, identity: str) -> None:
    xms.switches.restore_identity = identity  # type: ignore[assignment]
    prepare_snapshot(storage)
    xms.lose_answer("POST", "types/snapshots")
    fails(
        NoAnswer,
        "may still be overwritten: do not attach",
        lambda: storage.rollback(volume(storage), snapshot(storage)),
    )
    back = storage.rollback(volume(storage), snapshot(storage))
    assert list(storage.volumes_named("data")) == [back]


def test_a_group_snapshot_that_is_not_answered_is_found_by_its_name(xms: Xms, storage: XtremIoStorage) -> None:
    prepare(storage)
    xms.lose_answer("POST", "types/snapshots")
    group = storage.create_snapshot_group("both", [volume(storage)])
    assert storage.create_snapshot_group("both", [volume(storage)]) == group
    assert len(named(xms)) == 2


def test_what_is_never_answered_is_given_up_with_one_line(xms: Xms, storage: XtremIoStorage) -> None:
    prepare(storage)
    xms.drop_before("POST", "types/", 100)
    fails(NoAnswer, "POST .*volumes", lambda: storage.create(spec("more", 1)))
    fails(NoAnswer, "POST .*snapshots", lambda: clone(storage))
    assert named(xms) == ["data"]


def test_a_slow_answer_counts_as_a_lost_one(xms: Xms) -> None:
    storage = driver(xms, XTREMIO_TIMEOUT="1s")
    assert list(storage.volumes()) == []
    xms.slow("POST", "types/volumes", 3.0, after=True)
    assert storage.create(spec("data", 1)).name == "data"
    assert named(xms) == ["data"]


def test_an_initiator_whose_group_is_there_already_joins_that(each_xms: Xms) -> None:
    storage = driver(each_xms)
    prepare(storage)
    each_xms.add_initiator_group(HERE)
    attach(storage)
    assert hosts(each_xms) == [(HERE, HERE)]


def test_a_volume_of_the_name_that_appears_meanwhile_is_compared(xms: Xms, storage: XtremIoStorage) -> None:
    """What a retried request meets is not taken for its own unless it is as it was asked for."""
    xms.fill(1, prefix="x", size_gib=3)
    found = xms.cluster().volumes.named("x00000")
    assert found is not None
    xms.drop_before("POST", "types/volumes")
    result = storage.create(spec("x00000", 3))
    assert result.id == found.guid


LOOKS = {"remove": 1, "expand": 2, "attach": 2, "clone": 2, "snapshot": 2}
"""How often the volume is looked at before it is changed."""


@pytest.mark.parametrize("what", LOOKS)
def test_a_volume_whose_index_goes_to_another_one_meanwhile_is_missed(
    xms: Xms, storage: XtremIoStorage, what: str
) -> None:
    """Between the last look at it and the change, somebody removes it and somebody else makes one."""
    made = storage.create(spec("data", 1))
    looks: list[Call] = []

    def intrude(call: Call) -> None:
        if words(call) == "GET volumes":
            looks.append(call)
            if len(looks) == LOOKS[what]:
                found = xms.cluster().volumes.named("data")
                assert found is not None
                xms.store.remove_volume(xms.cluster(), found)
                xms.fill(1, prefix="other")

    xms.on_call.append(intrude)
    change: dict[str, Callable[[], object]] = {
        "expand": lambda: storage.expand(made.id, 5 * GIB),
        "attach": lambda: storage.attach(made.id, HERE),
        "clone": lambda: storage.create(spec("clone", source_volume=made.id)),
        "snapshot": lambda: storage.create_snapshot(made.id, "kept"),
    }
    if what == "remove":
        storage.remove(made.id)
    else:
        fails(NotFound, "does not exist|does not have it", change[what])
    [other] = xms.volumes()
    assert (other["name"], other["vol-size"]) == ("other00000", str(1 << 20))
    assert other["index"] == int(made.fields["index"])
    assert maps(xms) == []
