"""Requests that take effect late, and repeats that meet what has changed meanwhile: no other volume is ever hit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

import xtremio_child
from rexray.errors import InUse, InvalidRequest, NotFound, RexrayError, Unavailable
from rexray.http import NoAnswer
from rexray.types import Snapshot, SnapshotId, Volume, VolumeId
from rexray_driver_xtremio.names import GONE, gone_name
from rexray_driver_xtremio.storage import XtremIoStorage
from xms_parts import Call, Xms
from xtremio_parts import (
    GIB,
    HERE,
    THERE,
    after,
    changes,
    driver,
    environ,
    fails,
    map_there,
    maps,
    named,
    of,
    outcome,
    spec,
    swap,
    words,
)


def put(xms: Xms, name: str, data: bytes) -> None:
    with xms.contents(name).open("r+b") as file:
        file.write(data)


def got(xms: Xms, name: str) -> bytes:
    with xms.contents(name).open("rb") as file:
        return file.read(5)


def rolled(xms: Xms, storage: XtremIoStorage) -> tuple[VolumeId, SnapshotId]:
    """A volume that has been written to since its snapshot."""
    made = storage.create(spec("data", 1))
    put(xms, "data", b"OLD..")
    snapshot = storage.create_snapshot(made.id, "kept")
    put(xms, "data", b"NEW..")
    return made.id, snapshot.id


@pytest.mark.parametrize("how", ["busy", "throttle"])
def test_a_restore_looks_again_before_each_try(xms: Xms, storage: XtremIoStorage, how: str) -> None:
    volume, snapshot = rolled(xms, storage)
    if how == "busy":
        xms.busy(1, "POST", "snapshots")
    else:
        xms.throttle(1, "1", "POST", "snapshots")
    after(xms, "POST snapshots", lambda: map_there(xms, "data"))
    fails(InUse, THERE, lambda: storage.rollback(volume, snapshot))
    assert got(xms, "data") == b"NEW.."


@pytest.mark.parametrize("fault", ["lose_answer", "drop_before"])
def test_a_restore_that_is_not_answered_is_asked_for_once(xms: Xms, storage: XtremIoStorage, fault: str) -> None:
    volume, snapshot = rolled(xms, storage)
    xms.clear_calls()
    getattr(xms, fault)("POST", "snapshots")
    fails(NoAnswer, "may still be overwritten: do not attach it before", lambda: storage.rollback(volume, snapshot))
    assert changes(xms) == ["POST snapshots"]


def test_a_volume_that_was_mapped_during_its_restore_is_told(xms: Xms, storage: XtremIoStorage) -> None:
    volume, snapshot = rolled(xms, storage)
    after(xms, "POST snapshots", lambda: map_there(xms, "data"))
    fails(InUse, f"attached to {THERE} while it was rolled back", lambda: storage.rollback(volume, snapshot))


def test_a_restored_volume_is_not_taken_for_one_that_only_has_its_name(xms: Xms, storage: XtremIoStorage) -> None:
    volume, snapshot = rolled(xms, storage)
    other = driver(xms)

    def intrude() -> None:
        other.remove(volume)
        other.create(spec("data", 1))

    after(xms, "POST snapshots", intrude)
    fails(Unavailable, "is not known", lambda: storage.rollback(volume, snapshot))


def test_a_restore_by_names_that_were_swapped_hits_no_other_volume(xms: Xms, storage: XtremIoStorage) -> None:
    volume, snapshot = rolled(xms, storage)
    storage.create(spec("clone", source_volume=volume))
    put(xms, "clone", b"CLONE")
    xms.busy(1, "POST", "snapshots")
    after(xms, "POST snapshots", lambda: swap(xms, "data", "clone"))
    assert storage.rollback(volume, snapshot).name == "aside"
    assert (got(xms, "data"), got(xms, "aside")) == (b"CLONE", b"OLD..")


@pytest.mark.parametrize("what", ["volume", "snapshot"])
def test_a_late_delete_does_not_hit_what_was_made_anew_under_the_name(xms: Xms, what: str) -> None:
    hasty, other = driver(xms, XTREMIO_TIMEOUT="1s"), driver(xms)
    made = other.create(spec("data", 1))
    late = threading.Event()
    xms.on_call.append(lambda call: late.set() if words(call) == "DELETE volumes" and "late" in told else None)
    told: list[str] = []
    remove: Callable[[], object]
    again: Callable[[], Volume | Snapshot]
    if what == "snapshot":
        kept = other.create_snapshot(made.id, "kept").id
        remove, again = partial(hasty.remove_snapshot, kept), partial(other.create_snapshot, made.id, "kept")
    else:
        remove, again = partial(hasty.remove, made.id), partial(other.create, spec("data", 1))
    xms.slow("DELETE", "volumes", 3)
    fails(NoAnswer, "may still be deleted", remove)
    told.append("late")
    new = again()
    assert late.wait(20)
    names = {"volume": ["data"], "snapshot": ["data", "kept.snap"]}[what]
    assert named(xms) == names
    assert new.id == again().id


def test_a_delete_that_is_busy_is_not_made_of_what_got_the_name(xms: Xms, storage: XtremIoStorage) -> None:
    storage.create(spec("other", 1))
    made = storage.create(spec("data", 1))
    xms.busy(1, "PUT", "volumes")
    after(xms, "PUT volumes", lambda: swap(xms, "data", "other"))
    storage.remove(made.id)
    assert named(xms) == ["data"]


@pytest.mark.parametrize("delete_mapped", ["refuse", "cascade"])
def test_what_is_mapped_while_a_delete_is_busy_stays_and_keeps_its_name(
    xms: Xms, storage: XtremIoStorage, delete_mapped: str
) -> None:
    xms.switches.delete_mapped = delete_mapped  # type: ignore[assignment]
    made = storage.create(spec("data", 1))
    xms.busy(1, "DELETE", "volumes")
    after(xms, "DELETE volumes", lambda: map_there(xms, gone_name(made.id, snapshot=False)))
    fails(InUse, THERE, lambda: storage.remove(made.id))
    assert maps(xms) == [("data", THERE)]


def test_a_volume_that_the_array_does_not_delete_gets_its_name_back(each_xms: Xms) -> None:
    each_xms.switches.delete_with_snapshots = False
    storage = driver(each_xms)
    made = storage.create(spec("data", 1))
    storage.create(spec("clone", **of(made)))
    fails(InUse, "clone", lambda: storage.remove(made.id))
    assert named(each_xms) == ["clone", "data"]


def test_who_removes_again_after_a_kill_finds_the_volume_by_its_id(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    xtremio_child.run(environ(xms), ("remove", {"volume_id": made.id}), "xtremio-gone-asked")
    assert [volume.name for volume in storage.volumes()] == [GONE + made.id]
    storage.remove(made.id)
    assert named(xms) == []


def test_a_snapshot_set_that_got_members_while_its_delete_was_busy_stays(xms: Xms, storage: XtremIoStorage) -> None:
    xms.switches.empty_sets = "kept"
    made = storage.create(spec("data", 1))
    group = storage.create_snapshot_group("both", [made.id])
    xms.busy(1, "DELETE", "snapshot-sets")
    after(xms, "DELETE snapshot-sets", lambda: driver(xms).create_snapshot_group("both", [made.id]))
    storage.remove_snapshot_group(group.id)
    assert len(named(xms)) == 2


def test_a_group_of_which_one_snapshot_cannot_be_deleted_stays_whole(xms: Xms, storage: XtremIoStorage) -> None:
    xms.switches.delete_with_snapshots = False
    volumes = [storage.create(spec(name, 1)).id for name in ("first", "second")]
    group = storage.create_snapshot_group("both", volumes)
    before = named(xms)
    for number, snapshot in enumerate(group.snapshots):
        clone = storage.create(spec(f"clone{number}", source_snapshot=snapshot.id))
        fails(InUse, f"clone{number}", lambda: storage.remove_snapshot_group(group.id))
        storage.remove(clone.id)
    assert named(xms) == before


def test_a_change_by_name_looks_again_after_the_array_was_busy(xms: Xms, storage: XtremIoStorage) -> None:
    made, other = storage.create(spec("data", 1)), storage.create(spec("other", 1))
    xms.busy(1, "PUT", "volumes")
    after(xms, "PUT volumes", lambda: swap(xms, "data", "other"))
    assert storage.expand(made.id, 5 * GIB).size_bytes == 5 * GIB
    assert storage.volume(other.id).size_bytes == GIB


def test_a_copy_of_what_only_has_the_name_is_deleted(each_xms: Xms) -> None:
    storage = driver(each_xms)
    made = storage.create(spec("data", 1))
    storage.create(spec("other", 1))
    looks: list[Call] = []

    def intrude(call: Call) -> None:
        if words(call) == "GET volumes" and call.status == 200:
            looks.append(call)
            if len(looks) == 1:
                swap(each_xms, "data", "other")

    each_xms.on_call.append(intrude)
    fails(NotFound, "renamed or removed", lambda: storage.create_snapshot(made.id, "kept"))
    assert named(each_xms) == ["aside", "data"]


@pytest.mark.parametrize("what", ["create", "expand", "remove", "detach", "rollback", "remove_snapshot"])
def test_a_refusal_that_comes_as_a_success_is_one(xms: Xms, storage: XtremIoStorage, what: str) -> None:
    volume, snapshot = rolled(xms, storage)
    map_there(xms, "data") if what == "detach" else None
    calls: dict[str, Callable[[], object]] = {
        "create": lambda: storage.create(spec("more", 1)),
        "expand": lambda: storage.expand(volume, 2 * GIB),
        "remove": lambda: storage.remove(volume),
        "detach": lambda: storage.detach(volume),
        "rollback": lambda: storage.rollback(volume, snapshot),
        "remove_snapshot": lambda: storage.remove_snapshot(snapshot),
    }
    xms.refuse("POST|PUT|DELETE", ".*", status=200, message="internal_error", times=100)
    fails(RexrayError, "internal_error", calls[what])
    assert (named(xms), got(xms, "data")) == (["data", "kept.snap"], b"NEW..")


def test_what_is_a_copy_of_nothing_is_a_volume_whatever_it_is_called(each_xms: Xms) -> None:
    storage = driver(each_xms)
    each_xms.store.add_volume(each_xms.cluster(), name="prod.snap", kib=1 << 20)
    assert list(storage.snapshots()) == []
    [found] = storage.volumes()
    fails(InvalidRequest, "id of a volume", lambda: storage.remove_snapshot(SnapshotId(found.id)))
    assert named(each_xms) == ["prod.snap"]


@pytest.mark.parametrize(
    ("secret", "before"), [("secret-of-chap-123456", "x" * 290), ("secret  of  chap", "bad value:")]
)
def test_a_secret_is_hidden_wherever_a_message_is_cut(xms: Xms, secret: str, before: str) -> None:
    storage = driver(xms, XTREMIO_CHAPUSER="me", XTREMIO_CHAPPASSWORD=secret)
    made = storage.create(spec("data", 1))
    xms.refuse("POST", "initiators", message=f"{before} {secret}")
    result = outcome(lambda: storage.attach(made.id, HERE))
    assert isinstance(result, RexrayError)
    assert "secret" not in f"{result} {result.__cause__}"
