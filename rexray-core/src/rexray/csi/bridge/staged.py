"""What this host remembers of the volumes that an orchestrator staged on it: one small file per volume."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from rexray.csi.bridge import words
from rexray.errors import InUse, InvalidRequest, NotReady
from rexray.locks import Locks
from rexray.names import check_name
from rexray.paths import Paths
from rexray.state import Record, Records, boot_id

LOCK_SECONDS = 60.0
"""How long a call waits for another one on the same volume."""

_STAGING, _ACCESS, _TARGETS = "staging", "access", "targets"
_OWN = (_STAGING, _ACCESS, _TARGETS)


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
    def of_this_boot(self) -> bool:
        """Whether anything of it can still be mounted: a reboot ends every mount, but not what was made for them."""
        return self.record.boot == boot_id()

    @property
    def targets(self) -> dict[str, int]:
        """The target paths of this boot, each with its access mode."""
        pairs = (holder.partition(":") for holder in self.record.holders)
        return {path: int(mode) for mode, _, path in pairs}

    @property
    def paths(self) -> tuple[str, ...]:
        """The target paths of this boot and of earlier ones, whose directories or files are still to be removed."""
        return tuple(json.loads(self.record.context.get(_TARGETS, "[]")))

    def with_publish_context(self, publish_context: Mapping[str, str]) -> Staged:
        """The same volume as the controller tells of it by now."""
        own = {key: value for key, value in self.record.context.items() if key in _OWN}
        return Staged(replace(self.record, context={**publish_context, **own}))

    def without_size(self) -> Staged:
        """The same volume without the size that it had when it was attached, which may have changed."""
        return self.with_publish_context({k: v for k, v in self.publish_context.items() if k != words.SIZE})

    def with_size(self, size_bytes: int) -> Staged:
        """The same volume with the size that it has by now, where its attachment tells one."""
        told = self.publish_context
        return self.with_publish_context({**told, words.SIZE: str(size_bytes)}) if words.SIZE in told else self

    def with_target(self, path: str, mode: int) -> Staged:
        """The same volume with one more target."""
        return self._with({**self.targets, path: mode}, (*self.paths, path))

    def without_target(self, path: str) -> Staged:
        """The same volume with a target less."""
        left = {other: mode for other, mode in self.targets.items() if other != path}
        return self._with(left, tuple(other for other in self.paths if other != path))

    def with_paths_of(self, before: Staged) -> Staged:
        """The same volume, staged anew, with the targets of its former staging to remove."""
        return self._with(self.targets, before.paths)

    def _with(self, targets: Mapping[str, int], paths: tuple[str, ...]) -> Staged:
        context = {**self.record.context, _TARGETS: json.dumps(list(dict.fromkeys(paths)))}
        holders = tuple(f"{mode}:{path}" for path, mode in targets.items())
        return Staged(replace(self.record, context=context, holders=holders))


class StagedVolumes:
    """The staged volumes of this host; callers hold a volume's lock while they change it."""

    def __init__(self, paths: Paths, driver: str) -> None:
        self._records = Records(paths.lib / "csi" / f"{driver}-nodes")
        self._locks = Locks(paths.run / "locks")

    def lock(self, volume_id: str, call: str, path: str = "") -> AbstractContextManager[None]:
        """The volume's lock, and that of a path that something is to be mounted at; ``Busy`` says who has it.

        It is not the one that volume drivers take: the volume driver ``csi`` holds that while it calls this service.
        """
        paths = ["path-" + hashlib.sha256(path.encode()).hexdigest()] if path else []
        return self._hold([_lock_of(volume_id), *paths], f"{call} of {volume_id!r}")

    def lock_all(self, volume_ids: Collection[str], call: str) -> AbstractContextManager[None]:
        """The locks of several volumes."""
        named = ", ".join(map(repr, sorted(volume_ids)))
        return self._hold([_lock_of(volume_id) for volume_id in volume_ids], f"{call} of {named}")

    def _hold(self, keys: Collection[str], owner: str) -> AbstractContextManager[None]:
        return self._locks.hold(*keys, owner=owner, timeout=LOCK_SECONDS)

    def find(self, volume_id: str) -> Staged | None:
        """What is known of a volume, None if it is not staged."""
        record = self._records.load(key_of(volume_id))
        return Staged(record) if record is not None else None

    def need(self, volume_id: str) -> Staged:
        """What is known of a volume; ``NotReady`` if it is not staged, be it that the host has been started anew."""
        found = self.find(volume_id)
        if found is None or not found.of_this_boot:
            raise NotReady(f"volume {volume_id!r} is not staged on this node: NodeStageVolume comes first")
        return found

    def refuse_taken(self, path: str, volume_id: str) -> None:
        """``InUse`` if another volume is, or is about to be, mounted at the path."""
        for staged in map(Staged, self._records.all().values()):
            if staged.record.volume_id == volume_id or not staged.of_this_boot:
                continue
            if path in staged.targets or (staged.access == "mount" and path == staged.staging):
                raise InUse(f"{path}: volume {staged.record.volume_id!r} is there; nothing was done for {volume_id!r}")

    def plan(self, volume_id: str, publish_context: Mapping[str, str], *, staging: str, access: str) -> Staged:
        """A volume that is to be staged, not written down yet."""
        context = {**publish_context, _STAGING: staging, _ACCESS: access, _TARGETS: "[]"}
        return Staged(Record(name=key_of(volume_id), volume_id=volume_id, context=context).published_as())

    def keep(self, staged: Staged) -> None:
        """Write it down."""
        self._records.save(staged.record)

    def forget(self, volume_id: str) -> None:
        """Drop what is known of a volume."""
        self._records.forget(key_of(volume_id))


def _lock_of(volume_id: str) -> str:
    return "staged-" + key_of(volume_id)
