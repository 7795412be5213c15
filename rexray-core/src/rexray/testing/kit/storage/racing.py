"""Several threads and drivers at once: what they leave is what one after another would have left."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from rexray.errors import AlreadyExists, Busy, InUse, NotFound
from rexray.testing.kit.check import Failed, expect, expect_equal
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.suites import STORAGE
from rexray.types import Volume, VolumeId

T = TypeVar("T")

THREADS = 8
_PAUSE = 0.05


@STORAGE.check()
def creates_of_one_name_at_once_make_one_volume(rig: StorageRig) -> None:
    """Eight creates of the same wish at one moment are one volume, and each returns it."""
    for _ in range(3):
        name = rig.name()
        ids = {volume.id for volume in _all(rig, *[_creating(rig, name)] * THREADS)}
        expect_equal(len(ids), 1, f"different ids that {THREADS} creates of {name!r} at once returned")
        expect_equal([volume.id for volume in rig.named(name)], list(ids), f"the volumes named {name!r} afterwards")


@STORAGE.check()
def creates_of_many_names_at_once_make_them_all(rig: StorageRig) -> None:
    """Creates of different names at one moment do not stand in each other's way."""
    names = [rig.name() for _ in range(THREADS)]
    made = _all(rig, *[_creating(rig, name) for name in names])
    expect_equal([volume.name for volume in made], names, "the names of what the creates returned")
    listed = {volume.id: volume.name for volume in rig.driver.volumes()}
    expect_equal([listed.get(volume.id) for volume in made], names, "the names that the list has of their ids")


@STORAGE.check()
def creates_by_two_drivers_at_once_make_one_volume(rig: StorageRig) -> None:
    """Two processes that create the same name at one moment get the same volume: no lock of a driver's own decides."""
    drivers = [rig.restarted(), rig.restarted()]
    for _ in range(5):
        spec = rig.spec()
        ids = {volume.id for volume in _all(rig, *[_creating_by(driver.create, spec) for driver in drivers])}
        expect_equal(len(ids), 1, f"different ids that two drivers' creates of {spec.name!r} returned")
        expect_equal([volume.id for volume in rig.named(spec.name)], list(ids), f"the volumes named {spec.name!r}")


@STORAGE.check()
def creates_of_two_sizes_at_once_make_one_volume(rig: StorageRig) -> None:
    """Of two wishes that differ, at one moment and of one name, one is made, and the other is ``AlreadyExists``."""
    for _ in range(3):
        name = rig.name()
        sizes = [rig.size_bytes, rig.size_bytes + 8 * rig.step_bytes]
        results = rig.together(*[_patient(rig, _creating(rig, name, size)) for size in sizes])
        made = [result for result in results if isinstance(result, Volume)]
        others = [result for result in results if not isinstance(result, Volume)]
        expect_equal(len(made), 1, f"volumes that two creates of {name!r} in two sizes returned, with {others}")
        expect(isinstance(others[0], AlreadyExists), f"the other create raised {others[0]!r}, not AlreadyExists")
        found = [(volume.id, volume.size_bytes) for volume in rig.named(name)]
        expect_equal(found, [(made[0].id, made[0].size_bytes)], f"the ids and sizes of the volumes named {name!r}")


@STORAGE.check()
def removes_at_once_all_succeed(rig: StorageRig) -> None:
    """Eight removes of one volume at one moment all succeed, and no other volume goes."""
    other = rig.create()
    for _ in range(3):
        volume = rig.create()
        _all(rig, *[partial(rig.driver.remove, volume.id)] * THREADS)
        left = {each.id for each in rig.driver.volumes()} & {volume.id, other.id}
        expect_equal(left, {other.id}, "what is left of two volumes of which one was removed by eight threads")


@STORAGE.check()
def a_create_beside_a_remove_leaves_one_volume_or_none(rig: StorageRig) -> None:
    """A create and a remove of one volume at one moment leave it whole or gone, and the name usable."""
    for _ in range(5):
        volume = rig.create()
        made, _ = rig.together(
            _patient(rig, _creating(rig, volume.name)), _patient(rig, partial(rig.driver.remove, volume.id))
        )
        found = rig.named(volume.name)
        expect(len(found) <= 1, f"{len(found)} volumes are named {volume.name!r}")
        for each in found:
            expect_equal(rig.driver.volume(each.id).name, volume.name, f"the name of {each.id!r}, which the list has")
        allowed = isinstance(made, (Volume, NotFound, Busy))
        expect(allowed, f"the create beside a remove raised {made!r}")
        again = rig.create(volume.name)
        expect_equal([each.id for each in rig.named(volume.name)], [again.id], "the volumes of the name, made again")


