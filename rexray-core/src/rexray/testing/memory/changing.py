"""What a volume can become, and how it and the platform are."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rexray.errors import InvalidRequest
from rexray.mixins import Expand, HasCapacity, Modify, Topology, VolumeHealth
from rexray.testing.memory.base import StorageCalls
from rexray.testing.memory.copies import Array
from rexray.testing.memory.making import refuse_beyond, round_up
from rexray.testing.memory.model import LARGEST, STEP, VolumeRecord
from rexray.types import Capacity, Health, Volume, VolumeId

MODIFY_OPTIONS = ("type", "iops")


class ChangeCalls(StorageCalls, Expand, HasCapacity, Modify, Topology, VolumeHealth):
    """``Expand``, ``HasCapacity``, ``Modify``, ``Topology`` and ``VolumeHealth`` of the contract."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        """Grow to at least that size, and so its device where it is attached; as large already is success."""

        def work(array: Array) -> VolumeRecord:
            volume = array.volume(volume_id)
            wanted = round_up(size_bytes)
            if wanted <= volume.size_bytes:
                return volume
            refuse_beyond(f"volume {volume_id!r}", wanted, limit_bytes)
            return array.expand(volume_id, wanted)

        return self._described(self._change("expand", work))

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        """Change ``type`` or ``iops``; an unknown one, or one out of range, is ``InvalidRequest``."""
        unknown = sorted(set(options) - set(MODIFY_OPTIONS))
        if unknown:
            raise InvalidRequest(
                f"volume {volume_id!r}: option {unknown[0]!r} is unknown: there are {', '.join(MODIFY_OPTIONS)}"
            )
        iops = self._iops(volume_id, options)

        def work(array: Array) -> VolumeRecord:
            volume = array.volume(volume_id)
            kind = options.get("type", volume.type)
            return array.modify(volume_id, kind=kind, iops=volume.iops if iops is None else iops)

        return self._described(self._change("modify", work))

    def capacity(self, zone: str = "") -> Capacity:
        """The room in a zone, or in this host's own."""

        def work(array: Array) -> Capacity:
            free = array.free(zone or self._own_zone(array)) // STEP * STEP
            return Capacity(available_bytes=free, largest_volume_bytes=min(free, LARGEST))

        return self._ask("capacity", work)

    def zones(self) -> tuple[str, ...]:
        """The zones of the platform's settings."""
        return self._ask("zones", lambda array: array.state.zones)

    def health(self, volume_id: VolumeId) -> Health:
        """How the volume is now; raises ``NotFound``."""
        return self._ask("health", lambda array: self._described_health(array.volume(volume_id)))

    def healths(self, volume_ids: Collection[VolumeId]) -> Mapping[VolumeId, Health]:
        """How several volumes are, by one call; those that do not exist are left out."""

        def work(array: Array) -> Mapping[VolumeId, Health]:
            found = {volume_id: array.state.volumes.get(volume_id) for volume_id in volume_ids}
            return {volume_id: self._described_health(record) for volume_id, record in found.items() if record}

        return self._ask("healths", work)

    def _described_health(self, record: VolumeRecord) -> Health:
        return Health(abnormal=bool(record.sick), message=record.sick)

    def _iops(self, volume_id: VolumeId, options: Mapping[str, str]) -> int | None:
        word = options.get("iops")
        if word is None:
            return None
        if not (word.isascii() and word.isdigit()):
            raise InvalidRequest(f"volume {volume_id!r}: iops {word!r} is not a whole number")
        return int(word)
