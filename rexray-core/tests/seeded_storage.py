"""Thirty defects of the storage driver in memory, each as somebody's driver had it; the kit has to find them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from broken_storage import memory_rig
from rexray import faults
from rexray.drivers import StorageDriver
from rexray.errors import InvalidRequest, NotFound, RexrayError, TimedOut
from rexray.testing.kit.running import Result, run_all
from rexray.testing.kit.suites import STORAGE
from rexray.testing.memory.copies import Array
from rexray.testing.memory.making import round_up
from rexray.testing.memory.model import MIB, SnapshotRecord, VolumeRecord
from rexray.testing.memory.platform import MemoryPlatform
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import (
    Attachment,
    Health,
    InstanceId,
    Snapshot,
    SnapshotGroup,
    SnapshotId,
    Volume,
    VolumeId,
    VolumeSpec,
)


class CreateAfterALostAnswer(MemoryStorage):
    """A create whose answer was lost is made again: what a driver made it only knows until it restarts."""

    def __init__(self, settings: MemorySettings, platform: MemoryPlatform | None = None) -> None:
        super().__init__(settings, platform)
        self._made: set[str] = set()

    def create(self, spec: VolumeSpec) -> Volume:
        old = None if spec.name in self._made else self._find(spec.name)
        if old is not None:
            with self.platform.array() as array:
                array.state.volumes[old.id] = replace(old, name="\0")
        volume = super().create(spec)
        self._made.add(spec.name)
        if old is not None:
            with self.platform.array() as array:
                array.state.volumes[old.id] = old
        return volume


class CreateInTwoSteps(MemoryStorage):
    """A create that is killed between making and growing leaves a small volume, which the next one takes for whole."""

    def create(self, spec: VolumeSpec) -> Volume:
        known = self._find(spec.name)
        if known is not None and known.size_bytes == MIB:
            return self._described(known)
        if known is None and not (spec.source_volume or spec.source_snapshot) and spec.size_bytes > MIB:
            volume = super().create(replace(spec, size_bytes=MIB))
            faults.point("seeded-small")
            self.expand(volume.id, spec.size_bytes, limit_bytes=spec.limit_bytes)
        return super().create(spec)


class CreateOfTheDefaultSize(MemoryStorage):
    """The size is compared in whole GiB, so that any small volume is as good as any other."""

    def _compared(self, spec: VolumeSpec, found: VolumeRecord) -> list[tuple[str, object, object]]:
        return [each for each in super()._compared(spec, found) if each[0] != "size"]


class NamesAreHashedShort(MemoryStorage):
    """Long names are cut off and get a hash of one byte."""

    def create(self, spec: VolumeSpec) -> Volume:
        return replace(super().create(replace(spec, name=self._short(spec.name))), name=spec.name)

    def volumes_named(self, name: str) -> Iterator[Volume]:
        return (replace(volume, name=name) for volume in super().volumes_named(self._short(name)))

    def _short(self, name: str) -> str:
        return name if len(name) < 64 else f"{name[:40]}-{len(name):02x}"


class NamesInOneCase(MemoryStorage):
    """The platform's search does not know case, and nobody looks at what it finds."""

    def volumes_named(self, name: str) -> Iterator[Volume]:
        return (volume for volume in self.volumes() if volume.name.lower() == name.lower())


class ListWithoutItsEnd(MemoryStorage):
    """A page that is not full is taken for an empty one."""

    def volumes(self) -> Iterator[Volume]:
        found = list(super().volumes())
        yield from found[: len(found) - len(found) % self._settings.page_size]


class ListFromACache(MemoryStorage):
    """The list is kept for as long as nothing is made or removed by this driver."""

    _kept: list[Volume] | None = None

    def volumes(self) -> Iterator[Volume]:
        if self._kept is None:
            self._kept = list(super().volumes())
        yield from self._kept

    def create(self, spec: VolumeSpec) -> Volume:
        self._kept = None
        return super().create(spec)

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        super().remove(volume_id)
        self._kept = None


