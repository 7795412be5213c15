"""Storage drivers with one defect each, and the checks that have to catch them: groups, copies and clones."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from broken_attaching import noted
from broken_snapshots import (
    EnlargesCopies,
    IgnoresSizes,
    IgnoresSources,
    IgnoresTheLimit,
    MakesBlankCopies,
    MakesItEmptyInstead,
    RemovesWhatWasMade,
    SharesBlocks,
)
from rexray.errors import AlreadyExists, NotFound
from rexray.testing.memory.model import GroupRecord, SnapshotRecord
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Snapshot, SnapshotGroup, SnapshotId, Volume, VolumeId, VolumeSpec


class HidesTheGroup(MemoryStorage):
    """A snapshot does not say to which group it belongs."""

    def _described_snapshot(self, record: SnapshotRecord) -> Snapshot:
        return replace(super()._described_snapshot(record), group="")


class MindsTheOrder(MemoryStorage):
    """A group of the same volumes in another order is another group."""

    _orders: ClassVar[dict[str, list[VolumeId]]] = {}

    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        if self._orders.setdefault(name, list(volume_ids)) != list(volume_ids):
            raise AlreadyExists(f"group snapshot {name!r} is of other volumes")
        return super().create_snapshot_group(name, volume_ids)


class GivesTheGroupOfTheName(MemoryStorage):
    """``create_snapshot_group`` gives the group of that name, whatever it is of."""

    def _refuse_other_volumes(self, found: GroupRecord, wanted: Sequence[str]) -> None:
        return


class GroupsWhatThereIs(MemoryStorage):
    """A volume that there is not is left out of a group."""

    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        there = self.platform.state().volumes
        return super().create_snapshot_group(name, [each for each in volume_ids if each in there])


class GroupsNothing(MemoryStorage):
    """A group of no volumes is one."""

    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        if not volume_ids:
            return SnapshotGroup(id=SnapshotId("group-0"), name=name, snapshots=())
        return super().create_snapshot_group(name, volume_ids)


class LosesMembers(MemoryStorage):
    """A group that is looked up has one snapshot less."""

    def snapshot_group(self, group_id: SnapshotId) -> SnapshotGroup:
        found = super().snapshot_group(group_id)
        return replace(found, snapshots=found.snapshots[1:])


class KnowsEveryGroup(MemoryStorage):
    """A group that there is not has no snapshots."""

    def snapshot_group(self, group_id: SnapshotId) -> SnapshotGroup:
        try:
            return super().snapshot_group(group_id)
        except NotFound:
            return SnapshotGroup(id=group_id, name="", snapshots=())


class KeepsMembers(MemoryStorage):
    """A group is removed, and its snapshots stay."""

    def remove_snapshot_group(self, group_id: SnapshotId) -> None:
        with self.platform.array() as array:
            array.state.groups.pop(group_id, None)


class RemovesAllGroups(MemoryStorage):
    """With a group go the others of its volumes."""

    def remove_snapshot_group(self, group_id: SnapshotId) -> None:
        groups = self.platform.state().groups
        wanted = groups[group_id].volumes if group_id in groups else ()
        for other in groups.values():
            if other.volumes == wanted:
                super().remove_snapshot_group(SnapshotId(other.id))


class MissesGroups(MemoryStorage):
    """``remove_snapshot_group`` of an unknown id is an error."""

    def remove_snapshot_group(self, group_id: SnapshotId) -> None:
        self.snapshot_group(group_id)
        super().remove_snapshot_group(group_id)


class HidesMembers(MemoryStorage):
    """The snapshots of groups are not listed."""

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        return (each for each in super().snapshots(volume_id=volume_id, snapshot_id=snapshot_id) if not each.group)


class PretendsToRemove(MemoryStorage):
    """``remove_snapshot`` of a group's snapshot says that it did, and the group has it still."""

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        if not any(each.group for each in self.snapshots(snapshot_id=snapshot_id)):
            super().remove_snapshot(snapshot_id)


class GroupsBlanks(MemoryStorage):
    """The snapshots of a group have no data."""

    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        made = super().create_snapshot_group(name, volume_ids)
        with self.platform.array() as array:
            for each in made.snapshots:
                array.state.snapshots[each.id] = replace(array.snapshot(each.id), content={})
        return made


class NotesGroups(MemoryStorage):
    """A ``create_snapshot_group`` that was killed cannot be said again."""

    def create_snapshot_group(self, name: str, volume_ids: Collection[VolumeId]) -> SnapshotGroup:
        with noted(self._settings, f"group-{name}"):
            return super().create_snapshot_group(name, volume_ids)


class CopiesByName(MemoryStorage):
    """The copy of a snapshot is the snapshot by another name."""

    def copy_snapshot(self, snapshot_id: SnapshotId, name: str, region: str) -> Snapshot:
        return replace(super().copy_snapshot(snapshot_id, name, region), id=snapshot_id)


class CopiesAlways(MemoryStorage):
    """Each ``copy_snapshot`` makes another copy."""

    def copy_snapshot(self, snapshot_id: SnapshotId, name: str, region: str) -> Snapshot:
        return replace(super().copy_snapshot(snapshot_id, f"{name}-{secrets.token_hex(2)}", region), name=name)


