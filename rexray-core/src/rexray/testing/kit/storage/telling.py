"""What the platform tells: how much room there is, how and where volumes are, and what its user must be allowed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from rexray.errors import AlreadyExists, InvalidRequest, NotFound, OutOfCapacity, OutOfRange, RexrayError
from rexray.mixins import HasCapacity, HasPolicy, Topology, VolumeHealth
from rexray.testing.kit.check import Failed, Skipped, expect, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig
from rexray.testing.kit.storage.parts import facts, gone_volume
from rexray.testing.kit.suites import STORAGE
from rexray.types import Capacity, Health, VolumeId

FEW = 4
"""In how many zones volumes are made at most."""
POLICY_SECONDS = 2.0
"""How long a policy may take, which nobody is asked for."""


@STORAGE.check(HasCapacity, reads_only=True)
def capacity_is_a_number_of_bytes(rig: StorageRig) -> None:
    """``capacity`` tells the room for new volumes in bytes, 0 at least, and the largest one that can be made."""
    _expect_room(rig.having(HasCapacity).capacity())


@STORAGE.check(HasCapacity)
def the_room_that_is_told_is_there(rig: StorageRig) -> None:
    """Where ``capacity`` says that a volume fits, it can be made."""
    room = rig.having(HasCapacity).capacity(rig.zone)
    if rig.size_bytes > min(room.available_bytes, room.largest_volume_bytes or room.available_bytes):
        raise Skipped(f"the platform has no room for a volume of {rig.size_bytes} bytes: {room}")
    try:
        rig.create()
    except (OutOfCapacity, OutOfRange) as error:
        raise Failed(f"capacity says {room}, and no volume of {rig.size_bytes} bytes can be made: {error}") from None


@STORAGE.check(HasCapacity)
def a_volume_beyond_the_largest_is_refused(rig: StorageRig) -> None:
    """A volume larger than ``largest_volume_bytes`` is ``OutOfCapacity`` or ``OutOfRange``, and is not made."""
    largest = rig.having(HasCapacity).capacity(rig.zone).largest_volume_bytes
    if largest is None:
        raise Skipped("the platform does not say how large a volume can be")
    name = rig.name()
    with expect_raises(OutOfCapacity, OutOfRange, what=f"making a volume larger than {largest} bytes"):
        rig.create(name, size_bytes=largest + rig.step_bytes)
    expect_equal(rig.named(name), [], "the volumes of the name afterwards")


@STORAGE.check(HasCapacity, Topology, reads_only=True)
def capacity_is_told_of_each_zone(rig: StorageRig) -> None:
    """``capacity`` tells the room in each of the zones, when it is asked for that one."""
    for zone in _zones(rig):
        _expect_room(rig.having(HasCapacity).capacity(zone))


@STORAGE.check(VolumeHealth)
def a_new_volume_is_well(rig: StorageRig) -> None:
    """``health`` of a volume that nothing is wrong with says so, attached or not."""
    volume = rig.create()
    expect_equal(rig.having(VolumeHealth).health(volume.id).abnormal, False, "whether a new volume is abnormal")
    rig.driver.attach(volume.id, *rig.hosts(1))
    expect_equal(rig.having(VolumeHealth).health(volume.id).abnormal, False, "whether an attached one is abnormal")


@STORAGE.check(VolumeHealth, reads_only=True)
def health_of_an_unknown_volume_is_not_found(rig: StorageRig) -> None:
    """Of a volume that does not exist nobody can say how it is: ``NotFound``."""
    with expect_raises(NotFound, what="asking for the health of an unknown volume"):
        rig.having(VolumeHealth).health(VolumeId(rig.name("-none")))


@STORAGE.check(VolumeHealth)
def health_of_a_removed_volume_is_not_found(rig: StorageRig) -> None:
    """A volume that was removed is not well: it is ``NotFound``."""
    gone = gone_volume(rig)
    with expect_raises(NotFound, what="asking for the health of a removed volume"):
        rig.having(VolumeHealth).health(gone)


@STORAGE.check(VolumeHealth)
def healths_tells_what_health_tells(rig: StorageRig) -> None:
    """``healths`` has an entry for each of the volumes that were asked for, no other, and it is ``health``'s."""
    ids = [rig.create().id for _ in range(3)]
    driver = rig.having(VolumeHealth)
    wanted = {volume_id: driver.health(volume_id).abnormal for volume_id in ids[:2]}
    found = {volume_id: health.abnormal for volume_id, health in driver.healths(ids[:2]).items()}
    expect_equal(found, wanted, "whether each of two of three volumes is abnormal")
    expect_equal(dict(driver.healths([])), {}, "the healths of no volumes")


