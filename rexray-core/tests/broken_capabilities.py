"""Storage drivers with one defect each, and the checks that have to catch them: what a volume can become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from broken_attaching import noted
from rexray.errors import AlreadyExists, InvalidRequest, NotFound, NotReady
from rexray.testing.memory.model import STEP, SnapshotRecord
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Snapshot, SnapshotId, Volume, VolumeId


class GrowsNothing(MemoryStorage):
    """``expand`` returns the volume as it is."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        return self.volume(volume_id)


class GrowsEachTime(MemoryStorage):
    """Each ``expand`` makes the volume larger."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        return super().expand(volume_id, max(size_bytes, self.volume(volume_id).size_bytes + STEP))


class SaysThatItGrew(MemoryStorage):
    """``expand`` returns a larger volume than there is."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        return replace(self.volume(volume_id), size_bytes=size_bytes)


class Shrinks(MemoryStorage):
    """``expand`` makes a volume as large as it is told, which may be smaller."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        with self.platform.array() as array:
            volume = array.volume(volume_id)
            array.state.volumes[volume_id] = replace(volume, size_bytes=-(-size_bytes // STEP) * STEP)
        return self.volume(volume_id)


class GrowsBeyondTheLimit(MemoryStorage):
    """``expand`` knows no limit."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        return super().expand(volume_id, size_bytes)


class DetachesToGrow(MemoryStorage):
    """``expand`` takes the volume from its instance."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        self.detach(volume_id)
        return super().expand(volume_id, size_bytes, limit_bytes=limit_bytes)


class WipesWhatGrows(MemoryStorage):
    """A volume that has grown is blank."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        with self.platform.array() as array:
            array.write(volume_id, {})
        return super().expand(volume_id, size_bytes, limit_bytes=limit_bytes)


class GrowsWhatThereIsNot(MemoryStorage):
    """``expand`` of an unknown volume is success."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        try:
            return super().expand(volume_id, size_bytes, limit_bytes=limit_bytes)
        except NotFound:
            return Volume(id=volume_id, name="", size_bytes=size_bytes)


class GrowsAll(MemoryStorage):
    """``expand`` makes every volume as large."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        for volume in list(self.volumes()):
            super().expand(volume.id, size_bytes)
        return self.volume(volume_id)


class SnapshotsGrow(MemoryStorage):
    """A snapshot is as large as its volume is by now."""

    def _described_snapshot(self, record: SnapshotRecord) -> Snapshot:
        volume = self.platform.state().volumes[record.volume_id]
        return replace(super()._described_snapshot(record), size_bytes=volume.size_bytes)


