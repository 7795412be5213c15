"""Which volume a name or an id means, and which record is that volume's.

Records, locks and mount points bear a volume's name where the platform has one volume of that name, and its id where it
has several, as clouds may. A record is good for the volume whose id it has, and for no other one of the same name. A
volume that is found by several names, as where the platform shortens long ones, goes on under the first of them.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

from rexray.drivers import StorageDriver
from rexray.errors import Busy, InvalidRequest, NotFound
from rexray.holding import LOCK_SECONDS
from rexray.locks import Locks
from rexray.names import check_volume_name, file_key
from rexray.state import Record, Records
from rexray.types import Volume, VolumeId


class Resolver:
    """Finds volumes of one storage driver and their records."""

    def __init__(self, storage: StorageDriver, records: Records, locks: Locks) -> None:
        self._storage = storage
        self._records = records
        self._locks = locks

    def one(self, name: str) -> Volume | None:
        """The volume of that name, if there is one; several are an ``InvalidRequest`` with their ids."""
        found = list(self._storage.volumes_named(check_volume_name(name)))
        if len(found) > 1:
            ids = ", ".join(volume.id for volume in found)
            raise InvalidRequest(f"volume {name!r} is not unique: say which by its id, one of {ids}")
        return found[0] if found else None

    def volume(self, name: str) -> Volume:
        """The volume of exactly that name or id; raises ``NotFound``."""
        found = self.one(name) if "/" not in name else None  # an id may have a slash, a name has none
        return found if found is not None else self._storage.volume(VolumeId(name))

    def locate(self, name: str) -> tuple[str, Volume]:
        """The volume of that name or id, and the name of its record."""
        volume = self.volume(name)
        known = self.known(volume)
        return known.name if known is not None else self._key(volume, alone=name == volume.name), volume

    @contextlib.contextmanager
    def naming(self, key: str, volume: Volume) -> Iterator[str]:
        """The name of the volume's record, ``key`` unless it has got one; nobody gives it another meanwhile."""
        lock = "naming-" + hashlib.sha256(volume.id.encode()).hexdigest()
        with self._locks.hold(lock, owner=f"Mount of {key!r}", timeout=LOCK_SECONDS):
            known = self.known(volume)
            yield known.name if known is not None else key

    def held_name(self, name: str) -> str:
        """The name of the record that a volume is held by, whether the platform still knows the volume or not."""
        if "/" not in name and self._records.load(check_volume_name(name)) is not None:
            return name
        try:
            return self.locate(name)[0]
        except NotFound:
            return name

    def record(self, key: str, volume: Volume) -> Record:
        """The volume's record, or a new one; the caller holds the lock of that name."""
        record = self._records.load(key)
        if record is None:
            return Record(name=key, volume_id=volume.id)
        if record.volume_id == volume.id:
            return record
        if not record.volume_id:  # a create that was interrupted before the platform told the id
            return Record(name=key, volume_id=volume.id, context=record.context)
        if record.published:
            raise Busy(f"volume {key!r}: its name has just passed to another volume: try again")
        return Record(name=key, volume_id=volume.id)

    def known(self, volume: Volume) -> Record | None:
        """What is on disk about a volume, by whichever of its names, without asking the platform anything."""
        return self._records.of_volume(volume.id)

    def _key(self, volume: Volume, *, alone: bool) -> str:
        by_id = file_key(volume.id)
        try:
            check_volume_name(volume.name)
        except InvalidRequest:
            return by_id
        if not alone and len(list(self._storage.volumes_named(volume.name))) != 1:
            return by_id
        record = self._records.load(volume.name)
        taken = record is not None and record.published and record.volume_id not in ("", volume.id)
        return by_id if taken else volume.name
