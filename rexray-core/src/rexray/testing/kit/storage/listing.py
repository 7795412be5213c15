"""Lists and look-ups: all that is there, once, and the same wherever one asks."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from rexray.errors import InvalidRequest, NotFound
from rexray.testing.kit.check import Skipped, expect, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig
from rexray.testing.kit.suites import STORAGE
from rexray.types import AttachmentState, InstanceId, Volume, VolumeId

SOME = 3
"""How many of the volumes that are there are looked at more closely."""
UNKNOWN = ("no-such-volume", "vol-00000000000000000", "0", "ffffffffffffffff", "7d5e8d4e-0000-4000-8000-000000000000")
HOSTILE = (
    "",
    " ",
    ".",
    "..",
    "../..",
    "/",
    "a/../b",
    "a\0b",
    "a\nb",
    "*",
    "%",
    "?",
    "-rf",
    "'; DROP TABLE volumes; --",
    "%2e%2e%2f",
    "$(reboot)",
    "\N{PILE OF POO}" * 32,
    "x" * 5000,
)
"""What is no id of any platform."""


@STORAGE.check(reads_only=True)
def lists_are_iterators(rig: StorageRig) -> None:
    """Lists are iterators, which a platform with many volumes can give page by page."""
    lists = {
        "volumes": rig.driver.volumes(),
        "instances": rig.driver.instances(),
        "volumes_named": rig.driver.volumes_named("no-such-volume"),
    }
    for what, found in lists.items():
        expect(isinstance(found, Iterator), f"{what} returned a {type(found).__name__}, which is no iterator")


@STORAGE.check(reads_only=True)
def every_volume_of_the_list_is_well_formed(rig: StorageRig) -> None:
    """A volume has an id, sizes in bytes, a state, and times with a time zone."""
    for volume in rig.driver.volumes():
        expect(isinstance(volume, Volume), f"the list has {volume!r}, which is no Volume")
        expect(_is_word(volume.id), f"a volume has the id {volume.id!r}")
        expect(isinstance(volume.name, str), f"volume {volume.id!r} has the name {volume.name!r}")
        expect(isinstance(volume.size_bytes, int), f"volume {volume.id!r} has the size {volume.size_bytes!r}")
        expect(volume.size_bytes >= 0, f"volume {volume.id!r} has {volume.size_bytes} bytes")
        expect(isinstance(volume.state, AttachmentState), f"volume {volume.id!r} has the state {volume.state!r}")
        aware = volume.created is None or volume.created.tzinfo is not None
        expect(aware, f"volume {volume.id!r} was made at {volume.created}, which has no time zone")
        expect(isinstance(volume.attachments, tuple), f"the attachments of {volume.id!r} are no tuple")


@STORAGE.check(reads_only=True)
def the_list_has_every_id_once(rig: StorageRig) -> None:
    """An id is one volume's, and a list has each volume once."""
    ids = [volume.id for volume in rig.driver.volumes()]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    expect_equal(twice, [], "the ids that are in the list more than once")


@STORAGE.check(reads_only=True)
def lists_said_again_have_the_same_volumes(rig: StorageRig) -> None:
    """A volume that was there before a list and is there after it is in it."""
    first, second, third = ({volume.id for volume in rig.driver.volumes()} for _ in range(3))
    expect_equal(sorted((first & third) - second), [], "volumes that are in the list before and after, and not in it")


@STORAGE.check(reads_only=True)
def a_volume_of_the_list_can_be_looked_up(rig: StorageRig) -> None:
    """``volume`` and ``attachments`` tell of a volume what the list tells."""
    for listed in _some(rig):
        with _standing(rig, listed):
            found = rig.driver.volume(listed.id)
            expect_equal(_facts(found), _facts(listed), f"what volume tells of {listed.id!r}, by the list's words")
            told = {attachment.instance_id for attachment in rig.driver.attachments(listed.id)}
            expect_equal(told, _holders(listed), f"the instances that attachments tells of {listed.id!r}")


