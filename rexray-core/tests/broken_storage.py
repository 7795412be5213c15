"""Storage drivers that break the contract, one for each check of the kit's core tier, on the platform in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from rexray import faults
from rexray.drivers import StorageDriver
from rexray.errors import InUse, InvalidRequest, Unsupported
from rexray.settings import Sources
from rexray.testing.kit.rig import StorageRig
from rexray.testing.memory.array import NewVolume
from rexray.testing.memory.attaching import AttachCalls
from rexray.testing.memory.injecting import ANY
from rexray.testing.memory.making import CREATE_OPTIONS, MakingCalls
from rexray.testing.memory.model import MIB, TYPES, VolumeRecord
from rexray.testing.memory.platform import MemoryPlatform
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Volume, VolumeId, VolumeSpec

PASSWORD = "the-password-of-the-platform"
HOSTS = ("host-1", "host-2")


def memory_rig(folder: Path, driver: type = MemoryStorage) -> StorageRig:
    """A rig of a driver of the platform in memory, which has volumes of somebody else's and asks for a password."""
    sources = _sources(folder, "platform", MEMORY_PASSWORD=PASSWORD, MEMORY_PAGESIZE="4", MEMORY_MAXVOLUMES="5")
    platform = _platform(sources)
    platform.set_password(PASSWORD)
    with platform.array() as array:
        made = [array.create(NewVolume(name=f"other-{number}", size_bytes=MIB, zone="zone-1")) for number in range(3)]
        array.attach(made[0].id, HOSTS[0])
        array.snap(made[0].id, "other-snapshot")
    down, hanging = _sources(folder, "down"), _sources(folder, "hanging", MEMORY_TIMEOUT="50ms")
    _platform(down).go_down()
    _platform(hanging).hang(ANY, times=1 << 30)
    return StorageRig(
        driver,
        sources,
        size_bytes=16 * MIB,
        step_bytes=MIB,
        hosts=HOSTS,
        troubles={"unreachable": down, "hanging": hanging, "denied": _sources(folder, "platform", MEMORY_PASSWORD="x")},
        contents=platform,
        modification={"iops": "2000"},
        region="region-2",
        patience=30.0,
        deadline=2.0,
        many=25,
        calls=lambda: len(platform.calls),
    )


def _sources(folder: Path, name: str, **more: str) -> Sources:
    return Sources(environ={"MEMORY_FILE": str(folder / name / "state.json"), **more})


def _platform(sources: Sources) -> MemoryPlatform:
    return MemoryPlatform.of(sources.load(MemorySettings))


class PlainStorage(MakingCalls, AttachCalls, StorageDriver):
    """A healthy driver that has no capability but that of its ``attach``."""

    name = "plain"
    settings = MemorySettings
    create_options = CREATE_OPTIONS

    def volumes(self) -> Iterator[Volume]:
        """Every volume, by one call."""
        yield from map(self._described, self._ask("volumes", lambda array: list(array.state.volumes.values())))

    def volume(self, volume_id: VolumeId) -> Volume:
        """One volume."""
        return self._described(self._ask("volume", lambda array: array.volume(volume_id)))

    def create(self, spec: VolumeSpec) -> Volume:
        """It encrypts and copies nothing."""
        if spec.encrypted or spec.source_volume or spec.source_snapshot:
            raise Unsupported(f"volume {spec.name!r}: it can be no copy, and not be encrypted")
        return super().create(spec)

    def _password(self) -> str:
        return self._settings.password.reveal()


# Making


class Small(MemoryStorage):
    """Makes volumes smaller than they were asked for, as one that rounds down does."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, size_bytes=spec.size_bytes - MIB))


class NewEachTime(MemoryStorage):
    """A create that is repeated, as after a lost answer, makes another volume of the same name."""

    def create(self, spec: VolumeSpec) -> Volume:
        known = [volume.id for volume in self.volumes_named(spec.name)]
        volume = super().create(spec)
        if volume.id not in known:
            return volume
        with self.platform.array() as array:
            twin = replace(array.volume(volume.id), id=array.next_id("vol"), links={})
            array.state.volumes[twin.id] = twin
        return replace(volume, id=VolumeId(twin.id))


class Boastful(MemoryStorage):
    """``create`` returns what was asked, where the platform has made something else."""

    def create(self, spec: VolumeSpec) -> Volume:
        return replace(super().create(spec), type="gold")


class AttachesAtOnce(MemoryStorage):
    """``create`` attaches what it makes to the first instance."""

    def create(self, spec: VolumeSpec) -> Volume:
        volume = super().create(spec)
        self.attach(volume.id, next(self.instances()).id)
        return self.volume(volume.id)


class Dirty(MemoryStorage):
    """New volumes have what their blocks held before."""

    def create(self, spec: VolumeSpec) -> Volume:
        volume = super().create(spec)
        self.platform.write(volume.id, volume.size_bytes - 4096, b"somebody else's")
        return volume


class GrowsItsLikes(MemoryStorage):
    """``create`` looks a volume up by the beginning of its name, and grows what it finds to the size asked for."""

    def create(self, spec: VolumeSpec) -> Volume:
        for volume in self.volumes():
            if volume.name != spec.name and spec.name.startswith(volume.name):
                self.expand(volume.id, spec.size_bytes)
        return super().create(spec)


class AnythingWillDo(MemoryStorage):
    """``create`` returns whatever has the name."""

    def _refuse_difference(self, spec: VolumeSpec, found: VolumeRecord) -> None:
        return


class NothingByDefault(MemoryStorage):
    """A volume that is asked for without a size has none."""

    def create(self, spec: VolumeSpec) -> Volume:
        volume = super().create(spec)
        return volume if spec.size_bytes else replace(volume, size_bytes=0)


class AbsoluteSizes(MemoryStorage):
    """A negative size is taken for a positive one."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, size_bytes=abs(spec.size_bytes)))