class MovesSnapshots(MemoryStorage):
    """A snapshot that is copied is gone from where it was."""

    def copy_snapshot(self, snapshot_id: SnapshotId, name: str, region: str) -> Snapshot:
        made = super().copy_snapshot(snapshot_id, name, region)
        self.remove_snapshot(snapshot_id)
        return made


class CopiesNothing(MemoryStorage):
    """A copy of a snapshot that there is not is one of nothing."""

    def copy_snapshot(self, snapshot_id: SnapshotId, name: str, region: str) -> Snapshot:
        try:
            return super().copy_snapshot(snapshot_id, name, region)
        except NotFound:
            return Snapshot(id=SnapshotId("snap-0"), name=name, volume_id=VolumeId(""))


class GivesTheCopyOfTheName(MemoryStorage):
    """``copy_snapshot`` gives the copy of that name, whatever it is of."""

    def copy_snapshot(self, snapshot_id: SnapshotId, name: str, region: str) -> Snapshot:
        found = [each for each in self.snapshots() if (each.name, each.zone) == (name, region)]
        return found[0] if found else super().copy_snapshot(snapshot_id, name, region)


class ChoosesTheRegion(MemoryStorage):
    """Without a region a copy is made in some other one."""

    def copy_snapshot(self, snapshot_id: SnapshotId, name: str, region: str) -> Snapshot:
        return super().copy_snapshot(snapshot_id, name, region or "region-2")


class ClonesByName(MemoryStorage):
    """A clone is its source by another name."""

    def create(self, spec: VolumeSpec) -> Volume:
        return replace(self.volume(spec.source_volume), name=spec.name) if spec.source_volume else super().create(spec)


class ClonesOnce(MemoryStorage):
    """A clone that is there already is an error."""

    def create(self, spec: VolumeSpec) -> Volume:
        if spec.source_volume and self._find(spec.name):
            raise AlreadyExists(f"volume {spec.name!r} exists")
        return super().create(spec)


class ClonesAgain(MemoryStorage):
    """A clone that is said again is copied again."""

    def create(self, spec: VolumeSpec) -> Volume:
        made = super().create(spec)
        if spec.source_volume:
            with self.platform.array() as array:
                array.write(made.id, array.volume(spec.source_volume).content)
        return made


BROKEN_COPIES: Mapping[str, type[MemoryStorage]] = {
    "a_group_has_a_snapshot_of_each_volume": HidesTheGroup,
    "create_snapshot_group_said_ten_times_takes_one": MindsTheOrder,
    "a_group_of_other_volumes_is_refused": GivesTheGroupOfTheName,
    "a_group_with_an_unknown_volume_is_not_taken": GroupsWhatThereIs,
    "a_group_of_no_volumes_is_refused": GroupsNothing,
    "a_group_is_the_same_when_it_is_looked_up": LosesMembers,
    "an_unknown_group_is_not_found": KnowsEveryGroup,
    "a_group_is_removed_with_its_snapshots": KeepsMembers,
    "removing_a_group_leaves_other_snapshots": RemovesAllGroups,
    "remove_of_an_unknown_group_succeeds": MissesGroups,
    "snapshots_of_a_group_are_listed": HidesMembers,
    "a_group_that_loses_a_snapshot_says_so": PretendsToRemove,
    "volumes_of_a_group_have_their_data": GroupsBlanks,
    "a_group_that_was_killed_and_said_again_is_one": NotesGroups,
    "a_copied_snapshot_is_another_of_that_name": CopiesByName,
    "copy_snapshot_said_ten_times_makes_one": CopiesAlways,
    "a_copy_leaves_the_snapshot_as_it_is": MovesSnapshots,
    "a_copy_of_an_unknown_snapshot_is_not_found": CopiesNothing,
    "a_copy_of_another_snapshot_is_refused": GivesTheCopyOfTheName,
    "a_copy_without_a_region_is_refused": ChoosesTheRegion,
    "a_clone_is_another_volume_of_that_name": ClonesByName,
    "a_clone_has_its_sources_data": MakesBlankCopies,
    "a_clone_does_not_change_with_its_source": SharesBlocks,
    "a_source_does_not_change_with_its_clone": SharesBlocks,
    "a_clone_said_ten_times_is_one_volume": ClonesOnce,
    "a_clone_that_is_said_again_keeps_what_it_has": ClonesAgain,
    "a_clone_of_an_unknown_volume_is_not_found": MakesItEmptyInstead,
    "a_clone_may_be_larger_than_its_source": IgnoresSizes,
    "a_clone_cannot_be_smaller_than_its_source": EnlargesCopies,
    "a_clone_keeps_to_the_limit": IgnoresTheLimit,
    "a_clone_of_another_source_is_refused": IgnoresSources,
    "an_empty_volume_is_not_taken_for_a_clone": IgnoresSources,
    "a_clone_outlives_its_source": RemovesWhatWasMade,
}
"""The driver that each check catches."""
