"""Storage drivers that break the contract in lists, look-ups, errors and troubles."""

from __future__ import annotations

import fnmatch
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from rexray.errors import InvalidRequest, NotFound, RexrayError, TimedOut, Unauthorized, Unavailable
from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import VolumeRecord
from rexray.testing.memory.platform import MemoryPlatform
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Instance, InstanceId, Volume, VolumeId, VolumeSpec

T = TypeVar("T")

# Lists and look-ups


class ListsAreLists(MemoryStorage):
    """Every page is waited for before the first volume comes."""

    def volumes(self) -> Iterator[Volume]:
        return list(super().volumes())  # type: ignore[return-value] # that is the defect


class ListsAtOnce(MemoryStorage):
    """Every page is asked for before the first volume comes."""

    def volumes(self) -> Iterator[Volume]:
        return iter(list(super().volumes()))


class NaiveTimes(MemoryStorage):
    """Times have no time zone."""

    def volumes(self) -> Iterator[Volume]:
        return (replace(each, created=each.created and each.created.replace(tzinfo=None)) for each in super().volumes())


class PagesOverlap(MemoryStorage):
    """The last volume of a page is the first of the next as well."""

    def volumes(self) -> Iterator[Volume]:
        for number, volume in enumerate(super().volumes(), 1):
            yield volume
            if number % 2 == 0:
                yield volume


class Flickers(MemoryStorage):
    """Every second list lacks a volume, as one of a replica that lags does."""

    _count = 0

    def volumes(self) -> Iterator[Volume]:
        self._count += 1
        found = super().volumes()
        if self._count % 2 == 0:
            next(found, None)
        return found


class LooksUpHalf(MemoryStorage):
    """``volume`` and ``volumes_named`` do not know attachments."""

    def volume(self, volume_id: VolumeId) -> Volume:
        return replace(super().volume(volume_id), attachments=())

    def volumes_named(self, name: str) -> Iterator[Volume]:
        return (replace(each, attachments=()) for each in super().volumes_named(name))


class NamedOrNotFound(MemoryStorage):
    """A name that no volume has is an error."""

    def volumes_named(self, name: str) -> Iterator[Volume]:
        found = list(super().volumes_named(name))
        if not found:
            raise NotFound(f"no volume is named {name!r}")
        return iter(found)


class NamedByPattern(MemoryStorage):
    """Names are patterns."""

    def volumes_named(self, name: str) -> Iterator[Volume]:
        return (volume for volume in self.volumes() if fnmatch.fnmatchcase(volume.name, name))


class AttachedIsAll(MemoryStorage):
    """A filter that the platform does not know is ignored, and everything comes."""

    def attached(self, instance_id: InstanceId) -> Iterator[Volume]:
        return self.volumes()


class UnknownIsInvalid(MemoryStorage):
    """What does not exist is taken for malformed."""

    def volume(self, volume_id: VolumeId) -> Volume:
        try:
            return super().volume(volume_id)
        except NotFound as error:
            raise InvalidRequest(str(error)) from None


class UnknownIsPythons(MemoryStorage):
    """What does not exist is a ``KeyError``."""

    def volume(self, volume_id: VolumeId) -> Volume:
        return self._described(self.platform.state().volumes[volume_id])


class NamesWin(MemoryStorage):
    """A look-up takes names, and prefers them."""

    def volume(self, volume_id: VolumeId) -> Volume:
        return next(self.volumes_named(volume_id), None) or super().volume(volume_id)


class TwinInstances(MemoryStorage):
    """Two instances have one id."""

    def instances(self) -> Iterator[Instance]:
        for instance in super().instances():
            yield instance
            yield replace(instance, name="twin")


class EverySecondLacks(MemoryStorage):
    """What a driver lists depends on when it was made."""

    _made: ClassVar[int] = 0

    def __init__(self, settings: MemorySettings, platform: MemoryPlatform | None = None) -> None:
        super().__init__(settings, platform)
        EverySecondLacks._made += 1
        self._lacks = EverySecondLacks._made % 2

    def volumes(self) -> Iterator[Volume]:
        found = super().volumes()
        if self._lacks:
            next(found, None)
        return found


class LastPageDropped(MemoryStorage):
    """The last page, which is not full, is taken for the end."""

    def volumes(self) -> Iterator[Volume]:
        found = list(super().volumes())
        return iter(found[: len(found) // 10 * 10])


class CallsPerVolume(MemoryStorage):
    """The list asks for each volume by itself."""

    def volumes(self) -> Iterator[Volume]:
        return (self.volume(each.id) for each in super().volumes())


class PagesByNumber(MemoryStorage):
    """Pages are counted from the beginning: what goes meanwhile moves the rest."""

    def volumes(self) -> Iterator[Volume]:
        start = 0
        while found := self._page_from(start):
            yield from map(self._described, found)
            start += len(found)

    def _page_from(self, start: int) -> list[VolumeRecord]:
        return self._ask("volumes", lambda array: [array.state.volumes[k] for k in sorted(array.state.volumes)])[
            start:
        ][:10]


# Errors and troubles


class Anonymous(MemoryStorage):
    """Errors do not say what they are about."""

    def volume(self, volume_id: VolumeId) -> Volume:
        return self._namelessly(lambda: super(Anonymous, self).volume(volume_id))

    def create(self, spec: VolumeSpec) -> Volume:
        return self._namelessly(lambda: super(Anonymous, self).create(spec))

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        self._namelessly(lambda: super(Anonymous, self).remove(volume_id))

    def _namelessly(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except RexrayError as error:
            raise type(error)("this cannot be done") from None


class BreaksOnce(MemoryStorage):
    """After an error nothing works."""

    _broken = False

    def volume(self, volume_id: VolumeId) -> Volume:
        if self._broken:
            raise Unavailable("the session is in an unknown state")
        try:
            return super().volume(volume_id)
        except NotFound:
            self._broken = True
            raise


class AsksAtStart(MemoryStorage):
    """The constructor calls the platform."""

    def __init__(self, settings: MemorySettings, platform: MemoryPlatform | None = None) -> None:
        super().__init__(settings, platform)
        list(self.volumes())


class TroubleIsAnAnswer(MemoryStorage):
    """An error that it does not know is taken for what it would like to hear."""

    trouble: ClassVar[type[RexrayError]] = Unavailable

    def volumes(self) -> Iterator[Volume]:
        try:
            yield from super().volumes()
        except self.trouble:
            return

    def volume(self, volume_id: VolumeId) -> Volume:
        try:
            return super().volume(volume_id)
        except self.trouble:
            raise NotFound(f"volume {volume_id!r} does not exist") from None

    def create(self, spec: VolumeSpec) -> Volume:
        try:
            return super().create(spec)
        except self.trouble:
            return Volume(id=VolumeId(spec.name), name=spec.name, size_bytes=spec.size_bytes)

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        try:
            super().remove(volume_id)
        except self.trouble:
            return


class RefusalIsAnAnswer(TroubleIsAnAnswer):
    """The same with credentials that are refused."""

    trouble = Unauthorized


class TriesForEver(MemoryStorage):
    """Every call is made again until it works."""

    def _call(self, call: str, work: Callable[[Array], T], **more: Any) -> T:
        for _ in range(100):
            try:
                return super()._call(call, work, **more)
            except TimedOut:
                continue
        raise TimedOut(f"{call}: no answer")


class LeavesThreads(MemoryStorage):
    """Each call leaves a thread behind, which waits for more."""

    def _call(self, call: str, work: Callable[[Array], T], **more: Any) -> T:
        threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
        return super()._call(call, work, **more)
