"""What every part of the storage driver has: the XMS, what it knows of volumes and hosts, and who this host is."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from rexray.core_settings import CoreSettings
from rexray.errors import InUse, NotFound, RexrayError, SettingsError
from rexray.locks import Locks
from rexray.settings import Sources
from rexray.types import InstanceId, Volume, VolumeId
from rexray_driver_xtremio import things
from rexray_driver_xtremio.api import FILTERS, Xms
from rexray_driver_xtremio.batching import Newcomers
from rexray_driver_xtremio.describing import Hosts, describe
from rexray_driver_xtremio.initiator import initiator_name
from rexray_driver_xtremio.refusals import said
from rexray_driver_xtremio.settings import XtremIoSettings
from rexray_driver_xtremio.things import Disk, Initiator, Portal
from rexray_driver_xtremio.trying import Tries

LOCK_SECONDS = 300.0
WAITERS = 10_000
"""Threads that wait for one name: who asks for the same gets the same answer, and the callers' pools limit them."""

_GUID = re.compile(r"[0-9a-f]{32}")


class XtremIoCalls:
    """A driver of one cluster. Nothing is asked of anybody before the first call."""

    def __init__(self, settings: XtremIoSettings, *, here: InstanceId | None = None) -> None:
        settings.check()
        settings.check_xms()
        self._settings = settings
        self._here = here or InstanceId("")
        self._xms = Xms(settings)
        self._locks = Locks(waiters=WAITERS)
        self._newcomers = Newcomers(self._made)
        self._indexes: dict[str, int] = {}

    @classmethod
    def make(cls, sources: Sources) -> Self:
        """The driver as the sources configure it."""
        settings = sources.load(XtremIoSettings)
        remote = sources.load(CoreSettings).remote_management
        return cls(settings, here=None if remote else _here(settings))

    def _held(self, *keys: str, why: str) -> AbstractContextManager[None]:
        """One thread of this process at a time; other processes are met on the array."""
        return self._locks.hold(*keys, owner=why, timeout=LOCK_SECONDS)

    def _is_guid(self, word: str) -> bool:
        return _GUID.fullmatch(word) is not None

    def _disk(self, guid: str) -> Disk | None:
        """The volume or snapshot as it is now; None if there is none.

        v1 cannot look for a guid: an index that once was the right one is tried before all volumes are read.
        """
        if not self._is_guid(guid):
            return None
        if self._xms.about.v2:
            found = self._xms.every("volumes", things.disk, [f"guid:eq:{guid}"])
        else:
            index = self._indexes.get(guid)
            hint = self._xms.get("volumes", index, things.disk) if index is not None else None
            found = [hint] if hint is not None and hint.ref.guid == guid else self._disks()
        return next((disk for disk in found if disk.ref.guid == guid), None)

    def _disks(self) -> list[Disk]:
        found = self._xms.every("volumes", things.disk)
        self._indexes.update((disk.ref.guid, disk.ref.index) for disk in found)
        return found

    def _disk_named(self, name: str) -> Disk | None:
        """The volume or snapshot that has exactly that name on the array."""
        disk = self._xms.get("volumes", name, things.disk)
        if disk is None or disk.ref.name != name:
            return None
        self._indexes[disk.ref.guid] = disk.ref.index
        return disk

    def _made(self, indexes: Collection[int]) -> Mapping[int, Disk]:
        """Disks that have these indexes: in v2 by one call."""
        if len(indexes) > 1 and self._xms.about.v2:
            filters = [f"index:ge:{min(indexes)}", f"index:le:{max(indexes)}"]
            try:
                found = self._xms.every(
                    "volumes", things.disk, filters[: 2 if self._xms.about.version >= FILTERS else 1]
                )
                return {disk.ref.index: disk for disk in found}
            except RexrayError as error:
                if not said(error):
                    raise
        one_by_one = {index: self._xms.get("volumes", index, things.disk) for index in sorted(indexes)}
        return {index: disk for index, disk in one_by_one.items() if disk is not None}

    def _volume(self, volume_id: VolumeId) -> Disk:
        """The volume as it is now; raises ``NotFound``."""
        disk = self._disk(volume_id)
        if disk is None or disk.is_snapshot:
            raise NotFound(f"volume {volume_id!r} does not exist in cluster {self._xms.about.cluster!r}")
        return disk

    def _initiators(self) -> list[Initiator]:
        return self._xms.every("initiators", things.initiator)

    def _portals(self) -> list[Portal]:
        return self._xms.every("iscsi-portals", things.portal)

    def _hosts(self, disks: Iterable[Disk]) -> Hosts:
        """What is needed to tell where the disks are attached; nothing is asked if they are attached nowhere."""
        mapped = any(disk.mappings for disk in disks)
        return Hosts(self._initiators() if mapped else (), self._portals() if mapped else (), here=self._here)

    def _described(self, disk: Disk, name: str = "") -> Volume:
        return describe(disk, self._hosts([disk]), name=name)

    def _refuse_mapped(self, disk: Disk, what: str) -> None:
        """``InUse`` names who has it."""
        if disk.mappings:
            holders = ", ".join(Hosts(self._initiators(), (), here=self._here).holders(disk))
            raise InUse(f"{what} is attached to {holders}: detach it first")

    def _tries(self) -> Tries:
        """The tries of one change."""
        return Tries(self._settings.busy_timeout)


def _here(settings: XtremIoSettings) -> InstanceId | None:
    """This host's initiator, None where it has none."""
    try:
        return InstanceId(initiator_name(settings.initiator, Path("/etc")))
    except SettingsError:
        return None
