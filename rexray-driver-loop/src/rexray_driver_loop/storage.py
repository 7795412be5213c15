"""The storage driver."""

from __future__ import annotations

from collections.abc import Iterator

from rexray.drivers import StorageDriver
from rexray.mixins import Clone, Encrypted
from rexray.types import InstanceId, Volume, VolumeId, VolumeSpec
from rexray_driver_loop import here
from rexray_driver_loop.attaching import AttachCalls
from rexray_driver_loop.base import PROVIDER, describe
from rexray_driver_loop.groups import GroupCalls
from rexray_driver_loop.making import MakingCalls
from rexray_driver_loop.properties import PropertyCalls
from rexray_driver_loop.settings import LoopSettings
from rexray_driver_loop.viability import viability


class LoopStorage(MakingCalls, AttachCalls, GroupCalls, PropertyCalls, Clone, Encrypted, StorageDriver):
    """Volumes that are files below one directory. A volume's id is its name.

    It knows no other host's devices; those of its own it releases when a volume is taken from where it is.
    """

    name = PROVIDER
    settings = LoopSettings
    viable = staticmethod(viability)

    def create(self, spec: VolumeSpec) -> Volume:
        """As the contract says, for a wish that this class honours."""
        self.check_spec(spec)
        return super().create(spec)

    def volumes(self) -> Iterator[Volume]:
        """Every volume, sorted by id; one small file is read for each."""
        pool = self._pool
        devices = here.table(pool.volumes.folder)
        return (describe(pool, name, meta, devices) for name, meta in pool.volumes.entries())

    def attached(self, instance_id: InstanceId) -> Iterator[Volume]:
        """The volumes that the instance has, sorted by id; of the others only the small files are read."""
        pool = self._pool
        devices = here.table(pool.volumes.folder)
        found = ((name, meta) for name, meta in pool.volumes.entries() if meta.attached_to == instance_id)
        return (describe(pool, name, meta, devices) for name, meta in found)

    def volume(self, volume_id: VolumeId) -> Volume:
        """One volume with its attachments; raises ``NotFound``."""
        return self._described(volume_id, self._pool.volumes.load(volume_id))

    def volumes_named(self, name: str) -> Iterator[Volume]:
        """The volume of that name, which is its id."""
        meta = self._pool.volumes.look(name)
        if meta is not None:
            yield self._described(name, meta)
