"""Volume drivers with one defect each, and the checks of the kit that have to catch them: mounting and more."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from broken_volume import Turnstile, noted
from memory_host import MemoryVolumes
from rexray import faults
from rexray.errors import AlreadyExists, InUse, NotFound, NotReady, RexrayError
from rexray.mixins import Expand, Snapshots
from rexray.types import (
    Attachment,
    BlockDevice,
    InstanceId,
    MountPoint,
    MountRequest,
    Snapshot,
    SnapshotId,
    Volume,
    VolumeId,
)

M = TypeVar("M")


class LetsAllGo(MemoryVolumes):
    """Whoever unmounts unmounts for all."""

    def unmount(self, name: str, holder: str) -> None:
        self._holding.unmount(name, None)


class CountsMounts(MemoryVolumes):
    """It counts how often a volume was mounted, not by whom."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._numbers = itertools.count(1)

    def mount(self, request: MountRequest) -> MountPoint:
        return super().mount(replace(request, holder=f"mount-{next(self._numbers)}"))

    def unmount(self, name: str, holder: str) -> None:
        record = self._records.load(name)
        super().unmount(name, record.holders[0] if record and record.holders else holder)


class TrustsStrangers(MemoryVolumes):
    """An unknown holder's unmount ends the mount."""

    def unmount(self, name: str, holder: str) -> None:
        record = self._records.load(name)
        known = record is not None and holder in record.holders
        self._holding.unmount(name, holder if known else None)


class UnmountsOnce(MemoryVolumes):
    """``unmount`` of what is not mounted is an error."""

    def unmount(self, name: str, holder: str) -> None:
        if self.path(name) is None:
            raise NotReady(f"volume {name!r} is not mounted")
        super().unmount(name, holder)


class KeepsAttached(MemoryVolumes):
    """The last holder unmounts, and the volume stays attached."""

    def unmount(self, name: str, holder: str) -> None:
        super().unmount(name, holder)
        self._storage.attach(self.volume_id(name), self.instance_id())


class MakesWhatIsMissing(MemoryVolumes):
    """``mount`` makes a volume that is missing."""

    def mount(self, request: MountRequest) -> MountPoint:
        with suppress(NotFound):
            return super().mount(request)
        self.create(request.name, {})
        return super().mount(request)


class MountsForWriting(MemoryVolumes):
    """A read-only mount can be written to."""

    def mount(self, request: MountRequest) -> MountPoint:
        return replace(super().mount(replace(request, read_only=False)), read_only=request.read_only)


class GivesWhatIsThere(MemoryVolumes):
    """A second holder gets the first one's mount, whatever it asks for."""

    def mount(self, request: MountRequest) -> MountPoint:
        with suppress(InUse):
            return super().mount(request)
        return super().mount(replace(request, read_only=not request.read_only))


class FormatsAlways(MemoryVolumes):
    """Every first mount makes a filesystem."""

    def mount(self, request: MountRequest) -> MountPoint:
        return super().mount(replace(request, overwrite_fs=self.path(request.name) is None))


class FormatsAsAsked(MemoryVolumes):
    """A filesystem that is asked for is made, whatever there is."""

    def mount(self, request: MountRequest) -> MountPoint:
        return super().mount(replace(request, overwrite_fs=bool(request.fs_type)))


class AttachesOnce(MemoryVolumes):
    """``attach`` of what is attached is an error."""

    def attach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> Attachment:
        if self._storage.attachments(self.volume_id(name), instance_id):
            raise AlreadyExists(f"volume {name!r} is attached")
        return super().attach(name, instance_id, force=force)


class DetachesOnce(MemoryVolumes):
    """``detach`` of what is not attached is an error."""

    def detach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> None:
        if not self._storage.attachments(self.volume_id(name), instance_id):
            raise NotReady(f"volume {name!r} is not attached")
        super().detach(name, instance_id, force=force)


class DetachesMounted(MemoryVolumes):
    """``detach`` unmounts first, whoever holds the volume."""

    def detach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> None:
        self._holding.unmount(name, None)
        super().detach(name, instance_id, force=force)


class DetachesAnything(MemoryVolumes):
    """``detach`` of a missing volume is success."""

    def detach(self, name: str, instance_id: InstanceId, *, force: bool = False) -> None:
        with suppress(NotFound):
            super().detach(name, instance_id, force=force)


class HasEverything(MemoryVolumes):
    """``devices`` has every volume of the platform."""

    def devices(self) -> tuple[BlockDevice, ...]:
        here = self.instance_id()
        return tuple(
            BlockDevice(provider="memory", instance_id=here, volume_id=volume.id, device=f"/dev/{volume.id}")
            for volume in self.list()
        )


class AlwaysOnTheNetwork(MemoryVolumes):
    """``network_name`` is told whether the volume is attached or not."""

    def network_name(self, name: str, instance_id: InstanceId) -> str:
        return self.get(name).id


