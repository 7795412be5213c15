"""The records of group snapshots on disk, a JSON file each."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from rexray.locks import Locks
from rexray.names import check_name
from rexray_driver_loop.files import flush_folder, read_record, write_record
from rexray_driver_loop.model import GroupMeta

LOCK_SECONDS = 60.0
_SUFFIX = ".json"


class Groups:
    """The records below one folder."""

    def __init__(self, folder: Path, locks: Locks) -> None:
        self._folder = folder
        self._locks = locks

    def look(self, name: str) -> GroupMeta | None:
        """What a group is, complete or not; None if there is none."""
        return read_record(f"{self._folder}/{check_name(name, 'group snapshot')}{_SUFFIX}", GroupMeta)

    def is_complete(self, name: str) -> bool:
        """Whether all snapshots of the group are there."""
        meta = self.look(name)
        return meta is not None and meta.complete

    def names(self) -> list[str]:
        """Every group, complete or not."""
        return sorted(file.removesuffix(_SUFFIX) for file in os.listdir(self._folder) if file.endswith(_SUFFIX))

    def save(self, name: str, meta: GroupMeta) -> None:
        """Keep a record; the caller is :meth:`changing`."""
        write_record(self._folder, name + _SUFFIX, meta)

    def forget(self, name: str) -> None:
        """Drop a record."""
        (self._folder / (name + _SUFFIX)).unlink(missing_ok=True)
        flush_folder(self._folder)

    def changing(self, doing: str, seconds: float = LOCK_SECONDS) -> AbstractContextManager[None]:
        """One change of groups at a time."""
        return self._locks.hold("groups", owner=doing, timeout=seconds)