@STORAGE.check(VolumeHealth, reads_only=True)
def a_volume_that_is_not_well_says_why(rig: StorageRig) -> None:
    """A health that is abnormal has a message of one line for a person."""
    driver = rig.having(VolumeHealth)
    for volume_id in [each.id for each, _ in zip(rig.driver.volumes(), range(FEW), strict=False)]:
        try:
            health = driver.health(volume_id)
        except NotFound:  # somebody else's, removed meanwhile
            continue
        _expect_reason(volume_id, health)


@STORAGE.check(Topology, reads_only=True)
def zones_have_names_of_their_own(rig: StorageRig) -> None:
    """``zones`` names each zone once, and no zone is called nothing."""
    zones = _zones(rig)
    expect(all(zones), f"a zone without a name is among {zones}")
    expect_equal(len(set(zones)), len(zones), f"different zones among {zones}")


@STORAGE.check(Topology)
def a_volume_is_in_one_of_the_zones(rig: StorageRig) -> None:
    """A volume says in which zone it is, everywhere the same, and that is one of ``zones``."""
    zones, volume = _zones(rig), rig.create()
    expect(volume.zone in zones, f"the volume is in zone {volume.zone!r}, where there are {zones}")
    for found in (rig.driver.volume(volume.id), *rig.named(volume.name)):
        expect_equal(found.zone, volume.zone, "the zone of the volume afterwards")


@STORAGE.check(Topology)
def a_volume_is_made_in_the_zone_that_was_asked_for(rig: StorageRig) -> None:
    """``create`` honours ``VolumeSpec.zone``, for each of the zones."""
    for zone in _zones(rig)[:FEW]:
        volume = rig.create(zone=zone)
        expect_equal(volume.zone, zone, "the zone of the volume that create returned")
        expect_equal(rig.driver.volume(volume.id).zone, zone, "the zone of the volume afterwards")


@STORAGE.check(Topology)
def a_volume_in_an_unknown_zone_is_not_made(rig: StorageRig) -> None:
    """A zone that there is not is ``InvalidRequest`` or ``NotFound``, and nothing is made in any other one."""
    _zones(rig)
    name = rig.name()
    with expect_raises(InvalidRequest, NotFound, what="making a volume in a zone that there is not"):
        rig.create(name, zone=f"{name}-zone")
    expect_equal(rig.named(name), [], "the volumes of the name afterwards")


@STORAGE.check(Topology)
def a_volume_of_another_zone_is_another_volume(rig: StorageRig) -> None:
    """A volume of that name in another zone than was asked for is ``AlreadyExists``, and stays where it is."""
    one, other = _two_zones(rig)
    volume = rig.create(zone=one)
    with expect_raises(AlreadyExists, what="creating a volume in another zone than the one of that name is in"):
        rig.create(volume.name, zone=other)
    expect_equal([each.zone for each in rig.named(volume.name)], [one], "the zones of the volumes of the name")