class CountsInMemory(MemoryVolumes):
    """Who holds a volume is known until the process ends."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._holders: dict[str, set[str]] = {}

    def mount(self, request: MountRequest) -> MountPoint:
        self._holders.setdefault(request.name, set()).add(request.holder)
        return super().mount(replace(request, holder="all"))

    def unmount(self, name: str, holder: str) -> None:
        self._holders.setdefault(name, set()).discard(holder)
        if not self._holders[name]:
            super().unmount(name, "all")


class RecoversByUnmounting(MemoryVolumes):
    """``recover`` unmounts everything."""

    def recover(self) -> Iterator[str]:
        return (f"{name}: unmounted" for name in self.unmount_all())


class RecoversNothing(MemoryVolumes):
    """``recover`` does nothing."""

    def recover(self) -> Iterator[str]:
        return iter(())


class NotesMount(MemoryVolumes):
    """A ``mount`` that was killed stands in the way of its repetition."""

    def mount(self, request: MountRequest) -> MountPoint:
        with noted(self.home, request.name):
            return super().mount(request)


class ForgetsFirst(MemoryVolumes):
    """``unmount`` forgets who holds the volume, and then unmounts it."""

    def unmount(self, name: str, holder: str) -> None:
        record = self._records.load(name)
        if record is not None and record.holders == (holder,):
            self._records.forget(name)
            faults.point("broken-forgotten")
            self._records.save(record)
        super().unmount(name, holder)


class UnmountsTheFirst(MemoryVolumes):
    """``unmount_all`` unmounts one volume."""

    def unmount_all(self) -> Iterator[str]:
        return itertools.islice(super().unmount_all(), 1)


class MountsOneAtATime(MemoryVolumes):
    """A ``mount`` that meets another one fails."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._turnstile = Turnstile()

    def mount(self, request: MountRequest) -> MountPoint:
        with self._turnstile.pass_through():
            return super().mount(request)


class UnmountsOneAtATime(MemoryVolumes):
    """An ``unmount`` that meets another one fails."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._turnstile = Turnstile()

    def unmount(self, name: str, holder: str) -> None:
        with self._turnstile.pass_through():
            super().unmount(name, holder)


class ForgetsTheLastOne(MemoryVolumes):
    """The last but one who lets go ends the mount."""

    def unmount(self, name: str, holder: str) -> None:
        super().unmount(name, holder)
        record = self._records.load(name)
        if record is not None and len(record.holders) == 1:
            self._holding.unmount(name, None)


class CanDoAnything(MemoryVolumes):
    """``capability`` gives itself for whatever it lacks."""

    def capability(self, mixin: type[M]) -> M:
        try:
            return super().capability(mixin)
        except RexrayError:
            return self  # type: ignore[return-value] # which is the defect


class _Stays(Expand):
    def __init__(self, driver: MemoryVolumes) -> None:
        self._driver = driver

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        return replace(self._driver.get(volume_id), size_bytes=size_bytes)


class SaysItGrew(MemoryVolumes):
    """``expand`` says that the volume has grown, and nothing has."""

    def capability(self, mixin: type[M]) -> M:
        found: object = _Stays(self) if issubclass(mixin, Expand) else super().capability(mixin)
        assert isinstance(found, mixin)
        return found


class _AnotherEachTime(Snapshots):
    def __init__(self, inner: Snapshots) -> None:
        self._inner = inner

    def create_snapshot(self, volume_id: VolumeId, name: str, description: str = "") -> Snapshot:
        number = len(list(self._inner.snapshots()))
        return replace(self._inner.create_snapshot(volume_id, f"{name}-{number}", description), name=name)

    def snapshots(
        self, *, volume_id: VolumeId | None = None, snapshot_id: SnapshotId | None = None
    ) -> Iterator[Snapshot]:
        return self._inner.snapshots(volume_id=volume_id, snapshot_id=snapshot_id)

    def remove_snapshot(self, snapshot_id: SnapshotId) -> None:
        self._inner.remove_snapshot(snapshot_id)


class SnapsAgain(MemoryVolumes):
    """A snapshot that is taken again is another one."""

    def capability(self, mixin: type[M]) -> M:
        found: object = super().capability(mixin)
        if isinstance(found, Snapshots) and issubclass(mixin, Snapshots):
            found = _AnotherEachTime(found)
        assert isinstance(found, mixin)
        return found


BROKEN_MOUNTS: Mapping[str, type[MemoryVolumes]] = {
    "two_holders_share_one_mount": LetsAllGo,
    "a_holder_counts_once": CountsMounts,
    "an_unknown_holder_unmounts_nothing": TrustsStrangers,
    "unmount_said_ten_times_is_success": UnmountsOnce,
    "the_last_holder_detaches": KeepsAttached,
    "mount_of_a_missing_volume_makes_nothing": MakesWhatIsMissing,
    "a_read_only_mount_takes_no_writes": MountsForWriting,
    "holders_with_other_wishes_are_refused": GivesWhatIsThere,
    "what_was_written_is_there_in_the_next_mount": FormatsAlways,
    "asking_for_another_filesystem_keeps_the_data": FormatsAsAsked,
    "attach_said_ten_times_attaches_once": AttachesOnce,
    "detach_said_ten_times_is_success": DetachesOnce,
    "detach_of_a_mounted_volume_is_refused": DetachesMounted,
    "a_missing_volume_can_be_neither_attached_nor_detached": DetachesAnything,
    "devices_are_those_of_attached_volumes": HasEverything,
    "a_network_name_is_told_while_attached": AlwaysOnTheNetwork,
    "a_restart_loses_no_holder": CountsInMemory,
    "recover_says_what_it_did_and_keeps_what_is_held": RecoversByUnmounting,
    "recover_mounts_again_what_is_held": RecoversNothing,
    "recover_finishes_a_mount_that_was_killed": RecoversNothing,
    "a_mount_that_was_killed_can_be_said_again": NotesMount,
    "an_unmount_that_was_killed_can_be_said_again": ForgetsFirst,
    "unmount_all_names_each_volume": UnmountsTheFirst,
    "eight_holders_at_once_get_one_mount": MountsOneAtATime,
    "eight_holders_that_let_go_at_once_unmount": UnmountsOneAtATime,
    "holders_that_come_and_go_disturb_nobody": ForgetsTheLastOne,
    "a_capability_that_nothing_has_is_unsupported": CanDoAnything,
    "a_mounted_volume_grows": SaysItGrew,
    "a_mounted_volume_can_be_snapshotted": SnapsAgain,
}
"""The driver that each check catches."""
