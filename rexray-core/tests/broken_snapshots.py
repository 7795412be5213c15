"""Storage drivers with one defect each, and the checks that have to catch them: snapshots, and what is made of them."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from broken_attaching import noted
from rexray.errors import AlreadyExists, NotFound, OutOfRange
from rexray.testing.kit.rig import Contents
from rexray.testing.memory.model import SnapshotRecord, VolumeRecord
from rexray.testing.memory.platform import MemoryPlatform
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Snapshot, SnapshotId, Volume, VolumeId, VolumeSpec


class NamesSnapshotsItself(MemoryStorage):
    """A snapshot's name is its id."""

    def _described_snapshot(self, record: SnapshotRecord) -> Snapshot:
        return replace(super()._described_snapshot(record), name=record.id)


class SnapsAlways(MemoryStorage):
    """Each ``create_snapshot`` takes another one."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        made = super().create_snapshot(volume_id, f"{name}-{secrets.token_hex(2)}", description)
        return replace(made, name=name)


class LooksAndThenSnaps(MemoryStorage):
    """``create_snapshot`` looks whether the name is free, and is surprised when it is taken a moment later."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        found = [each for each in self.snapshots(volume_id=volume_id) if each.name == name]
        time.sleep(0.1)
        if found:
            return found[0]
        with self.platform.array() as array:
            return self._described_snapshot(array.snap(volume_id, name, description))


class GivesWhatHasTheName(MemoryStorage):
    """``create_snapshot`` gives the snapshot of that name, whatever it is of."""

    def _refuse_other_volume(self, found: SnapshotRecord, volume_id: VolumeId) -> None:
        return


class ListsSnapshotsOfAll(MemoryStorage):
    """``snapshots`` of one volume are those of all."""

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        return super().snapshots(snapshot_id=snapshot_id)


class UsesOneFilter(MemoryStorage):
    """Of two filters of ``snapshots`` the second is ignored."""

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        return super().snapshots(volume_id=volume_id, snapshot_id=None if volume_id else snapshot_id)


class ListsOnePage(MemoryStorage):
    """``snapshots`` ends with its first page."""

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        found = super().snapshots(volume_id=volume_id, snapshot_id=snapshot_id)
        return itertools.islice(found, self._settings.page_size)


class ListsSnapshotsTwice(MemoryStorage):
    """The pages of ``snapshots`` overlap."""

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        for found in super().snapshots(volume_id=volume_id, snapshot_id=snapshot_id):
            yield from (found, found)


class MissesSnapshots(MemoryStorage):
    """``snapshots`` and ``remove_snapshot`` of an unknown id are errors."""

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        found = list(super().snapshots(volume_id=volume_id, snapshot_id=snapshot_id))
        if snapshot_id is not None and not found:
            raise NotFound(f"snapshot {snapshot_id!r} does not exist")
        return iter(found)

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        list(self.snapshots(snapshot_id=snapshot_id))
        super().remove_snapshot(snapshot_id)


class KeepsSnapshots(MemoryStorage):
    """``remove_snapshot`` removes nothing."""

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        return


class NeverReusesNames(MemoryStorage):
    """The name of a snapshot that was removed is taken for ever."""

    _taken: ClassVar[set[str]] = set()

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        self._taken.update(each.name for each in self.snapshots(snapshot_id=snapshot_id))
        super().remove_snapshot(snapshot_id)

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        if name in self._taken:
            raise AlreadyExists(f"snapshot {name!r} was removed")
        return super().create_snapshot(volume_id, name, description)


class SnapsNothing(MemoryStorage):
    """A snapshot of a volume that there is not is one of nothing."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        try:
            return super().create_snapshot(volume_id, name, description)
        except NotFound:
            return Snapshot(id=SnapshotId("snap-0"), name=name, volume_id=volume_id)


class NeverReady(MemoryStorage):
    """No snapshot becomes ready."""

    patience = 2.0

    def _described_snapshot(self, record: SnapshotRecord) -> Snapshot:
        return replace(super()._described_snapshot(record), ready=False)


class TellsWhatItTakes(MemoryStorage):
    """A snapshot's size is what it takes on the platform."""

    def _described_snapshot(self, record: SnapshotRecord) -> Snapshot:
        return replace(super()._described_snapshot(record), size_bytes=4096)