@STORAGE.check(Topology)
def a_volume_is_not_attached_across_zones(rig: StorageRig) -> None:
    """Volumes attach to instances of the same zone only; what has the volume keeps it, also by force."""
    zones = dict.fromkeys(_two_zones(rig), "")
    for instance in rig.driver.instances():
        if instance.zone in zones and not zones[instance.zone]:
            zones[instance.zone] = instance.id
    here = next((instance.zone for instance in rig.driver.instances() if instance.id in rig.hosts(1)), "")
    away = next((zones[zone] for zone in zones if zone != here and zones[zone]), "")
    if here not in zones or not away:
        raise Skipped("the platform has no instances in two of its zones")
    [host], volume = rig.hosts(1), rig.create(zone=here)
    made = rig.driver.attach(volume.id, host)
    for force in (False, True):
        with expect_raises(RexrayError, what=f"attaching a volume of zone {here!r} in another one, force={force}"):
            rig.driver.attach(volume.id, away, force=force)  # type: ignore[arg-type] # it is an instance's id
    expect_equal(list(map(facts, rig.driver.attachments(volume.id))), [facts(made)], "the attachments afterwards")
    rig.driver.detach(volume.id)
    with expect_raises(InvalidRequest, what=f"attaching a free volume of zone {here!r} in another one"):
        rig.driver.attach(volume.id, away)  # type: ignore[arg-type] # as above
    expect_equal(rig.holders(volume), set(), "the instances that have the volume afterwards")


@STORAGE.check(HasPolicy, reads_only=True)
def a_policy_can_be_given_to_the_platform(rig: StorageRig) -> None:
    """``policy`` is a document that says something, of what JSON can hold."""
    found = _policy(rig)
    expect(found, "the policy is empty")
    try:
        json.dumps(dict(found))
    except (TypeError, ValueError) as error:
        raise Failed(f"the policy cannot be written as JSON: {error}") from None


@STORAGE.check(HasPolicy, reads_only=True)
def a_policy_is_the_same_each_time(rig: StorageRig) -> None:
    """The same settings make the same policy: it can be compared with the one that is in force."""
    texts = {json.dumps(dict(_policy(rig)), sort_keys=True) for _ in range(3)}
    expect_equal(len(texts), 1, "different policies of three calls with the same settings")


@STORAGE.check(HasPolicy, reads_only=True)
def a_policy_has_no_secrets(rig: StorageRig) -> None:
    """A policy is there to be shown: no value of a secret setting is in it."""
    text = json.dumps(dict(_policy(rig)), ensure_ascii=False)
    expect(not any(secret in text for secret in rig.secrets()), "a secret of the settings is in the policy")


@STORAGE.check(HasPolicy, reads_only=True)
def a_policy_needs_no_platform(rig: StorageRig) -> None:
    """The platform is not called for a policy: it comes at once, also where nothing can be reached."""
    rig.troubled("unreachable")
    begin = time.monotonic()
    expect(_policy(rig, "unreachable"), "the policy is empty where the platform cannot be reached")
    took = time.monotonic() - begin
    expect(took < POLICY_SECONDS, f"the policy took {took:.1f} s where the platform cannot be reached")


def _zones(rig: StorageRig) -> tuple[str, ...]:
    zones = rig.having(Topology).zones()
    if not zones:
        raise Skipped("the platform has no zones as it is configured")
    return zones


def _two_zones(rig: StorageRig) -> tuple[str, str]:
    zones = _zones(rig)
    if len(zones) < 2:
        raise Skipped(f"the platform has one zone, {zones[0]!r}, as it is configured")
    return zones[0], zones[1]


def _policy(rig: StorageRig, trouble: str = "") -> Mapping[str, object]:
    target = rig.target
    assert issubclass(target, HasPolicy)
    return target.policy(rig.troubles[trouble] if trouble else rig.sources)


def _expect_room(room: Capacity) -> None:
    expect(room.available_bytes >= 0, f"there is room for {room.available_bytes} bytes")
    largest = room.largest_volume_bytes
    expect(largest is None or largest >= 0, f"the largest volume has {largest} bytes")


def _expect_reason(volume_id: VolumeId, health: Health) -> None:
    if health.abnormal:
        expect(health.message.strip(), f"volume {volume_id!r} is abnormal, and nothing says why")
    expect("\n" not in health.message, f"volume {volume_id!r}: the message is not one line: {health.message!r}")