class Clamps(MemoryStorage):
    """What is too large is made as large as can be had."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, size_bytes=min(spec.size_bytes, 1 << 30)))


class IgnoresLimits(MemoryStorage):
    """``limit_bytes`` is not looked at."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, limit_bytes=0))


class LimitsTooEarly(MemoryStorage):
    """A limit that could just be kept is refused."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, limit_bytes=max(spec.limit_bytes - 1, 0)))


class IgnoresTypes(MemoryStorage):
    """A type that it does not know is left out."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, type=spec.type if spec.type in TYPES else ""))


class IgnoresZones(MemoryStorage):
    """A zone that it does not know is left out."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, zone=spec.zone if spec.zone in self.zones() else ""))


class IgnoresOptions(MemoryStorage):
    """An option that it does not know is left out."""

    def create(self, spec: VolumeSpec) -> Volume:
        options = {name: value for name, value in spec.options.items() if name in CREATE_OPTIONS}
        return super().create(replace(spec, options=options))


class TakesOneSource(MemoryStorage):
    """Of two sources it takes the first."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, source_snapshot=None) if spec.source_volume else spec)


class EmptyCopies(MemoryStorage):
    """What is asked for as a copy is made empty."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, source_snapshot=None, source_volume=None))


class InTheClear(PlainStorage):
    """Encryption that it does not have is left out."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, encrypted=False))


class LeavesRubbish(MemoryStorage):
    """What was refused leaves a small volume behind."""

    def create(self, spec: VolumeSpec) -> Volume:
        try:
            return super().create(spec)
        except InvalidRequest:
            super().create(VolumeSpec(name=spec.name, size_bytes=MIB))
            raise


class HalfMade(MemoryStorage):
    """Makes a small volume and grows it; a repetition takes the small one for the whole."""

    def create(self, spec: VolumeSpec) -> Volume:
        for volume in self.volumes_named(spec.name):
            return volume
        volume = super().create(replace(spec, size_bytes=MIB))
        faults.point("half-made")
        return self.expand(volume.id, spec.size_bytes)


# Removing


class KeepsAll(MemoryStorage):
    """``remove`` says that it is done, and it is not."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        return


class OnceOnly(MemoryStorage):
    """To remove what is gone is an error."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        self.volume(volume_id)
        super().remove(volume_id)


class RemovesLikes(MemoryStorage):
    """``remove`` deletes every volume whose name begins as this one's does."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        name = next((volume.name for volume in self.volumes() if volume.id == volume_id), "\0")
        for volume in list(self.volumes()):
            if volume.name.startswith(name):
                super().remove(volume.id)


class StripsIds(MemoryStorage):
    """Ids are taken without the blanks around them."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        super().remove(VolumeId(volume_id.strip()))

    def volume(self, volume_id: VolumeId) -> Volume:
        return super().volume(VolumeId(volume_id.strip()))


class RemovesByName(MemoryStorage):
    """``remove`` takes names as well."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        super().remove(volume_id)
        for volume in list(self.volumes_named(volume_id)):
            super().remove(volume.id)


class ForceDetaches(MemoryStorage):
    """``force`` takes an attached volume from its instance, and then refuses to remove it."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        holders = [each.instance_id for each in self.volume(volume_id).attachments] if force else []
        for instance_id in holders:
            self.detach(volume_id, instance_id)
        if holders:
            raise InUse(f"volume {volume_id!r} is in use by {holders}")
        super().remove(volume_id)


class WasteBin(MemoryStorage):
    """``remove`` puts a volume away, and ``create`` takes it out again with its data."""

    _gone: ClassVar[dict[str, VolumeRecord]] = {}

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        record = self.platform.state().volumes.get(volume_id)
        super().remove(volume_id)
        if record:
            self._gone[record.name] = record

    def create(self, spec: VolumeSpec) -> Volume:
        record = self._gone.pop(spec.name, None)
        if record is None:
            return super().create(spec)
        with self.platform.array() as array:
            array.state.volumes[record.id] = record
        return self._described(record)


class RemembersNames(MemoryStorage):
    """A removal that is repeated removes whatever has the name that the volume had."""

    _names: ClassVar[dict[VolumeId, str]] = {}

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        for volume in list(self.volumes()):
            self._names.setdefault(volume.id, volume.name)
            if volume.name == self._names.get(volume_id):
                super().remove(volume.id)


class WipesAll(MemoryStorage):
    """``remove`` wipes the data of every volume that is attached nowhere."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        for volume in self.volumes():
            if not volume.attachments:
                self.platform.write(volume.id, 0, bytes(4096))
        super().remove(volume_id)


class HalfRemoved(MemoryStorage):
    """Notes that a volume goes before it removes it; a repetition takes the note for the deed."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        record = self.platform.state().volumes.get(volume_id)
        if record is None or record.sick == "going":
            return
        if not record.links:
            self.platform.set_health(volume_id, "going")
            faults.point("noted")
        super().remove(volume_id)