@STORAGE.check(reads_only=True)
def volumes_named_finds_what_the_list_has(rig: StorageRig) -> None:
    """``volumes_named`` has the volumes of exactly that name, with their attachments."""
    for listed in _some(rig):
        if not listed.name:
            continue
        with _standing(rig, listed):
            found = {each.id: each for each in rig.driver.volumes_named(listed.name)}
            expect(listed.id in found, f"volumes_named({listed.name!r}) lacks {listed.id!r}, which the list has")
            expect_equal(_facts(found[listed.id]), _facts(listed), f"what volumes_named tells of {listed.id!r}")
            others = [each.name for each in found.values() if each.name != listed.name]
            expect_equal(others, [], f"other names that volumes_named({listed.name!r}) has")


@STORAGE.check(reads_only=True)
def volumes_named_of_an_unknown_name_is_empty(rig: StorageRig) -> None:
    """No volume of a name is an empty list, and no error."""
    expect_equal(list(rig.driver.volumes_named("kit-no-such-volume")), [], "the volumes of a name that none has")


@STORAGE.check(reads_only=True)
def volumes_named_of_a_hostile_name_finds_nothing(rig: StorageRig) -> None:
    """A name is no pattern, path or command: what no volume can be called finds none, or is ``InvalidRequest``."""
    names = {volume.name for volume in rig.driver.volumes()}
    for name in HOSTILE:
        if name in names:
            continue
        with contextlib.suppress(InvalidRequest):
            found = [volume.name for volume in rig.driver.volumes_named(name)]
            expect_equal(found, [], f"the volumes named {name[:40]!r}")


@STORAGE.check()
def volumes_named_is_exact(rig: StorageRig) -> None:
    """``volumes_named`` compares whole names: no beginning, no pattern and no other case of one finds it."""
    volume = rig.create(rig.name("-Abc"))
    name = volume.name
    for other in (name[:-1], f"{name}c", name.lower(), name.upper(), f"{name} ", f"{name}*", f"{name[:-3]}*", "*", "%"):
        with contextlib.suppress(InvalidRequest):
            found = [each.id for each in rig.driver.volumes_named(other)]
            expect(volume.id not in found, f"volumes_named({other!r}) finds the volume named {name!r}")
    found = [each.id for each in rig.driver.volumes_named(name)]
    expect_equal(found, [volume.id], f"the volumes named {name!r}")


@STORAGE.check(reads_only=True)
def attached_agrees_with_the_list(rig: StorageRig) -> None:
    """``attached`` has the volumes that have an attachment to the instance in the list, and no others."""
    for instance in itertools.islice(rig.driver.instances(), SOME):
        before, told, after = _attached(rig, instance.id), _told_attached(rig, instance.id), _attached(rig, instance.id)
        expect_equal(sorted((before & after) - told), [], f"what attached lacks of {instance.id!r}")
        expect_equal(sorted(told - (before | after)), [], f"what attached has of {instance.id!r} and the list has not")


@STORAGE.check(reads_only=True)
def attached_to_an_unknown_instance_is_empty(rig: StorageRig) -> None:
    """An instance that the platform does not know has no volumes: an empty list, or ``NotFound``."""
    for word in ("kit-no-such-instance", "i-00000000000000000"):
        with contextlib.suppress(NotFound, InvalidRequest):
            found = [volume.id for volume in rig.driver.attached(InstanceId(word))]
            expect_equal(found, [], f"the volumes attached to {word!r}, which no instance is called")


@STORAGE.check(reads_only=True)
def an_unknown_id_is_not_found(rig: StorageRig) -> None:
    """``volume`` of an id that no volume has is ``NotFound``, in whatever form the platform's own ids are."""
    known = {volume.id for volume in rig.driver.volumes()}
    for word in UNKNOWN:
        if word not in known:
            with expect_raises(NotFound, what=f"looking up volume {word!r}, which does not exist,"):
                rig.driver.volume(VolumeId(word))