@STORAGE.check()
def an_attach_beside_a_remove_is_one_or_the_other(rig: StorageRig) -> None:
    """Of an attach and a remove at one moment, one wins: what is attached is not removed."""
    [host] = rig.hosts(1)
    for _ in range(5):
        volume = rig.create()
        attached, removed = rig.together(
            _patient(rig, partial(rig.driver.attach, volume.id, host)),
            _patient(rig, partial(rig.driver.remove, volume.id)),
        )
        if isinstance(attached, Exception):
            expect(isinstance(attached, NotFound), f"the attach raised {attached!r}, where NotFound was expected")
            expect(not isinstance(removed, Exception), f"neither was done: the remove raised {removed!r}")
            expect_equal(rig.named(volume.name), [], "the volumes of the name, whose remove succeeded")
            continue
        if isinstance(removed, Exception):
            expect(isinstance(removed, InUse), f"the remove raised {removed!r}, where InUse was expected")
            expect_equal(rig.holders(volume), {host}, "the instances that have the volume that was not removed")
            rig.driver.detach(volume.id, host)  # an instance may take few
            continue
        raise Failed("a volume was removed, and the attach at the same moment succeeded as well")


@STORAGE.check()
def a_look_up_beside_a_remove_tells_all_or_nothing(rig: StorageRig) -> None:
    """A look-up while the volume goes is the volume, whole, or ``NotFound``; so is every attachment."""
    for _ in range(3):
        volume = rig.create()
        looks: list[Callable[[], object]] = [
            partial(rig.driver.volume, volume.id),
            partial(_named, rig, volume.name),
            lambda: list(rig.driver.volumes()),
        ]
        found = rig.together(*looks, *looks, partial(rig.driver.remove, volume.id))
        wrong = [each for each in found if isinstance(each, Exception) and not isinstance(each, NotFound)]
        expect_equal(wrong, [], "what look-ups beside a remove raised")


@STORAGE.check()
def threads_get_the_answers_to_their_own_questions(rig: StorageRig) -> None:
    """A driver may be used by many threads at once: each gets what it asked for."""
    volumes = [rig.create() for _ in range(THREADS)]

    def asking(volume: Volume) -> Callable[[], set[tuple[VolumeId, str]]]:
        return lambda: {(found.id, found.name) for found in times(10, lambda: rig.driver.volume(volume.id))}

    found = rig.together(*[asking(volume) for volume in volumes])
    wanted = [{(volume.id, volume.name)} for volume in volumes]
    expect_equal(found, wanted, "the ids and names that each of the threads got")


def _named(rig: StorageRig, name: str) -> list[Volume]:
    return list(rig.driver.volumes_named(name))


def _creating(rig: StorageRig, name: str, size_bytes: int = 0) -> Callable[[], Volume]:
    return lambda: rig.create(name, size_bytes=size_bytes or rig.size_bytes)


def _creating_by(create: Callable[..., Volume], spec: object) -> Callable[[], Volume]:
    return lambda: create(spec)


def _patient(rig: StorageRig, call: Callable[[], T]) -> Callable[[], T]:
    """The call, said again while the driver is ``Busy`` with another of the same thing, which the contract allows."""

    def work() -> T:
        until = time.monotonic() + rig.patience / 4
        while True:
            try:
                return call()
            except Busy:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)

    return work


def _all(rig: StorageRig, *calls: Callable[[], T]) -> list[T]:
    """What comes of calls at one moment, all of which must succeed."""
    results = rig.together(*[_patient(rig, call) for call in calls])
    errors = [result for result in results if isinstance(result, Exception)]
    expect(not errors, f"{len(errors)} of {len(calls)} calls at once failed: {errors[:1]}")
    return [result for result in results if not isinstance(result, Exception)]
