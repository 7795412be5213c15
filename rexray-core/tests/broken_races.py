"""Storage drivers that break the contract beside others, and after a restart."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from broken_names import Keyed
from rexray.errors import NotFound
from rexray.testing.memory.array import NewVolume
from rexray.testing.memory.model import VolumeRecord
from rexray.testing.memory.platform import MemoryPlatform
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Attachment, InstanceId, Volume, VolumeId, VolumeSpec

# Races


class LooksThenMakes(MemoryStorage):
    """Looks whether there is a volume of the name, and makes one if not, whatever was made meanwhile."""

    def create(self, spec: VolumeSpec) -> Volume:
        for found in self.volumes_named(spec.name):
            self._refuse_difference(spec, self.platform.state().volumes[found.id])
            return found
        time.sleep(0.02)
        with self.platform.array() as array:
            new = NewVolume(name=secrets.token_hex(8), size_bytes=spec.size_bytes, zone="zone-1")
            made = replace(array.create(new), name=spec.name)
            array.state.volumes[made.id] = made
        return self._described(made)


class LocksForItself(LooksThenMakes):
    """The same under a lock, which other processes do not have."""

    def __init__(self, settings: MemorySettings, platform: MemoryPlatform | None = None) -> None:
        super().__init__(settings, platform)
        self._lock = threading.Lock()

    def create(self, spec: VolumeSpec) -> Volume:
        with self._lock:
            return super().create(spec)


class MixesThreadsUp(MemoryStorage):
    """What is asked for is kept in the driver while it is worked on."""

    _spec: VolumeSpec
    _id: VolumeId

    def create(self, spec: VolumeSpec) -> Volume:
        self._spec = spec
        time.sleep(0.01)
        return super().create(self._spec)

    def volume(self, volume_id: VolumeId) -> Volume:
        self._id = volume_id
        time.sleep(0.01)
        return super().volume(self._id)


class LooksThenRemoves(MemoryStorage):
    """Whoever is second to remove a volume fails."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        if volume_id not in self.platform.state().volumes:
            return
        time.sleep(0.01)
        self._change("remove", lambda array: array.remove(volume_id))


class LooksTwice(MemoryStorage):
    """What was found is looked at again, as if it could not have gone meanwhile."""

    def create(self, spec: VolumeSpec) -> Volume:
        found = super().create(spec)
        time.sleep(0.01)
        return self._described(self.platform.state().volumes[found.id])

    def volume(self, volume_id: VolumeId) -> Volume:
        found = super().volume(volume_id)
        time.sleep(0.01)
        return self._described(self.platform.state().volumes[found.id])


class AttachesWhatIsGone(MemoryStorage):
    """``attach`` is not made again when the volume went meanwhile, and says that it is done."""

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        self.volume(volume_id)
        time.sleep(0.01)
        try:
            return super().attach(volume_id, instance_id, device=device, read_only=read_only, force=force)
        except NotFound:
            return Attachment(volume_id=volume_id, instance_id=instance_id, token="link")


# Restarts


class KnowsItsOwn(MemoryStorage):
    """Names and attachments are known to the driver that made them."""

    def __init__(self, settings: MemorySettings, platform: MemoryPlatform | None = None) -> None:
        super().__init__(settings, platform)
        self._own: set[str] = set()

    def create(self, spec: VolumeSpec) -> Volume:
        volume = super().create(spec)
        self._own.add(volume.id)
        return volume

    def volumes_named(self, name: str) -> Iterator[Volume]:
        return (volume for volume in super().volumes_named(name) if volume.id in self._own)

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        if volume_id in self._own:
            super().detach(volume_id, instance_id)

    def _attachments(self, record: VolumeRecord) -> tuple[Attachment, ...]:
        return super()._attachments(record) if record.id in self._own else ()


class Salted(Keyed):
    """Long names become hashes that differ from process to process."""

    def __init__(self, settings: MemorySettings, platform: MemoryPlatform | None = None) -> None:
        super().__init__(settings, platform)
        self._salt = secrets.token_hex(4)

    def key(self, name: str) -> str:
        return name if len(name) < 60 else f"{name[:20]}-{self._salt}"


class Caches(MemoryStorage):
    """What was looked up or made once is remembered for good."""

    def __init__(self, settings: MemorySettings, platform: MemoryPlatform | None = None) -> None:
        super().__init__(settings, platform)
        self._known: dict[str, Volume] = {}

    def volume(self, volume_id: VolumeId) -> Volume:
        if volume_id not in self._known:
            self._known[volume_id] = super().volume(volume_id)
        return self._known[volume_id]

    def create(self, spec: VolumeSpec) -> Volume:
        if spec.name not in self._known:
            self._known[spec.name] = super().create(spec)
        return self._known[spec.name]


class StartsAfresh(MemoryStorage):
    """A driver that starts detaches what it finds attached."""

    def __init__(self, settings: MemorySettings, platform: MemoryPlatform | None = None) -> None:
        super().__init__(settings, platform)
        for volume in list(self.volumes()):
            self.detach(volume.id)
