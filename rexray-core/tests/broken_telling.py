"""Storage drivers with one defect each, and the checks that have to catch them: what the platform tells."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from rexray.errors import AlreadyExists, InvalidRequest, NotFound, OutOfCapacity
from rexray.settings import Sources
from rexray.testing.memory.model import STEP, VolumeRecord
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Attachment, Capacity, Health, InstanceId, Volume, VolumeId, VolumeSpec


class OwesRoom(MemoryStorage):
    """There is less than no room."""

    def capacity(self, zone: str = "") -> Capacity:
        return Capacity(available_bytes=-1)


class PromisesRoom(MemoryStorage):
    """``capacity`` tells of room that there is not."""

    def create(self, spec: VolumeSpec) -> Volume:
        raise OutOfCapacity(f"volume {spec.name!r}: there is no room")


class TellsTooLittle(MemoryStorage):
    """Larger volumes can be made than ``capacity`` says."""

    def capacity(self, zone: str = "") -> Capacity:
        return replace(super().capacity(zone), largest_volume_bytes=STEP)


class TellsItsOwnRoom(MemoryStorage):
    """``capacity`` knows no zone but its own."""

    def capacity(self, zone: str = "") -> Capacity:
        if zone not in ("", "zone-1"):
            raise InvalidRequest(f"zone {zone!r} is unknown")
        return super().capacity(zone)


class AlwaysSick(MemoryStorage):
    """No volume is ever well."""

    def health(self, volume_id: VolumeId) -> Health:
        super().health(volume_id)
        return Health(abnormal=True, message="it might fail one day")


class AlwaysWell(MemoryStorage):
    """A volume that there is not is well."""

    def health(self, volume_id: VolumeId) -> Health:
        try:
            return super().health(volume_id)
        except NotFound:
            return Health(abnormal=False)


class TellsAllHealths(MemoryStorage):
    """``healths`` has an entry for every volume there is."""

    def healths(self, volume_ids: Collection[VolumeId]) -> Mapping[VolumeId, Health]:
        return super().healths([volume.id for volume in self.volumes()])


class SaysNotWhy(MemoryStorage):
    """A volume that is not well does not say why."""

    def health(self, volume_id: VolumeId) -> Health:
        return replace(super().health(volume_id), message="")


class NamesZonesTwice(MemoryStorage):
    """``zones`` has each of them twice."""

    def zones(self) -> tuple[str, ...]:
        return super().zones() * 2


class TellsNoZone(MemoryStorage):
    """A volume does not say in which zone it is."""

    def _described(self, record: VolumeRecord) -> Volume:
        return replace(super()._described(record), zone="")


class IgnoresZones(MemoryStorage):
    """Every volume is made in the driver's own zone."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, zone=""))


class MovesAcrossZones(MemoryStorage):
    """``attach`` moves the volume to the instance's zone."""

    def attach(self, volume_id: VolumeId, instance_id: InstanceId, **how: Any) -> Attachment:
        with self.platform.array() as array:
            zone = array.host(instance_id).zone
            array.state.volumes[volume_id] = replace(array.volume(volume_id), zone=zone)
        return super().attach(volume_id, instance_id, **how)


class AllowsNothing(MemoryStorage):
    """The policy is empty."""

    @classmethod
    def policy(cls, sources: Sources) -> Mapping[str, object]:
        return {}


class NumbersPolicies(MemoryStorage):
    """Each policy has a number of its own."""

    @classmethod
    def policy(cls, sources: Sources) -> Mapping[str, object]:
        return {**super().policy(sources), "number": secrets.token_hex(4)}


class WritesThePassword(MemoryStorage):
    """The policy has the password for which it is."""

    @classmethod
    def policy(cls, sources: Sources) -> Mapping[str, object]:
        return {**super().policy(sources), "for": sources.load(MemorySettings).password.reveal()}


class AsksForThePolicy(MemoryStorage):
    """The policy names the platform's instances."""

    @classmethod
    def policy(cls, sources: Sources) -> Mapping[str, object]:
        there = [instance.id for instance in cls.make(sources).instances()]
        return {**super().policy(sources), "instances": there}


class HidesEncryption(MemoryStorage):
    """No volume says that it is encrypted."""

    def _described(self, record: VolumeRecord) -> Volume:
        return replace(super()._described(record), encrypted=False)


class EncryptsOnce(MemoryStorage):
    """An encrypted volume that is there already is an error."""

    def create(self, spec: VolumeSpec) -> Volume:
        if spec.encrypted and self._find(spec.name):
            raise AlreadyExists(f"volume {spec.name!r} exists")
        return super().create(spec)


class TakesPlainOnes(MemoryStorage):
    """Whether a volume of that name is encrypted does not matter."""

    def _compared(self, spec: VolumeSpec, found: VolumeRecord) -> list[tuple[str, object, object]]:
        return [each for each in super()._compared(spec, found) if not each[0].startswith("encryption")]


class DecryptsCopies(MemoryStorage):
    """What is made of an encrypted volume or snapshot is not encrypted."""

    def create(self, spec: VolumeSpec) -> Volume:
        made = super().create(spec)
        if spec.source_volume or spec.source_snapshot:
            with self.platform.array() as array:
                array.state.volumes[made.id] = replace(array.volume(made.id), encrypted=False)
        return self.volume(made.id)


BROKEN_TELLING: Mapping[str, type[MemoryStorage]] = {
    "capacity_is_a_number_of_bytes": OwesRoom,
    "the_room_that_is_told_is_there": PromisesRoom,
    "a_volume_beyond_the_largest_is_refused": TellsTooLittle,
    "capacity_is_told_of_each_zone": TellsItsOwnRoom,
    "a_new_volume_is_well": AlwaysSick,
    "health_of_an_unknown_volume_is_not_found": AlwaysWell,
    "health_of_a_removed_volume_is_not_found": AlwaysWell,
    "healths_tells_what_health_tells": TellsAllHealths,
    "a_volume_that_is_not_well_says_why": SaysNotWhy,
    "zones_have_names_of_their_own": NamesZonesTwice,
    "a_volume_is_in_one_of_the_zones": TellsNoZone,
    "a_volume_is_made_in_the_zone_that_was_asked_for": IgnoresZones,
    "a_volume_in_an_unknown_zone_is_not_made": IgnoresZones,
    "a_volume_of_another_zone_is_another_volume": IgnoresZones,
    "a_volume_is_not_attached_across_zones": MovesAcrossZones,
    "a_policy_can_be_given_to_the_platform": AllowsNothing,
    "a_policy_is_the_same_each_time": NumbersPolicies,
    "a_policy_has_no_secrets": WritesThePassword,
    "a_policy_needs_no_platform": AsksForThePolicy,
    "an_encrypted_volume_says_so_everywhere": HidesEncryption,
    "an_encrypted_volume_said_ten_times_is_one": EncryptsOnce,
    "a_plain_volume_is_not_taken_for_an_encrypted_one": TakesPlainOnes,
    "a_volume_of_an_encrypted_snapshot_is_encrypted": DecryptsCopies,
    "a_clone_of_an_encrypted_volume_is_encrypted": DecryptsCopies,
}
"""The driver that each check catches."""