class TellsLocalTime(MemoryStorage):
    """The time of a snapshot is that of another zone, and says that it is in UTC."""

    def _described_snapshot(self, record: SnapshotRecord) -> Snapshot:
        found = super()._described_snapshot(record)
        assert found.created
        return replace(found, created=found.created + timedelta(hours=1))


class ShortensDescriptions(MemoryStorage):
    """A description ends after ten characters."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        return super().create_snapshot(volume_id, name, description[:10])


class WritesNamesInAscii(MemoryStorage):
    """What is no ASCII in a snapshot's name is left out."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        return super().create_snapshot(volume_id, name.encode("ascii", "ignore").decode(), description)


class ListsSnapshotsAsVolumes(MemoryStorage):
    """Snapshots are among the volumes."""

    def volumes(self) -> Iterator[Volume]:
        yield from super().volumes()
        for found in self.snapshots():
            yield Volume(id=VolumeId(found.id), name=found.name, size_bytes=found.size_bytes)


class NotesSnapshots(MemoryStorage):
    """A ``create_snapshot`` that was killed cannot be said again."""

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        with noted(self._settings, f"snapshot-{name}"):
            return super().create_snapshot(volume_id, name, description)


class MakesBlankCopies(MemoryStorage):
    """A volume that is made of a snapshot or of a volume is as large, and blank."""

    def create(self, spec: VolumeSpec) -> Volume:
        made = super().create(spec)
        if spec.source_snapshot or spec.source_volume:
            with self.platform.array() as array:
                array.write(made.id, {})
        return made


class CopiesWhatIsThereNow(MemoryStorage):
    """A volume that is made of a snapshot has what the snapshot's volume has by then."""

    def create(self, spec: VolumeSpec) -> Volume:
        made = super().create(spec)
        if spec.source_snapshot:
            with self.platform.array() as array:
                of = array.snapshot(spec.source_snapshot).volume_id
                array.write(made.id, array.volume(of).content)
        return made


class SharedBlocks:
    """What a volume is made of and the volume are the same blocks."""

    def __init__(self, platform: MemoryPlatform) -> None:
        self._platform = platform

    def write(self, volume_id: VolumeId, offset: int, data: bytes) -> None:
        self._platform.write(self._place(volume_id), offset, data)

    def read(self, volume_id: VolumeId, offset: int, length: int) -> bytes:
        return self._platform.read(self._place(volume_id), offset, length)

    def _place(self, volume_id: str) -> str:
        state = self._platform.state()
        record = state.volumes[volume_id]
        of_snapshot = state.snapshots[record.source_snapshot].volume_id if record.source_snapshot else ""
        return record.source_volume or of_snapshot or volume_id


class SharesBlocks(MemoryStorage):
    """What is written to a clone shows in its source, and the reverse."""

    @staticmethod
    def contents(platform: MemoryPlatform) -> Contents:
        return SharedBlocks(platform)