@STORAGE.check(reads_only=True)
def a_hostile_id_is_not_found(rig: StorageRig) -> None:
    """What no id can be is ``NotFound`` or ``InvalidRequest``, and never another volume or an error of Python's."""
    known = {volume.id for volume in rig.driver.volumes()}
    for word in HOSTILE:
        if word not in known:
            with expect_raises(NotFound, InvalidRequest, what=f"looking up volume {word[:40]!r}"):
                rig.driver.volume(VolumeId(word))


@STORAGE.check()
def an_id_that_only_resembles_one_is_not_found(rig: StorageRig) -> None:
    """A look-up compares whole ids: a beginning, a pattern or a path of one finds nothing."""
    volume = rig.create()
    for form in ("{}0", "{}*", "{} ", " {}", "{}\n", "{}/", "./{}", "{}/../{}", "{}\0"):
        like = VolumeId(form.replace("{}", volume.id))
        with expect_raises(NotFound, InvalidRequest, what=f"looking up {like!r}, where {volume.id!r} exists,"):
            rig.driver.volume(like)


@STORAGE.check()
def a_name_is_no_id_of_another_volume(rig: StorageRig) -> None:
    """Ids win: a volume whose name is another's id is never taken for that one."""
    first = rig.create()
    if first.id == first.name:
        raise Skipped("the platform's ids are names")
    with contextlib.suppress(NotFound, InvalidRequest):
        found = rig.driver.volume(VolumeId(first.name))
        expect_equal(found.id, first.id, "the volume that is found by a name, where an id was asked for")
    try:
        second = rig.create(first.id)
    except InvalidRequest:
        return
    expect(second.id != first.id, f"a volume of the name {first.id!r} is the volume of that id")
    expect_equal(rig.driver.volume(first.id).name, first.name, f"the name of volume {first.id!r}")
    rig.driver.remove(first.id)
    left = {each.id for each in rig.driver.volumes()} & {first.id, second.id}
    expect_equal(left, {second.id}, f"what is left after volume {first.id!r} was removed, whose id is another's name")


@STORAGE.check(reads_only=True)
def instances_are_told_apart(rig: StorageRig) -> None:
    """Every instance has an id of its own and says whose it is; asked again they are the same."""
    found = list(rig.driver.instances())
    for instance in found:
        expect(_is_word(instance.id), f"an instance has the id {instance.id!r}")
        expect(instance.provider, f"instance {instance.id!r} has no provider")
        expect(instance.max_volumes >= 0, f"instance {instance.id!r} can have {instance.max_volumes} volumes")
    ids = [instance.id for instance in found]
    expect_equal(len(ids), len(set(ids)), "different ids of as many instances")
    expect_equal(len({instance.provider for instance in found}) <= 1, True, "whether all have the same provider")
    again = {instance.id for instance in rig.driver.instances()}
    both = set(ids) & {instance.id for instance in rig.driver.instances()}
    expect_equal(sorted(both - again), [], "instances that are listed before and after, and not between")


@STORAGE.check(reads_only=True)
def two_drivers_list_the_same(rig: StorageRig) -> None:
    """What a driver lists is the platform's, not its own: another one has the same."""
    before, other = ({volume.id for volume in driver.volumes()} for driver in (rig.driver, rig.restarted()))
    after = {volume.id for volume in rig.driver.volumes()}
    expect_equal(sorted((before & after) - other), [], "volumes that another driver of the same settings does not list")
    expect_equal(sorted(other - (before | after)), [], "volumes that only another driver lists")


@STORAGE.check()
def many_volumes_are_all_in_the_list(rig: StorageRig) -> None:
    """The list has every volume, however many pages they fill; each once, and each by its own id."""
    made = _many(rig, rig.many)
    expect_equal(len({volume.id for volume in made}), rig.many, f"different ids of {rig.many} volumes")
    listed = [volume.id for volume in rig.driver.volumes()]
    lacking = [volume.name for volume in made if volume.id not in listed]
    expect_equal(lacking, [], f"volumes that the list lacks, of {rig.many}")
    twice = [volume.name for volume in made if listed.count(volume.id) > 1]
    expect_equal(twice, [], "volumes that are in the list more than once")


