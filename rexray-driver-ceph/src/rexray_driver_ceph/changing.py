"""What a volume can become, and how it and the cluster are."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rexray import faults
from rexray.errors import InvalidRequest, NotFound, TimedOut, Unavailable
from rexray.mixins import Expand, HasCapacity, Modify, VolumeHealth
from rexray.types import Capacity, Health, Volume, VolumeId
from rexray_driver_ceph.base import RbdCalls
from rexray_driver_ceph.describing import size
from rexray_driver_ceph.limits import LIMITS, set_limit
from rexray_driver_ceph.names import Pool
from rexray_driver_ceph.sizes import MIB, round_up

_TROUBLE = ("PG_AVAILABILITY", "PG_DAMAGED", "OSD_FULL", "POOL_FULL", "OBJECT_UNFOUND", "SLOW_OPS")
"""Health checks of a cluster that say that volumes cannot be read or written (Ceph, "Health checks")."""

_SILENT = "PG_AVAILABILITY"
"""The check that says that to ask for the image might take until a timeout."""


class ChangeCalls(RbdCalls, Expand, HasCapacity, Modify, VolumeHealth):
    """``Expand``, ``HasCapacity``, ``Modify`` and ``VolumeHealth`` of the contract."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        """Grow to at least that size, in steps of a MiB; as large already is success. It may be mounted meanwhile."""
        spec = self._spec(volume_id)
        with self._changing(spec, "expanding"):
            image = self._image(volume_id)
            if size_bytes > size(image):
                wanted = round_up(size_bytes, limit_bytes, f"volume {volume_id!r}")
                wanted += image.size_bytes - size(image)
                words = ("resize", "--no-progress", "--size", f"{wanted // MIB}M", str(spec))
                self._cluster.run("rbd", *words, action=f"grow volume {volume_id!r}")
                faults.point("rbd-expand-done")
                image = self._image(volume_id)
            return self._described(image)

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        """Change ``iops`` and ``bandwidth`` (bytes a second), 0 for no limit; anything else is ``InvalidRequest``.

        librbd honours them, krbd does not.
        """
        spec, values = self._spec(volume_id), _read_limits(volume_id, options)
        with self._changing(spec, "modifying"):
            self._image(volume_id)
            for name, value in values.items():
                set_limit(self._cluster, spec, name, value)
                faults.point("rbd-modify-limited")
            return self._described(self._image(volume_id))

    def capacity(self, zone: str = "") -> Capacity:
        """What the default pool can still take, by its quota as well. Images are thin: more may be promised."""
        if zone:
            raise InvalidRequest(f"zone {zone!r} is unknown: a Ceph cluster has no zones")
        name = self._cluster.default_pool.name
        pools = self._cluster.ask("ceph", "df", "detail", action="ask for room")["pools"]
        stats = next((pool["stats"] for pool in pools if pool["name"] == name), None)
        if stats is None:
            raise NotFound(f"pool {name!r} (rbd.defaultPool) does not exist in the cluster")
        room = int(stats["max_avail"])
        if quota := int(stats.get("quota_bytes", 0)):
            room = min(room, max(quota - int(stats["stored"]), 0))
        return Capacity(available_bytes=room)

    def health(self, volume_id: VolumeId) -> Health:
        """Whether the cluster can read and write the volume's pool; raises ``NotFound``."""
        found = self._health_in(self._spec(volume_id).pool)
        if found.message.startswith(_SILENT):
            return found
        try:
            self._image(volume_id)
        except (TimedOut, Unavailable) as error:  # of a cluster that just answered: it may not know yet itself
            return Health(abnormal=True, message=str(error))
        return found

    def _health_in(self, pool: Pool) -> Health:
        checks = self._cluster.ask("ceph", "health", "detail", action="ask how the cluster is").get("checks", {})
        for name in _TROUBLE:
            if name not in checks:
                continue
            details = [item["message"] for item in checks[name].get("detail", [])]
            if name == "POOL_FULL" and not any(re.search(rf"pool '{re.escape(pool.name)}'", line) for line in details):
                continue
            message = checks[name]["summary"]["message"]
            return Health(abnormal=True, message=f"{name}: {message}")
        return Health(abnormal=False)


def _read_limits(volume_id: str, options: Mapping[str, str]) -> dict[str, int]:
    values = {}
    for name, text in options.items():
        if name not in LIMITS:
            raise InvalidRequest(f"volume {volume_id!r}: option {name!r} is unknown: there are {', '.join(LIMITS)}")
        if not (text.isascii() and text.isdecimal()):
            raise InvalidRequest(f"volume {volume_id!r}: {name} {text!r} is not a whole number")
        values[name] = int(text)
    return values