class IgnoresSizes(MemoryStorage):
    """What is made of something is as large as that, whatever was asked for."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, size_bytes=0) if spec.source_volume or spec.source_snapshot else spec)


class EnlargesCopies(MemoryStorage):
    """What is asked to be smaller than its source is made as large as that, without a word."""

    def create(self, spec: VolumeSpec) -> Volume:
        try:
            return super().create(spec)
        except OutOfRange:
            return super().create(replace(spec, size_bytes=0))


class IgnoresTheLimit(MemoryStorage):
    """``limit_bytes`` of a spec is ignored."""

    def create(self, spec: VolumeSpec) -> Volume:
        return super().create(replace(spec, limit_bytes=0))


class MakesItEmptyInstead(MemoryStorage):
    """What is to be made of something that there is not is made empty."""

    def create(self, spec: VolumeSpec) -> Volume:
        try:
            return super().create(spec)
        except NotFound:
            return super().create(replace(spec, source_volume=None, source_snapshot=None))


class IgnoresSources(MemoryStorage):
    """Of what a volume of that name was made does not matter."""

    def _compared(self, spec: VolumeSpec, found: VolumeRecord) -> list[tuple[str, object, object]]:
        return [each for each in super()._compared(spec, found) if not each[0].startswith("source")]


class RemovesWhatWasMade(MemoryStorage):
    """With a snapshot or a volume goes what was made of it."""

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        super().remove_snapshot(snapshot_id)
        self._remove_copies(snapshot_id)

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        super().remove(volume_id)
        self._remove_copies(volume_id)

    def _remove_copies(self, source: str) -> None:
        for record in self.platform.state().volumes.values():
            if source in (record.source_volume, record.source_snapshot):
                super().remove(VolumeId(record.id))


class RemovesWithSnapshots(MemoryStorage):
    """With a volume go its snapshots."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        super().remove(volume_id)
        for found in list(self.snapshots(volume_id=volume_id)):
            self.remove_snapshot(found.id)


BROKEN_SNAPSHOTS: Mapping[str, type[MemoryStorage]] = {
    "a_snapshot_has_the_name_and_the_volume": NamesSnapshotsItself,
    "create_snapshot_said_ten_times_takes_one": SnapsAlways,
    "create_snapshot_at_one_moment_takes_one": LooksAndThenSnaps,
    "a_snapshot_name_of_another_volume_is_refused": GivesWhatHasTheName,
    "snapshots_of_a_volume_are_those_alone": ListsSnapshotsOfAll,
    "snapshots_by_id_are_that_one": UsesOneFilter,
    "snapshots_lists_all_of_them_once": ListsOnePage,
    "snapshots_in_the_list_have_ids_of_their_own": ListsSnapshotsTwice,
    "an_unknown_snapshot_id_lists_nothing": MissesSnapshots,
    "a_removed_snapshot_is_not_listed": KeepsSnapshots,
    "remove_snapshot_of_an_unknown_one_succeeds": MissesSnapshots,
    "a_snapshot_name_is_free_once_it_is_removed": NeverReusesNames,
    "a_snapshot_of_an_unknown_volume_is_not_found": SnapsNothing,
    "a_snapshot_becomes_ready": NeverReady,
    "a_snapshot_is_as_large_as_its_volume": TellsWhatItTakes,
    "a_snapshot_says_when_it_was_taken": TellsLocalTime,
    "a_description_is_kept_as_it_is": ShortensDescriptions,
    "snapshots_may_have_strange_names": WritesNamesInAscii,
    "a_snapshot_is_no_volume": ListsSnapshotsAsVolumes,
    "a_snapshot_that_was_killed_and_said_again_is_one": NotesSnapshots,
    "a_volume_of_a_snapshot_has_its_data": MakesBlankCopies,
    "a_snapshot_keeps_what_the_volume_had": CopiesWhatIsThereNow,
    "a_volume_of_a_snapshot_is_independent": SharesBlocks,
    "a_volume_of_a_snapshot_may_be_larger": IgnoresSizes,
    "a_volume_of_a_snapshot_cannot_be_smaller": EnlargesCopies,
    "a_volume_of_a_snapshot_keeps_to_the_limit": IgnoresTheLimit,
    "a_volume_of_an_unknown_snapshot_is_not_found": MakesItEmptyInstead,
    "a_volume_of_a_snapshot_is_made_once": IgnoresSources,
    "a_volume_outlives_the_snapshot_that_it_was_made_of": RemovesWhatWasMade,
    "a_snapshot_is_never_lost_with_its_volume": RemovesWithSnapshots,
}
"""The driver that each check catches."""
