"""What a volume can become, and how it and the platform are."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import replace

from rexray import faults
from rexray.errors import InvalidRequest
from rexray.mixins import Expand, HasCapacity, Modify, Topology, VolumeHealth
from rexray.types import Capacity, Health, Volume, VolumeId
from rexray_driver_loop import copying, here, loops
from rexray_driver_loop.base import PoolCalls, refuse_beyond, round_up
from rexray_driver_loop.files import opened, told
from rexray_driver_loop.model import THICK, TYPES
from rexray_driver_loop.pool import Pool


class PropertyCalls(PoolCalls, Expand, HasCapacity, Modify, Topology, VolumeHealth):
    """``Expand``, ``HasCapacity``, ``Modify``, ``Topology`` and ``VolumeHealth`` of the contract."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        """Grow to at least that size, and so its device of this host; as large already is success."""
        pool = self._pool
        with pool.volumes.changing(volume_id, "expanding"):
            meta = pool.volumes.load(volume_id)
            data = pool.volumes.data(volume_id)
            if round_up(size_bytes) > meta.size_bytes:
                refuse_beyond(limit_bytes, round_up(size_bytes), f"volume {volume_id!r}")
                meta = replace(meta, size_bytes=round_up(size_bytes))
                with opened(data, os.O_RDWR) as file:
                    copying.grow(file, meta.data_bytes, allocate=meta.type == THICK)
                faults.point("loop-expand-grown")
                pool.volumes.save(volume_id, meta)
                faults.point("loop-expand-saved")
            here.refresh(data, pool.key_of(meta))
            return self._described(volume_id, meta)

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        """Change ``type`` to ``thin`` or ``thick``; anything else is ``InvalidRequest`` and changes nothing.

        A volume that becomes thick is given its room, one that becomes thin gives back what was never written;
        while it is attached, that is left to fstrim(8).
        """
        unknown = sorted(set(options) - {"type"})
        if unknown:
            raise InvalidRequest(f"volume {volume_id!r}: option {unknown[0]!r} is unknown: there is type")
        kind = options.get("type")
        if kind is not None and kind not in TYPES:
            raise InvalidRequest(f"volume {volume_id!r}: type {kind!r} is unknown: there are {', '.join(TYPES)}")
        pool = self._pool
        with pool.volumes.changing(volume_id, "modifying"):
            meta = pool.volumes.load(volume_id)
            if kind is not None:
                data = pool.volumes.data(volume_id)
                with opened(data, os.O_RDWR) as file:
                    if kind == THICK:
                        copying.reserve(file)
                    elif not meta.attached_to and loops.find(data) is None:
                        copying.release_unwritten(file)
                faults.point("loop-modify-done")
                if kind != meta.type:
                    meta = replace(meta, type=kind)
                    pool.volumes.save(volume_id, meta)
            return self._described(volume_id, meta)

    def capacity(self, zone: str = "") -> Capacity:
        """The free bytes of the filesystem below. Thin volumes may be promised more than that."""
        pool = self._pool
        if zone not in ("", pool.zone):
            raise InvalidRequest(f"zone {zone!r} is unknown: this is {pool.zone!r}")
        with told("asking for room"):
            room = os.statvfs(pool.root)
        return Capacity(available_bytes=room.f_bavail * room.f_frsize)

    def zones(self) -> tuple[str, ...]:
        """The zone of the settings, if there is one."""
        return (self._pool.zone,) if self._pool.zone else ()

    def health(self, volume_id: VolumeId) -> Health:
        """Whether the volume's file is there and has its length; raises ``NotFound``."""
        return check_health(self._pool, volume_id)


def check_health(pool: Pool, name: str) -> Health:
    """Whether a volume's file is there and has its length; raises ``NotFound``."""
    meta, data = pool.volumes.load(name), pool.volumes.data(name)
    facts = None
    with told(f"looking at {name!r}"), contextlib.suppress(FileNotFoundError):
        facts = os.stat(data, follow_symlinks=False)
    if facts is None or not stat.S_ISREG(facts.st_mode):
        return Health(abnormal=True, message=f"{data} is missing")
    if facts.st_size < meta.data_bytes:
        return Health(abnormal=True, message=f"{data} has {facts.st_size} of {meta.data_bytes} bytes")
    return Health(abnormal=False)
