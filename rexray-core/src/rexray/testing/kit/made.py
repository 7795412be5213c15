"""What the kit makes on a platform, and nothing else: it is removed when a check ends."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
from collections.abc import Callable

from rexray.drivers import StorageDriver
from rexray.errors import InvalidRequest, NotFound, RexrayError
from rexray.mixins import GroupSnapshots, Snapshots
from rexray.testing.kit.check import Failed
from rexray.types import SnapshotGroup, SnapshotId, Volume, VolumeId


class Made:
    """Names and ids of what one rig has made.

    What was there before the first name was given out is somebody else's, whatever a broken driver says of it: it is
    never removed.
    """

    def __init__(self, restarted: Callable[[], StorageDriver]) -> None:
        self.run = f"kit-{secrets.token_hex(4)}"
        """What is in every name."""
        self._restarted = restarted
        self._numbers = itertools.count(1)
        self._names: set[str] = set()
        self._ids: dict[VolumeId, str] = {}
        """With the names that they were made with."""
        self._groups: list[SnapshotGroup] = []
        self._others: set[VolumeId] = set()
        self._other_snapshots: set[SnapshotId] = set()
        self._looked = False
        self._driver: StorageDriver | None = None
        """One that no check uses, and that has looked around."""
        self._guard = threading.Lock()

    def name(self, ending: str = "") -> str:
        """A new name."""
        return self.claim(f"{self.run}-{next(self._numbers)}{ending}")

    def claim(self, name: str) -> str:
        """Let what bears this name be removed; ``ValueError`` unless one of ours is in it."""
        if self.run not in name:
            raise ValueError(f"{name!r} may be somebody else's")
        self.look_around()
        self._names.add(name)
        return name

    def keep(self, volume: Volume) -> None:
        """Let the volume be removed, unless it was there before."""
        if volume.id not in self._others:
            self._ids[volume.id] = volume.name

    def keep_group(self, group: SnapshotGroup) -> None:
        """Let the group be removed."""
        self._groups.append(group)

    def look_around(self) -> None:
        """See what is there before anything is made, if that was not done yet."""
        with self._guard:
            if self._looked:
                return
            driver = self._driver = self._restarted()
            self._others = {volume.id for volume in driver.volumes()}
            if isinstance(driver, Snapshots):
                self._other_snapshots = {snapshot.id for snapshot in driver.snapshots()}
            self._looked = True

    def tidy(self) -> None:
        """Remove it all: first the snapshots, for a volume may not go before them, then the volumes.

        ``Failed`` if a volume is still there afterwards.
        """
        driver = self._driver
        if driver is None or not self._looked:
            return
        found = self._found(driver)
        for volume_id in found:
            with contextlib.suppress(RexrayError):  # the removal says what is wrong
                driver.detach(volume_id, force=True)
        self._remove_snapshots(driver, found)
        for volume_id in found:
            driver.remove(volume_id, force=True)
        left = [volume.id for volume in driver.volumes() if volume.id in found or self._is_ours(volume)]
        if left:
            raise Failed(f"volumes are there after they were removed: {', '.join(map(repr, left))}")
        self._names.clear()
        self._ids.clear()

    def _found(self, driver: StorageDriver) -> set[VolumeId]:
        """The volumes to remove: by their ids, by their names as the list has them, and as they are looked up."""
        listed = [volume for volume in driver.volumes() if self._is_ours(volume)]
        found = {volume.id for volume in listed}
        for name in self._names - {volume.name for volume in listed}:
            with contextlib.suppress(InvalidRequest, NotFound):  # a hostile name, of which nothing can have been made
                found |= {volume.id for volume in driver.volumes_named(name) if volume.name == name}
        found |= {volume_id for volume_id in self._ids.keys() - found if not self._is_anothers(driver, volume_id)}
        return found - self._others

    def _is_anothers(self, driver: StorageDriver, volume_id: VolumeId) -> bool:
        """Whether an id of ours is somebody else's volume by now: once ours is gone, a platform may give it again."""
        with contextlib.suppress(InvalidRequest, NotFound):
            name = driver.volume(volume_id).name
            return self.run not in name and name != self._ids[volume_id]
        return False

    def _is_ours(self, volume: Volume) -> bool:
        return self.run in volume.name and volume.id not in self._others

    def _remove_snapshots(self, driver: StorageDriver, volume_ids: set[VolumeId]) -> None:
        if isinstance(driver, GroupSnapshots):
            for group in self._groups:
                driver.remove_snapshot_group(group.id)
        self._groups.clear()
        if isinstance(driver, Snapshots):
            for snapshot in list(driver.snapshots()):
                ours = snapshot.name in self._names or snapshot.volume_id in volume_ids
                if ours and snapshot.id not in self._other_snapshots:
                    driver.remove_snapshot(snapshot.id)
