"""What this host remembers of the volumes that an orchestrator staged on it: one small file per volume."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from rexray.errors import InvalidRequest, NotReady
from rexray.locks import Locks
from rexray.names import check_name
from rexray.paths import Paths
from rexray.state import Record, Records

LOCK_SECONDS = 60.0
"""How long a call waits for another one on the same volume."""

_STAGING, _ACCESS, _OWN = "staging", "access", ("staging", "access")


def key_of(volume_id: str) -> str:
    """A file name for a volume; an id that is one itself is kept."""
    try:
        return check_name(volume_id)
    except InvalidRequest:
        return "id-" + hashlib.sha256(volume_id.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Staged:
    """A volume on this host: how it was attached, where it is staged, and the targets that show it."""

    record: Record

    @property
    def staging(self) -> str:
        """The staging path."""
        return self.record.context.get(_STAGING, "")

    @property
    def access(self) -> str:
        """``mount`` or ``block``."""
        return self.record.context.get(_ACCESS, "")

    @property
    def publish_context(self) -> Mapping[str, str]:
        """What the controller told of the attachment."""
        return {key: value for key, value in self.record.context.items() if key not in _OWN}

    @property
    def targets(self) -> dict[str, int]:
        """The target paths, each with its access mode."""
        pairs = (holder.partition(":") for holder in self.record.holders)
        return {path: int(mode) for mode, _, path in pairs}

    def with_targets(self, targets: Mapping[str, int]) -> Staged:
        """The same volume with other targets."""
        return Staged(self.record.published_as(*(f"{mode}:{path}" for path, mode in targets.items())))


class StagedVolumes:
    """The staged volumes of this host; callers hold a volume's lock while they change it."""

    def __init__(self, paths: Paths, driver: str) -> None:
        self._records = Records(paths.lib / "csi" / f"{driver}-nodes")
        self._locks = Locks(paths.run / "locks")

    def lock(self, volume_id: str, call: str) -> AbstractContextManager[None]:
        """The volume's lock; ``Busy`` says which operation has it.

        It is not the one that volume drivers take: the volume driver ``csi`` holds that while it calls this service.
        """
        return self._locks.hold("staged-" + key_of(volume_id), owner=f"{call} of {volume_id!r}", timeout=LOCK_SECONDS)

    def find(self, volume_id: str) -> Staged | None:
        """What is known of a volume, None if it is not staged."""
        record = self._records.load(key_of(volume_id))
        return Staged(record) if record is not None else None

    def need(self, volume_id: str) -> Staged:
        """What is known of a volume; ``NotReady`` if it is not staged."""
        found = self.find(volume_id)
        if found is None:
            raise NotReady(f"volume {volume_id!r} is not staged on this node: NodeStageVolume comes first")
        return found

    def begin(
        self, volume_id: str, publish_context: Mapping[str, str], *, staging: str, access: str, read_only: bool
    ) -> Staged:
        """Note a volume that is about to be staged."""
        context = {**publish_context, _STAGING: staging, _ACCESS: access}
        record = Record(name=key_of(volume_id), volume_id=volume_id, context=context).published_as()
        staged = Staged(replace(record, read_only=read_only))
        self.keep(staged)
        return staged

    def keep(self, staged: Staged) -> None:
        """Write it down."""
        self._records.save(staged.record)

    def forget(self, volume_id: str) -> None:
        """Drop what is known of a volume."""
        self._records.forget(key_of(volume_id))
