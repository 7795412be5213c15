"""Many threads and many volumes: how many calls that takes, and that nothing is lost or made twice."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from rexray.errors import RexrayError
from rexray.types import Volume
from xms_parts import Xms
from xtremio_parts import GIB, HERE, WIDTH, at_once, changes, driver, hosts, maps, named, outcome, spec

MANY = 5_000


def test_listing_takes_a_constant_number_of_calls(xms: Xms) -> None:
    storage = driver(xms)
    storage.attach(storage.create(spec("data", 1)).id, HERE)
    counts = []
    for number in (10, MANY):
        xms.fill(number, prefix=f"fill{number}-")
        xms.clear_calls()
        found = list(storage.volumes())
        assert len(list(storage.attached(HERE))) == 1
        assert list(storage.snapshots()) == []
        counts.append(len(xms.calls))
    assert len(found) == len({volume.id for volume in found}) == MANY + 11
    assert counts == [7, 7]


def test_one_of_many_volumes_takes_no_more_calls_than_one_of_few(xms: Xms) -> None:
    storage = driver(xms)
    xms.fill(MANY)
    made = storage.create(spec("data", 1))
    xms.clear_calls()
    assert storage.volume(made.id) == made
    assert list(storage.volumes_named("data")) == [made]
    storage.remove(made.id)
    assert len(xms.calls) == 2 + 4


def test_listing_by_v1_takes_a_call_more_for_each_volume(old_xms: Xms) -> None:
    storage = driver(old_xms)
    old_xms.fill(100)
    storage.capacity()
    old_xms.clear_calls()
    assert len(list(storage.volumes())) == 100
    assert len(old_xms.calls) == 101
    [one] = storage.volumes_named("fill-00050")
    old_xms.clear_calls()
    assert storage.volume(one.id) == one
    assert len(old_xms.calls) == 1


@pytest.mark.parametrize("version", ["4.0.0-64", "4.2.0-30"])
def test_volumes_that_are_made_at_once_share_the_calls_that_look_at_them(version: str) -> None:
    """The array tells no guid of what it made: one at a time, each volume takes a second call for that."""
    with Xms(version=version) as xms:
        storage = driver(xms)
        storage.create(spec("first", 1))
        xms.clear_calls()
        storage.create(spec("alone", 1))
        assert len(xms.calls) == 2
        xms.clear_calls()
        xms.slow("GET", "types/volumes", 0.2, times=1000)
        gate = threading.Barrier(WIDTH)

        def create(number: int) -> Volume:
            gate.wait(30)
            return storage.create(spec(f"data{number}", 1))

        made = at_once(create, range(WIDTH))
        assert [volume.name for volume in made] == [f"data{number}" for number in range(WIDTH)]
        assert len({volume.id for volume in made}) == WIDTH
        assert all(storage.volume(volume.id).name == volume.name for volume in made[::16])
        assert changes(xms) == ["POST volumes"] * WIDTH
        assert len(xms.calls) <= WIDTH + 4 + 8


def test_many_that_ask_for_one_volume_get_the_same(each_xms: Xms) -> None:
    storages = [driver(each_xms) for _ in range(4)]
    results = at_once(lambda number: storages[number % 4].create(spec("data", 1)), range(WIDTH))
    assert len(set(map(repr, results))) == 1
    assert named(each_xms) == ["data"]


def test_many_that_clone_and_snapshot_make_each_once(each_xms: Xms) -> None:
    storages = [driver(each_xms) for _ in range(4)]
    source = storages[0].create(spec("data", 1)).id

    def make(number: int) -> str:
        storage = storages[number % 4]
        if number % 2:
            return storage.create_snapshot(source, f"kept{number // 8}").id
        return storage.create(spec(f"clone{number // 8}", 2, source_volume=source)).id

    made = at_once(make, range(WIDTH))
    assert len(set(made)) == 16
    assert named(each_xms) == sorted(["data", *(f"kept{n}.snap" for n in range(8)), *(f"clone{n}" for n in range(8))])


def test_many_that_remove_while_others_make_never_hit_a_stranger(xms: Xms) -> None:
    """Indexes are reused at once, and every volume is removed by two."""
    storages = [driver(xms), driver(xms)]
    keep = [storages[0].create(spec(f"keep{number}", 1)) for number in range(8)]

    def churn(number: int) -> list[RexrayError]:
        failed = []
        for turn in range(6):
            made = storages[0].create(spec(f"gone{number}-{turn}", 1))
            results = [outcome(partial(each.remove, made.id)) for each in storages]
            failed += [result for result in results if isinstance(result, RexrayError)]
            keep.append(storages[1].create(spec(f"stay{number}-{turn}", 1)))
        return failed

    assert [error for errors in at_once(churn, range(16)) for error in errors] == []
    assert named(xms) == sorted(volume.name for volume in keep)


def test_no_update_is_lost_when_many_change_one_volume(xms: Xms) -> None:
    storages = [driver(xms), driver(xms)]
    made = storages[0].create(spec("data", 1))
    sizes = at_once(lambda number: storages[number % 2].expand(made.id, (number + 2) * GIB).size_bytes, range(WIDTH))
    assert all(size >= (number + 2) * GIB for number, size in enumerate(sizes))
    assert storages[0].volume(made.id).size_bytes == (WIDTH + 1) * GIB


def test_many_attach_and_detach_at_once(xms: Xms) -> None:
    storage = driver(xms)
    made = at_once(lambda number: storage.create(spec(f"data{number}", 1)), range(WIDTH))
    began = time.monotonic()

    def cycle(volume: Volume) -> int:
        for _ in range(3):
            assert storage.attach(volume.id, HERE).volume_id == volume.id
            storage.detach(volume.id, HERE)
        return len(storage.attachments(volume.id))

    assert at_once(cycle, made) == [0] * WIDTH
    assert maps(xms) == []
    assert hosts(xms) == [(HERE, HERE)]
    assert time.monotonic() - began < 60
