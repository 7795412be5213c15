"""Making and removing volumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from rexray.errors import AlreadyExists, InvalidRequest, NotFound, OutOfRange
from rexray.names import check_volume_name
from rexray.testing.memory.array import NewVolume
from rexray.testing.memory.base import StorageCalls
from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import DEFAULT_SIZE, STEP, TYPES, SnapshotRecord, VolumeRecord, digest
from rexray.types import Volume, VolumeId, VolumeSpec

CREATE_OPTIONS = {"multiattach": "true: several instances can have the volume at once"}


class MakingCalls(StorageCalls):
    """``create`` and ``remove`` of the contract."""

    create_options: ClassVar[Mapping[str, str]] = CREATE_OPTIONS

    def create(self, spec: VolumeSpec) -> Volume:
        """The volume of that name, made if it is missing; ``AlreadyExists`` if it differs from the spec.

        A size of 0 is the source's, or 1 GiB; sizes are rounded up to whole MiB. ``NotFound`` for a missing source,
        ``OutOfRange`` for a size that cannot be had, ``OutOfCapacity`` without room in the zone.
        """
        self._check(spec)
        found = self._find(spec.name) or self._make(spec)
        self._refuse_difference(spec, found)
        return self._described(found)

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        """Delete the volume and its data; a missing one is success. Its snapshots stay.

        An attached one is ``InUse``, ``force`` or not: on its host it may well be mounted.
        """
        try:
            self._change("remove", lambda array: array.remove(volume_id))
        except NotFound:
            return

    def _find(self, name: str) -> VolumeRecord | None:
        return self._ask("volumes_named", lambda array: array.volume_named(name))

    def _make(self, spec: VolumeSpec) -> VolumeRecord:
        """A new volume, or the one that somebody else has made meanwhile."""
        try:
            return self._change("create", lambda array: array.create(self._planned(array, spec)))
        except AlreadyExists:
            found = self._find(spec.name)
            if found is None:
                raise
            return found

    def _check(self, spec: VolumeSpec) -> None:
        """``InvalidRequest`` for what no volume of this platform can be; what the platform refuses is left to it."""
        check_volume_name(spec.name)
        what = f"volume {spec.name!r}"
        unknown = sorted(set(spec.options) - set(self.create_options))
        if unknown:
            raise InvalidRequest(f"{what}: option {unknown[0]!r} is unknown: there is {', '.join(self.create_options)}")
        if spec.options.get("multiattach", "false") not in ("true", "false"):
            raise InvalidRequest(f"{what}: multiattach {spec.options['multiattach']!r} is neither true nor false")
        if spec.size_bytes < 0:
            raise InvalidRequest(f"{what}: size {spec.size_bytes} is negative")
        if spec.source_volume and spec.source_snapshot:
            raise InvalidRequest(f"{what}: it cannot be a copy of a volume and of a snapshot")
        if spec.encryption_key and not spec.encrypted:
            raise InvalidRequest(f"{what}: a key was named and no encryption was asked for")

    def _planned(self, array: Array, spec: VolumeSpec) -> NewVolume:
        """What the platform is to make of the spec."""
        source = self._source(array, spec)
        size = round_up(spec.size_bytes or (source.size_bytes if source else DEFAULT_SIZE))
        refuse_beyond(f"volume {spec.name!r}", size, spec.limit_bytes)
        plan = NewVolume(
            name=spec.name,
            size_bytes=size,
            zone=spec.zone or self._own_zone(array),
            type=spec.type or TYPES[0],
            iops=spec.iops,
            encrypted=spec.encrypted,
            key=digest(spec.encryption_key),
            multiattach=spec.options.get("multiattach") == "true",
            source_volume=spec.source_volume or "",
            source_snapshot=spec.source_snapshot or "",
        )
        if source is None:
            return plan
        return replace(plan, encrypted=spec.encrypted or source.encrypted, key=plan.key or source.key)

    def _source(self, array: Array, spec: VolumeSpec) -> VolumeRecord | SnapshotRecord | None:
        if spec.source_volume:
            return array.volume(spec.source_volume)
        return array.snapshot(spec.source_snapshot) if spec.source_snapshot else None

    def _refuse_difference(self, spec: VolumeSpec, found: VolumeRecord) -> None:
        """What the spec leaves open may be anything, but a volume that was asked for empty is no copy."""
        differs = [
            f"{what} {is_so or 'none'} and was asked for with {asked or 'none'}"
            for what, is_so, asked in self._compared(spec, found)
            if is_so != asked
        ]
        if differs:
            raise AlreadyExists(f"volume {spec.name!r} ({found.id}) exists with {'; '.join(differs)}")

    def _compared(self, spec: VolumeSpec, found: VolumeRecord) -> list[tuple[str, object, object]]:
        """What can differ: a word for it, what it is, and what it is by the spec."""
        copied = bool(found.source_volume or found.source_snapshot)
        inherits = copied and not spec.encrypted
        same_key = not spec.encryption_key or digest(spec.encryption_key) == found.key
        multiattach = spec.options.get("multiattach")
        return [
            ("size", found.size_bytes, round_up(spec.size_bytes) if spec.size_bytes else found.size_bytes),
            ("type", found.type, spec.type or found.type),
            ("iops", found.iops, spec.iops or found.iops),
            ("zone", found.zone, spec.zone or found.zone),
            ("source volume", found.source_volume, spec.source_volume or ""),
            ("source snapshot", found.source_snapshot, spec.source_snapshot or ""),
            ("encryption", found.encrypted, found.encrypted if inherits else spec.encrypted),
            ("encryption key", "its own", "its own" if same_key else "another"),
            ("multiattach", found.multiattach, found.multiattach if multiattach is None else multiattach == "true"),
        ]


def round_up(size_bytes: int) -> int:
    """The size that a volume of at least that many bytes has."""
    return max(-(-size_bytes // STEP), 1) * STEP


def refuse_beyond(what: str, size_bytes: int, limit_bytes: int) -> None:
    """``OutOfRange`` if a rounded size is more than what was allowed; 0 allows everything."""
    if limit_bytes and size_bytes > limit_bytes:
        raise OutOfRange(f"{what}: its size is whole MiB, {size_bytes} bytes, more than the limit of {limit_bytes}")
