"""Making volumes: empty ones, and copies of volumes and snapshots."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import replace
from pathlib import Path

from rexray.errors import AlreadyExists, InvalidRequest, OutOfRange
from rexray.names import check_name
from rexray.types import Volume, VolumeId, VolumeSpec
from rexray_driver_loop import copying, crypt, live
from rexray_driver_loop.base import PoolCalls, refuse_attached, refuse_beyond, round_up
from rexray_driver_loop.files import opened
from rexray_driver_loop.model import THICK, THIN, TYPES, SnapshotMeta, VolumeMeta
from rexray_driver_loop.pool import Pool
from rexray_driver_loop.store import Store

DEFAULT_SIZE_BYTES = 16 << 30
"""The size of a volume that is asked for without one, as the original had it."""


class MakingCalls(PoolCalls):
    """``create`` and ``remove`` of the contract."""

    def create(self, spec: VolumeSpec) -> Volume:
        """The volume of that name, made if it is missing; ``AlreadyExists`` if it differs from the spec.

        A size of 0 is the source's, or 16 GiB; sizes are rounded up to whole MiB. ``OutOfRange`` for a size below
        the source's, ``OutOfCapacity`` without room for a copy or a thick volume.
        """
        pool = self._pool
        _check(spec, pool.zone)
        if pool.volumes.look(spec.name) is None:
            _make(pool, spec)
        meta = pool.volumes.load(spec.name)
        _refuse_difference(spec, meta)
        return self._described(spec.name, meta)

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        """Delete the volume and its data; a missing one is success.

        An attached one is ``InUse``, ``force`` or not: on another host it may well be mounted. Its snapshots stay.
        """

        def refuse_if_used(meta: VolumeMeta) -> None:
            refuse_attached(volume_id, meta)
            self._release(volume_id, meta)

        self._pool.volumes.remove(volume_id, refuse_if_used)


def _make(pool: Pool, spec: VolumeSpec) -> None:
    def fill(data: Path) -> VolumeMeta:
        with opened(data, os.O_RDWR | os.O_CREAT | os.O_EXCL) as file:
            meta = _copy(pool, spec, file) if copied else _planned(pool, spec, None)
            copying.grow(file, meta.data_bytes, allocate=meta.type == THICK)
        if meta.encrypted and not copied:
            crypt.format_file(data, pool.keys.path(meta.key))
        return meta

    copied = bool(spec.source_volume or spec.source_snapshot)
    pool.volumes.create(spec.name, fill)


def _copy(pool: Pool, spec: VolumeSpec, file: int) -> VolumeMeta:
    """Fill the file with what the volume is to be a copy of, and say what that makes it."""
    planned: list[VolumeMeta] = []
    store: Store[VolumeMeta] | Store[SnapshotMeta] = pool.snapshots if spec.source_snapshot else pool.volumes

    def plan(source: VolumeMeta | SnapshotMeta) -> None:
        planned.append(_planned(pool, spec, source))

    live.copy(store, spec.source_snapshot or spec.source_volume or "", file, plan)
    return planned[0]


def _planned(pool: Pool, spec: VolumeSpec, source: VolumeMeta | SnapshotMeta | None) -> VolumeMeta:
    meta = VolumeMeta(
        uid=uuid.uuid4().hex,
        size_bytes=round_up(spec.size_bytes or DEFAULT_SIZE_BYTES),
        type=spec.type or THIN,
        zone=pool.zone,
        created=time.time_ns(),
        encrypted=spec.encrypted,
        key=spec.encryption_key,
        source_volume=spec.source_volume or "",
        source_snapshot=spec.source_snapshot or "",
    )
    if source is None:
        if spec.encrypted:
            crypt.check_support()
            pool.keys.path(spec.encryption_key)
        refuse_beyond(spec.limit_bytes, meta.size_bytes, f"volume {spec.name!r}")
        return meta
    size = round_up(spec.size_bytes) if spec.size_bytes else source.size_bytes
    refuse_beyond(spec.limit_bytes, size, f"volume {spec.name!r}")
    if size < source.size_bytes:
        raise OutOfRange(f"volume {spec.name!r}: {size} bytes are less than its source's {source.size_bytes}")
    if spec.encrypted and (not source.encrypted or spec.encryption_key not in ("", source.key)):
        raise InvalidRequest(f"volume {spec.name!r}: a copy is encrypted as its source is: leave encryption out")
    return replace(meta, size_bytes=size, encrypted=source.encrypted, key=source.key)


def _check(spec: VolumeSpec, zone: str) -> None:
    """``InvalidRequest`` for what no volume of this platform can be."""
    check_name(spec.name)
    what = f"volume {spec.name!r}"
    if spec.type and spec.type not in TYPES:
        raise InvalidRequest(f"{what}: type {spec.type!r} is unknown: there are {', '.join(TYPES)}")
    if spec.iops:
        raise InvalidRequest(f"{what}: iops {spec.iops} cannot be had: loop devices have no such limit")
    if spec.zone not in ("", zone):
        here_is = f"this is zone {zone!r}" if zone else "there are no zones here"
        raise InvalidRequest(f"{what}: zone {spec.zone!r} is unknown: {here_is}")
    if spec.encryption_key and not spec.encrypted:
        raise InvalidRequest(f"{what}: a key was named and no encryption was asked for")


def _refuse_difference(spec: VolumeSpec, meta: VolumeMeta) -> None:
    """What the spec leaves open may be anything, but a volume that was asked for empty is no copy."""
    copied = bool(meta.source_volume or meta.source_snapshot)
    differs = (
        (spec.size_bytes and round_up(spec.size_bytes) != meta.size_bytes)
        or spec.type not in ("", meta.type)
        or spec.zone not in ("", meta.zone)
        or (spec.source_volume or "", spec.source_snapshot or "") != (meta.source_volume, meta.source_snapshot)
        or (spec.encrypted != meta.encrypted and not (copied and not spec.encrypted))
        or (spec.encryption_key not in ("", meta.key))
    )
    if differs:
        is_so = _words(meta.size_bytes, meta.type, meta.zone, meta.source_volume, meta.source_snapshot, meta.encrypted)
        asked = _words(
            round_up(spec.size_bytes) if spec.size_bytes else 0,
            spec.type,
            spec.zone,
            spec.source_volume or "",
            spec.source_snapshot or "",
            spec.encrypted,
        )
        raise AlreadyExists(f"volume {spec.name!r} exists with {is_so}, and was asked for with {asked}")


def _words(size: int, kind: str, zone: str, volume: str, snapshot: str, encrypted: bool) -> str:
    source = f"source volume {volume!r}" if volume else f"source snapshot {snapshot!r}" if snapshot else "no source"
    secrecy = "encryption" if encrypted else "no encryption"
    return f"{size or 'any'} bytes, type {kind or 'any'}, zone {zone or 'any'}, {source}, {secrecy}"