class RemoveOfWhatIsAttached(MemoryStorage):
    """The driver detaches what it is to remove, whoever has it mounted."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        self.detach(volume_id)
        super().remove(volume_id)


class RemoveWithoutErrors(MemoryStorage):
    """Whatever goes wrong when a volume is removed is taken for "already gone"."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        try:
            super().remove(volume_id)
        except RexrayError:
            return


class RemoveByPattern(MemoryStorage):
    """The id is a part of a command that matches by its beginning."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        for volume in list(self.volumes()):
            if re.match(re.escape(volume.id), volume_id):
                super().remove(volume.id)


class MissingOnATimeout(MemoryStorage):
    """A look-up that takes too long has found nothing."""

    def volume(self, volume_id: VolumeId) -> Volume:
        try:
            return super().volume(volume_id)
        except TimedOut:
            raise NotFound(f"volume {volume_id!r} does not exist") from None


class PasswordInErrors(MemoryStorage):
    """An error of the platform's shows the request, with its header."""

    def volume(self, volume_id: VolumeId) -> Volume:
        try:
            return super().volume(volume_id)
        except RexrayError as error:
            raise type(error)(f"{error} (GET /volumes, password {self._settings.password.reveal()})") from None


class AttachWithoutAHolder(MemoryStorage):
    """``attach`` takes the volume from whoever has it, ``force`` or not."""

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        return super().attach(volume_id, instance_id, device=device, read_only=read_only, force=True)


class AttachWritable(MemoryStorage):
    """``read_only`` is not handed on."""

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        return super().attach(volume_id, instance_id, device=device, force=force)


class DetachFromTheWrongHost(MemoryStorage):
    """``detach`` takes a volume from whichever instance has it."""

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        super().detach(volume_id)


class AttachmentsOfOthers(MemoryStorage):
    """``attachments`` of an instance has those of every instance."""

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        return super().attachments(volume_id)


class SnapshotOfTheNewest(MemoryStorage):
    """The snapshot is taken of the volume that was made last."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        newest = max(self.platform.state().volumes)
        made = super().create_snapshot(VolumeId(newest), name, description)
        with self.platform.array() as array:
            array.state.snapshots[made.id] = replace(array.snapshot(made.id), volume_id=volume_id)
        return replace(made, volume_id=volume_id)


class SnapshotOfAnotherVolume(MemoryStorage):
    """A snapshot of the name is returned, whatever volume it is of."""

    def _refuse_other_volume(self, found: SnapshotRecord, volume_id: VolumeId) -> None:
        return


class SnapshotsOfEverybody(MemoryStorage):
    """A filter by volume is ignored."""

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        return super().snapshots(snapshot_id=snapshot_id)


class SnapshotsGoWithTheirSibling(MemoryStorage):
    """``remove_snapshot`` removes every snapshot of the volume."""

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        for found in list(self.snapshots(snapshot_id=snapshot_id)):
            for each in list(self.snapshots(volume_id=found.volume_id)):
                if not each.group:
                    super().remove_snapshot(each.id)


class RestoreOfNothing(MemoryStorage):
    """A volume of a snapshot has the snapshot's size, and none of its data."""

    def create(self, spec: VolumeSpec) -> Volume:
        is_new = self._find(spec.name) is None
        volume = super().create(spec)
        if spec.source_snapshot and is_new:
            with self.platform.array() as array:
                array.write(volume.id, {})
        return volume


class CloneThatFollows(MemoryStorage):
    """A clone has what its source has when it is asked for again."""

    def create(self, spec: VolumeSpec) -> Volume:
        volume = super().create(spec)
        if spec.source_volume:
            with self.platform.array() as array:
                source = array.volume(spec.source_volume)
                array.write(spec.source_volume, {})
                array.write(volume.id, source.content)
        return volume


