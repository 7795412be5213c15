"""The storage driver."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from rexray.drivers import StorageDriver
from rexray.errors import InvalidRequest
from rexray.mixins import Clone, HasCapacity, ReadOnlyAttach, Topology, VolumeHealth
from rexray.types import Capacity, Health, Volume, VolumeId, VolumeSpec
from rexray_driver_scaleio import names, words
from rexray_driver_scaleio.changing import ChangeCalls
from rexray_driver_scaleio.making import CREATE_OPTIONS
from rexray_driver_scaleio.settings import ScaleIoSettings
from rexray_driver_scaleio.snapshots import SnapshotCalls
from rexray_driver_scaleio.viability import viability
from rexray_driver_scaleio.words import GIB, KIB, PROVIDER, STEP_GIB, RawVolume

_FREE = "capacityAvailableForVolumeAllocationInKb"
_FREE_MISSPELT = "capacityAvailableForVolumeAllocationInKm"
_NORMAL = "Normal"


class ScaleIoStorage(
    SnapshotCalls, ChangeCalls, Clone, HasCapacity, ReadOnlyAttach, Topology, VolumeHealth, StorageDriver
):
    """Volumes of one ScaleIO system, in any of its storage pools. Its one zone is the system, by its id."""

    name = PROVIDER
    aliases = ("powerflex",)
    settings = ScaleIoSettings
    viable = staticmethod(viability)
    create_options = CREATE_OPTIONS

    def create(self, spec: VolumeSpec) -> Volume:
        """As the contract says, for a wish that this class honours."""
        self.check_spec(spec)
        return super().create(spec)

    def volumes(self) -> Iterator[Volume]:
        """Every volume of the system, without its snapshots, by one request and one for the SDCs."""
        found = [raw for raw in self._all_raw() if not words.is_snapshot(raw)]
        self._array.known_sdcs({item["sdcId"] for raw in found for item in words.mappings_of(raw)})
        return (self._described(raw) for raw in found)

    def volume(self, volume_id: VolumeId) -> Volume:
        """One volume with its attachments; raises ``NotFound``."""
        return self._described(self._raw_volume(volume_id))

    def volumes_named(self, name: str) -> Iterator[Volume]:
        """The volume of that name, which on the array is unique; a hashed name is found as well."""
        for array_name in names.candidates(name):
            raw = self._raw_named(array_name)
            if raw is not None and not words.is_snapshot(raw):
                yield self._described(raw, name)
                return

    def zones(self) -> tuple[str, ...]:
        """The system's id."""
        return (self._array.system.id,)

    def capacity(self, zone: str = "") -> Capacity:
        """What the pool of the settings has left for new volumes, by the gateway; thin ones may be larger."""
        system = self._array.system
        if zone not in ("", system.id, system.name):
            raise InvalidRequest(f"zone {zone!r} does not exist: there is {system.name or 'nameless'} ({system.id})")
        pool = self._array.wanted_pool("", "")
        found = self._gateway.post(
            "/api/types/StoragePool/instances/action/querySelectedStatistics",
            f"capacity of storage pool {pool.name!r}",
            {"ids": [pool.id], "properties": [_FREE]},
        )
        figures = (found or {}).get(pool.id, {})
        free = int(figures.get(_FREE, figures.get(_FREE_MISSPELT, 0))) * KIB
        step = STEP_GIB * GIB
        return Capacity(available_bytes=free // step * step)

    def health(self, volume_id: VolumeId) -> Health:
        """How the volume is now; raises ``NotFound``."""
        return self._health_of([self._raw_volume(volume_id)])[volume_id]

    def healths(self, volume_ids: Collection[VolumeId]) -> Mapping[VolumeId, Health]:
        """How several volumes are, by as many requests as for one; those that do not exist are left out."""
        wanted = set(volume_ids)
        return self._health_of([raw for raw in self._all_raw() if raw["id"] in wanted and not words.is_snapshot(raw)])

    def _health_of(self, found: list[RawVolume]) -> dict[VolumeId, Health]:
        """What is wrong with the cluster is wrong with every volume; a host's SDC with those that it has."""
        state, sdcs = self._array.system_now().state, self._array.sdcs()
        cluster = f"the system's MDM cluster is {state}" if state and _NORMAL not in state else ""
        healths = {}
        for raw in found:
            away = [
                f"the SDC {sdcs[item['sdcId']].guid} that it is attached to is disconnected"
                for item in words.mappings_of(raw)
                if item["sdcId"] in sdcs and not sdcs[item["sdcId"]].connected
            ]
            message = "; ".join(filter(None, [cluster, *away]))
            healths[VolumeId(raw["id"])] = Health(abnormal=bool(message), message=message)
        return healths
