"""Mappings that come, go or are swapped while one is made or deleted, and the LUNs that they have."""

from __future__ import annotations

import pytest

from rexray.errors import Busy, InUse, InvalidRequest, NotReady, OutOfCapacity, RexrayError
from rexray.http import NoAnswer
from rexray.types import InstanceId, VolumeId
from rexray_driver_xtremio.mapping import LUNS
from rexray_driver_xtremio.storage import XtremIoStorage
from xms_parts import Xms
from xtremio_parts import HERE, THERE, after, changes, driver, fails, map_there, maps, spec, swap


def test_a_mapping_of_what_only_has_the_name_is_taken_back(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    storage.create(spec("other", 1))
    storage.attach(storage.create(spec("more", 1)).id, HERE)
    after(xms, "GET lun-maps", lambda: after(xms, "GET volumes", lambda: swap(xms, "data", "other")))
    fails(Busy, "unmapped from", lambda: storage.attach(made.id, HERE))
    assert maps(xms) == [("more", HERE)]


def test_an_unmap_looks_again_after_the_array_was_busy(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    storage.attach(made.id, HERE)
    other = driver(xms)

    def intrude() -> None:
        other.detach(made.id)
        other.remove(made.id)
        other.attach(other.create(spec("other", 1)).id, HERE)

    xms.busy(1, "DELETE", "lun-maps")
    after(xms, "DELETE lun-maps", intrude)
    storage.detach(made.id, HERE)
    assert maps(xms) == [("other", HERE)]


def test_an_unmap_that_is_not_answered_is_told_and_not_repeated(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    storage.attach(made.id, HERE)
    xms.clear_calls()
    xms.drop_before("DELETE", "lun-maps")
    fails(NoAnswer, "may still be unmapped.*do not attach", lambda: storage.detach(made.id, HERE))
    assert changes(xms) == ["DELETE lun-maps"]


@pytest.mark.parametrize(("message", "kind"), [("too_many_objs", OutOfCapacity), ("system_is_busy", Busy)])
def test_force_takes_nothing_that_it_cannot_give(xms: Xms, message: str, kind: type[RexrayError]) -> None:
    storage = driver(xms, XTREMIO_BUSYTIMEOUT="300ms")
    made = storage.create(spec("data", 1))
    storage.attach(made.id, THERE)
    xms.refuse("POST", "lun-maps", message=message, times=50)
    fails(kind, message, lambda: storage.attach(made.id, HERE, force=True))
    assert maps(xms) == [("data", THERE)]


def test_force_that_cannot_take_gives_back(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    storage.attach(made.id, THERE)
    xms.refuse("DELETE", "lun-maps", message="something_new")
    fails(RexrayError, "something_new", lambda: storage.attach(made.id, HERE, force=True))
    assert maps(xms) == [("data", THERE)]


def test_a_mapping_whose_answer_was_lost_is_removed_by_the_loser(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    xms.lose_answer("POST", "lun-maps")
    after(xms, "POST lun-maps", lambda: map_there(xms, "data"))
    fails(InUse, THERE, lambda: storage.attach(made.id, HERE))
    assert maps(xms) == [("data", THERE)]


def test_a_lun_does_not_come_again_with_the_next_volume(xms: Xms, storage: XtremIoStorage) -> None:
    luns = []
    for number in range(4):
        made = storage.create(spec(f"data{number}", 1))
        luns.append(int(storage.attach(made.id, HERE).fields["lun"]))
        storage.detach(made.id, HERE)
        assert int(storage.attach(made.id, HERE).fields["lun"]) == luns[-1]
        storage.detach(made.id, HERE)
    assert len(set(luns)) > 1
    assert all(1 <= lun <= LUNS for lun in luns)


@pytest.mark.parametrize("by_another", [False, True])
def test_a_lun_that_is_taken_is_passed_over(each_xms: Xms, by_another: bool) -> None:
    """By one that was mapped before, or by one that comes between the look and the mapping."""
    storage = driver(each_xms)
    made, other = storage.create(spec("data", 1)), storage.create(spec("other", 1))
    lun = int(storage.attach(made.id, HERE).fields["lun"])
    storage.detach(made.id, HERE)
    home = each_xms.cluster()
    volume, group = home.volumes.named("other"), home.igs.named(HERE)
    assert volume is not None
    assert group is not None

    def take() -> None:
        with each_xms.store.lock:
            each_xms.store.map(home, volume, group, lun)

    if by_another and storage._xms.about.v2:
        after(each_xms, "GET lun-maps", take)
    else:
        take()
    assert int(storage.attach(made.id, HERE).fields["lun"]) == lun % LUNS + 1
    assert storage.attachments(other.id)[0].fields["lun"] == str(lun)


def test_a_group_that_has_all_luns_gets_the_arrays_choice(xms: Xms, storage: XtremIoStorage) -> None:
    storage.attach(storage.create(spec("data", 1)).id, HERE)
    xms.fill(LUNS)
    home = xms.cluster()
    group = home.igs.named(HERE)
    assert group is not None
    for lun in range(1, LUNS + 1):
        volume = home.volumes.named(f"fill-{lun - 1:05}")
        if lun not in group.mappings and volume is not None:
            xms.store.map(home, volume, group, lun)
    more = storage.create(spec("more", 1))
    assert int(storage.attach(more.id, HERE).fields["lun"]) > LUNS


def test_a_host_is_in_every_group_that_has_its_address(xms: Xms, storage: XtremIoStorage) -> None:
    for group, address in (("one", HERE), ("two", HERE.upper())):
        xms.add_initiator_group(group)
        xms.add_initiator(group, address, group)
    made = storage.create(spec("data", 1))
    map_there(xms, "data", "two")
    for force in (False, True):
        assert storage.attach(made.id, HERE, force=force).instance_id == HERE
        assert maps(xms) == [("data", "two")]
    storage.detach(made.id, HERE)
    assert maps(xms) == []


def test_a_host_whose_initiator_was_taken_out_of_its_group_is_told(xms: Xms, storage: XtremIoStorage) -> None:
    made = storage.create(spec("data", 1))
    xms.add_initiator_group("shop")
    xms.add_initiator("port", HERE, "shop")
    storage.attach(made.id, HERE)
    storage._xms.delete("initiators", "port")
    fails(NotReady, "'shop', which has no initiators", lambda: storage.detach(made.id, HERE))
    storage.detach(made.id, InstanceId("shop"))
    assert maps(xms) == []


def test_a_snapshot_is_not_detached_as_a_volume(xms: Xms, storage: XtremIoStorage) -> None:
    snapshot = storage.create_snapshot(storage.create(spec("data", 1)).id, "kept")
    map_there(xms, "kept.snap")
    fails(InvalidRequest, "id of a snapshot", lambda: storage.detach(VolumeId(snapshot.id)))
    assert maps(xms) == [("kept.snap", THERE)]