class NotesExpand(MemoryStorage):
    """An ``expand`` that was killed cannot be said again."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        with noted(self._settings, f"expand-{volume_id}"):
            return super().expand(volume_id, size_bytes, limit_bytes=limit_bytes)


class ModifiesNothing(MemoryStorage):
    """``modify`` returns the volume as it is."""

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        return self.volume(volume_id)


class ModifiesOnce(MemoryStorage):
    """``modify`` to what is so already is an error."""

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        if self.volume(volume_id).type == options.get("type"):
            raise AlreadyExists(f"volume {volume_id!r} is of that type")
        return super().modify(volume_id, options)


class ModifiesWhatItKnows(MemoryStorage):
    """What ``modify`` does not know it leaves aside."""

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        return super().modify(volume_id, {key: options[key] for key in options if key in ("type", "iops")})


class ModifiesOneByOne(MemoryStorage):
    """``modify`` changes one property after another, up to one that it does not know."""

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        for key, value in options.items():
            super().modify(volume_id, {key: value})
        return self.volume(volume_id)


class ModifiesWhatThereIsNot(MemoryStorage):
    """``modify`` of an unknown volume is success."""

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        try:
            return super().modify(volume_id, options)
        except NotFound:
            return Volume(id=volume_id, name="")


class ModifiesSomething(MemoryStorage):
    """``modify`` without options is an error."""

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        if not options:
            raise InvalidRequest(f"volume {volume_id!r}: nothing is to be changed")
        return super().modify(volume_id, options)


class ModifiesByMakingAnew(MemoryStorage):
    """A volume that is changed is made anew, and blank."""

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        with self.platform.array() as array:
            array.write(volume_id, {})
        return super().modify(volume_id, options)


class RollsNothingBack(MemoryStorage):
    """``rollback`` returns the volume as it is."""

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        return self.volume(volume_id)


class RenamesWhatItRollsBack(MemoryStorage):
    """A volume that was rolled back has another name."""

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        made = super().rollback(volume_id, snapshot_id)
        with self.platform.array() as array:
            array.state.volumes[volume_id] = replace(array.volume(volume_id), name=f"{made.name}-restored")
        return self.volume(volume_id)


class RollsBackOnce(MemoryStorage):
    """A volume cannot be put back to the same snapshot twice."""

    _done: ClassVar[set[tuple[VolumeId, SnapshotId]]] = set()

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        if (volume_id, snapshot_id) in self._done:
            raise NotReady(f"volume {volume_id!r} was rolled back to snapshot {snapshot_id!r} already")
        self._done.add((volume_id, snapshot_id))
        return super().rollback(volume_id, snapshot_id)


class DetachesToRollBack(MemoryStorage):
    """``rollback`` takes the volume from its instance."""

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        self.detach(volume_id)
        return super().rollback(volume_id, snapshot_id)


class RollsBackBeforeItLooks(MemoryStorage):
    """``rollback`` puts the data back, and then sees whether it might."""

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        with self.platform.array() as array:
            array.write(volume_id, array.snapshot(snapshot_id).content)
        return super().rollback(volume_id, snapshot_id)


class RollsBackToAnything(MemoryStorage):
    """``rollback`` takes any snapshot, of whatever volume."""

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        with self.platform.array() as array:
            array.write(volume_id, array.snapshot(snapshot_id).content)
        return self.volume(volume_id)


class RollsBackToNothing(MemoryStorage):
    """``rollback`` of what there is not, or to that, is success."""

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        try:
            return super().rollback(volume_id, snapshot_id)
        except NotFound:
            return Volume(id=volume_id, name="")


class RemovesNewerSnapshots(MemoryStorage):
    """With a rollback go the snapshots that were taken later."""

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        made = super().rollback(volume_id, snapshot_id)
        for found in list(self.snapshots(volume_id=volume_id)):
            if found.id > snapshot_id:
                self.remove_snapshot(found.id)
        return made


class MixesSizes(MemoryStorage):
    """A volume that has grown keeps what it had by then, and says that it was rolled back."""

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        volume, [snapshot] = self.volume(volume_id), self.snapshots(snapshot_id=snapshot_id)
        return volume if volume.size_bytes > snapshot.size_bytes else super().rollback(volume_id, snapshot_id)


BROKEN_CAPABILITIES: Mapping[str, type[MemoryStorage]] = {
    "expand_makes_the_volume_as_large_as_was_asked": GrowsNothing,
    "expand_said_ten_times_grows_once": GrowsEachTime,
    "the_grown_size_is_told_everywhere": SaysThatItGrew,
    "expand_to_a_smaller_size_changes_nothing": Shrinks,
    "expand_beyond_the_limit_is_refused": GrowsBeyondTheLimit,
    "steps_of_the_platform_do_not_lead_beyond_the_limit": GrowsBeyondTheLimit,
    "an_attached_volume_grows_or_is_in_use": DetachesToGrow,
    "a_grown_volume_keeps_its_data": WipesWhatGrows,
    "a_grown_volume_can_be_written_to_its_end": SaysThatItGrew,
    "expand_of_an_unknown_volume_is_not_found": GrowsWhatThereIsNot,
    "expand_grows_no_other_volume": GrowsAll,
    "a_snapshot_does_not_grow_with_its_volume": SnapshotsGrow,
    "an_expand_that_was_killed_and_said_again_grows_the_volume": NotesExpand,
    "modify_changes_the_volume": ModifiesNothing,
    "modify_said_ten_times_changes_once": ModifiesOnce,
    "modify_of_an_unknown_property_is_refused": ModifiesWhatItKnows,
    "modify_of_a_known_and_an_unknown_property_changes_nothing": ModifiesOneByOne,
    "modify_of_an_unknown_volume_is_not_found": ModifiesWhatThereIsNot,
    "modify_of_nothing_changes_nothing": ModifiesSomething,
    "a_modified_volume_keeps_its_data": ModifiesByMakingAnew,
    "rollback_puts_the_data_back": RollsNothingBack,
    "a_volume_that_was_rolled_back_keeps_its_name_and_size": RenamesWhatItRollsBack,
    "rollback_said_ten_times_is_said_once": RollsBackOnce,
    "rollback_of_an_attached_volume_is_refused": DetachesToRollBack,
    "a_rollback_that_is_refused_changes_no_data": RollsBackBeforeItLooks,
    "rollback_to_another_volumes_snapshot_is_refused": RollsBackToAnything,
    "rollback_to_an_unknown_snapshot_is_not_found": RollsBackToNothing,
    "rollback_of_an_unknown_volume_is_not_found": RollsBackToNothing,
    "snapshots_outlive_a_rollback": RemovesNewerSnapshots,
    "a_volume_can_go_back_and_forth": RemovesNewerSnapshots,
    "a_volume_that_has_grown_is_put_back_or_left_alone": MixesSizes,
}
"""The driver that each check catches."""