class GroupWithoutTheMissing(MemoryStorage):
    """A group snapshot leaves out the volumes that it does not find."""

    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        known = self.platform.state().volumes
        return super().create_snapshot_group(name, [each for each in volume_ids if each in known])


class CopyWithinTheRegion(MemoryStorage):
    """A copy for another region is looked for in this one."""

    def copy_snapshot(self, snapshot_id: SnapshotId, name: str, region: str) -> Snapshot:
        return super().copy_snapshot(snapshot_id, name, "region-1")


class ExpandShrinks(MemoryStorage):
    """``expand`` sets the size that it is given."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        size = round_up(size_bytes)

        def work(array: Array) -> VolumeRecord:
            volume = replace(array.volume(volume_id), size_bytes=size)
            array.state.volumes[volume_id] = volume
            return volume

        if size < super().volume(volume_id).size_bytes:
            return self._described(self._change("expand", work))
        return super().expand(volume_id, size_bytes, limit_bytes=limit_bytes)


class ModifyByHalves(MemoryStorage):
    """``modify`` changes what it knows, and then refuses the rest."""

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        known = {name: value for name, value in options.items() if name in ("type", "iops")}
        volume = super().modify(volume_id, known)
        if known != options:
            raise InvalidRequest(f"volume {volume_id!r}: not all of {', '.join(options)} is known")
        return volume


class RollbackUnderItsUser(MemoryStorage):
    """``rollback`` detaches the volume, puts it back and attaches it again."""

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        attachments = self.attachments(volume_id)
        self.detach(volume_id)
        super().rollback(volume_id, snapshot_id)
        for each in attachments:
            self.attach(volume_id, each.instance_id)
        return self.volume(volume_id)


class HealthOfTheMissing(MemoryStorage):
    """A volume of which nothing is known is well."""

    def health(self, volume_id: VolumeId) -> Health:
        try:
            return super().health(volume_id)
        except NotFound:
            return Health(abnormal=False)


class ZoneOfTheHost(MemoryStorage):
    """Volumes are made in this host's zone, whatever was asked for."""

    def create(self, spec: VolumeSpec) -> Volume:
        zones = self.zones()
        return super().create(replace(spec, zone="") if spec.zone in zones else spec)


class EncryptedByName(MemoryStorage):
    """A volume that is there is as good as one that is encrypted."""

    def _compared(self, spec: VolumeSpec, found: VolumeRecord) -> list[tuple[str, object, object]]:
        return [each for each in super()._compared(spec, found) if not each[0].startswith("encryption")]


DEFECTS = (
    CreateAfterALostAnswer,
    CreateInTwoSteps,
    CreateOfTheDefaultSize,
    NamesAreHashedShort,
    NamesInOneCase,
    ListWithoutItsEnd,
    ListFromACache,
    RemoveOfWhatIsAttached,
    RemoveWithoutErrors,
    RemoveByPattern,
    MissingOnATimeout,
    PasswordInErrors,
    AttachWithoutAHolder,
    AttachWritable,
    DetachFromTheWrongHost,
    AttachmentsOfOthers,
    SnapshotOfTheNewest,
    SnapshotOfAnotherVolume,
    SnapshotsOfEverybody,
    SnapshotsGoWithTheirSibling,
    RestoreOfNothing,
    CloneThatFollows,
    GroupWithoutTheMissing,
    CopyWithinTheRegion,
    ExpandShrinks,
    ModifyByHalves,
    RollbackUnderItsUser,
    HealthOfTheMissing,
    ZoneOfTheHost,
    EncryptedByName,
)


def results(driver: type[StorageDriver], folder: Path, names: Sequence[str]) -> list[Result]:
    """How the checks of those names end, in that order, up to the first that fails."""
    by_name = {check.name: check for check in STORAGE.checks()}
    numbers = iter(range(len(names)))
    found = []
    for result in run_all((by_name[name] for name in names), lambda: memory_rig(folder / str(next(numbers)), driver)):
        found.append(result)
        if result.outcome == "failed":
            break
    return found