@STORAGE.check()
def a_volume_costs_the_list_no_call(rig: StorageRig) -> None:
    """Lists come page by page: no call is made per volume."""
    rig.calls()
    few, count = _cost(rig), 12
    _many(rig, count)
    more = _cost(rig) - few
    expect(more < count // 2, f"{count} volumes more cost {more} calls more")


@STORAGE.check()
def the_list_begins_before_it_is_whole(rig: StorageRig) -> None:
    """The list's first volumes come before its last page was asked for."""
    few = _cost(rig)
    _many(rig, rig.many)
    whole = _cost(rig)
    if whole <= few:
        raise Skipped(f"the platform lists {rig.many} volumes more by no more calls: they are one page")
    before = rig.calls()
    next(rig.driver.volumes())
    first = rig.calls() - before
    expect(first < whole, f"the first volume costs {first} calls, the whole list {whole}")


@STORAGE.check()
def the_list_stands_while_others_come_and_go(rig: StorageRig) -> None:
    """A volume that is there all the time is in every list, once, whatever is made and removed meanwhile."""
    passing = [rig.create(rig.claim(f"0-{rig.name()}")) for _ in range(6)]
    standing = {volume.id for volume in _many(rig, 12)}

    def come_and_go() -> None:
        for volume in passing:
            rig.driver.remove(volume.id)
            rig.create()

    found, seen = rig.driver.volumes(), list[VolumeId]()
    while not standing & set(seen):
        seen.append(next(found).id)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(come_and_go)
        for _ in range(5):
            ids = [volume.id for volume in rig.driver.volumes() if volume.id in standing]
            expect_equal(sorted(ids), sorted(standing), "the standing volumes in a list while others come and go")
        work.result()
    seen += [volume.id for volume in found]
    ids = [each for each in seen if each in standing]
    expect_equal(sorted(ids), sorted(standing), "the standing volumes in a list that others came into and went from")


def _some(rig: StorageRig) -> list[Volume]:
    """A few volumes that are there; the check is skipped where there is none."""
    found = list(itertools.islice(rig.driver.volumes(), SOME))
    if not found:
        raise Skipped("the platform has no volumes to look at")
    return found


@contextlib.contextmanager
def _standing(rig: StorageRig, listed: Volume) -> Iterator[None]:
    """Skip instead of failing if somebody else has changed the volume meanwhile, for it need not be ours."""
    try:
        yield
    except Exception:
        now = [volume for volume in rig.driver.volumes() if volume.id == listed.id]
        if not now or _facts(now[0]) != _facts(listed):
            raise Skipped(f"volume {listed.id!r} was changed by somebody else meanwhile") from None
        raise


def _is_word(found: object) -> bool:
    return isinstance(found, str) and bool(found)


def _facts(volume: Volume) -> tuple[object, ...]:
    own = (volume.id, volume.name, volume.size_bytes, volume.type, volume.zone, volume.encrypted)
    return (*own, frozenset(_holders(volume)))


def _holders(volume: Volume) -> set[InstanceId]:
    return {attachment.instance_id for attachment in volume.attachments}


def _attached(rig: StorageRig, instance_id: InstanceId) -> set[VolumeId]:
    return {volume.id for volume in rig.driver.volumes() if instance_id in _holders(volume)}


def _told_attached(rig: StorageRig, instance_id: InstanceId) -> set[VolumeId]:
    return {volume.id for volume in rig.driver.attached(instance_id)}


def _many(rig: StorageRig, count: int) -> list[Volume]:
    names = [rig.name() for _ in range(count)]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(rig.create, names))


def _cost(rig: StorageRig) -> int:
    """How many calls the list takes now."""
    before = rig.calls()
    for _ in rig.driver.volumes():
        pass
    return rig.calls() - before
