"""What a volume driver remembers of its volumes, on disk: one small file per volume.

A record survives the death of the process at any moment: it is written to a temporary file and renamed. Holders
are only good for the boot that they were noted in, for a reboot ends every mount.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from rexray.errors import OutOfCapacity, RexrayError
from rexray.names import file_key
from rexray.types import MountRequest

_SUFFIX = ".json"
_CLOCK_TICK_NS = 50_000_000
"""Longer than the step of the clock that stamps directories: two writes within one step leave one stamp."""


@functools.cache
def boot_id() -> str:
    """The kernel's name for the time since the last boot (proc_sys_kernel(5))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of one volume.

    ``published`` is set before the first step of mounting and cleared after the last step of unmounting, so a
    record with it and without holders is an interrupted operation. ``read_only``, ``fs_type`` and ``mount_options``
    are how it is mounted, and ``target`` where; ``attached_before`` says that somebody else attached it, who will
    detach it as well.
    """

    name: str
    volume_id: str
    context: Mapping[str, str] = field(default_factory=dict)
    published: bool = False
    holders: tuple[str, ...] = ()
    boot: str = ""
    read_only: bool = False
    fs_type: str = ""
    mount_options: tuple[str, ...] = ()
    attached_before: bool = False
    target: str = ""

    def prepared_for(self, request: MountRequest, *, target: Path, attached_before: bool) -> Record:
        """The record of a volume that is about to be mounted as the request wants it; it has no holders yet."""
        return replace(
            self.published_as(),
            read_only=request.read_only,
            fs_type=request.fs_type,
            mount_options=request.mount_options,
            attached_before=attached_before,
            target=str(target),
        )

    def request(self, holder: str) -> MountRequest:
        """The wish to mount the volume as it was mounted."""
        return MountRequest(
            name=self.name,
            holder=holder,
            read_only=self.read_only,
            fs_type=self.fs_type,
            mount_options=self.mount_options,
        )

    def published_as(self, *holders: str) -> Record:
        """The record of a volume that is mounted, or on its way, for those holders in this boot."""
        return replace(self, published=True, holders=holders, boot=boot_id())

    def unpublished(self) -> Record:
        """The record of a volume that is mounted nowhere."""
        return Record(name=self.name, volume_id=self.volume_id, context=self.context)


class Records:
    """The records in one directory. Callers hold the volume's lock while they change its record."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._cached: tuple[int, dict[str, Record]] = (-1, {})
        self._by_volume: tuple[Mapping[str, Record], dict[str, Record]] = ({}, {})

    def load(self, name: str) -> Record | None:
        """The record of a volume, None without one; holders of an earlier boot are gone."""
        try:
            content = json.loads(self._path(name).read_bytes())
            sequences = {key: tuple(content[key]) for key in ("holders", "mount_options")}
            record = Record(**{**content, **sequences})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            return None  # not written by us, or cut off by a power failure: nothing in it can be relied on
        return record if record.boot in ("", boot_id()) else replace(record, holders=())

    def save(self, record: Record, *, durable: bool = False) -> None:
        """Write a record; a durable one also survives a power failure. A full disk is ``OutOfCapacity``."""
        try:
            self._write(record, durable)
        except OSError as error:
            kind = OutOfCapacity if error.errno in (errno.ENOSPC, errno.EDQUOT) else RexrayError
            raise kind(f"{self._directory}: cannot note volume {record.name!r}: {error.strerror}") from error

    def _write(self, record: Record, durable: bool) -> None:
        target = self._path(record.name)
        temporary = target.with_name(f"{target.name}.tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps({name: getattr(record, name) for name in Record.__slots__}).encode())
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, target)

    def forget(self, name: str) -> None:
        """Drop a record; none is success."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(name))

    def all(self) -> Mapping[str, Record]:
        """Every record by name; read again only after one was written, which renames into the directory."""
        try:
            stamp = os.stat(self._directory).st_mtime_ns
        except FileNotFoundError:
            return {}
        if self._cached[0] != stamp:
            names = [name for name in os.listdir(self._directory) if name.endswith(_SUFFIX)]
            loaded = (self.load(name.removesuffix(_SUFFIX)) for name in sorted(names))
            records = {record.name: record for record in loaded if record is not None}
            if time.time_ns() - stamp < _CLOCK_TICK_NS:
                return records
            self._cached = (stamp, records)
        return self._cached[1]

    def of_volume(self, volume_id: str) -> Record | None:
        """The record of the volume with that id, by whatever name it is kept; of several, the one that is mounted."""
        records, (of, by_volume) = self.all(), self._by_volume
        if of is not records:
            ordered = sorted(records.values(), key=lambda record: record.published)
            by_volume = {record.volume_id: record for record in ordered}
            self._by_volume = (records, by_volume)
        return by_volume.get(volume_id)

    def _path(self, name: str) -> Path:
        return self._directory / (file_key(name) + _SUFFIX)
