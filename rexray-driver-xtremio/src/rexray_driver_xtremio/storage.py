"""The storage driver."""

from __future__ import annotations

from collections.abc import Iterator

from rexray.drivers import StorageDriver
from rexray.errors import InvalidRequest, NotFound
from rexray.mixins import HasCapacity
from rexray.types import Capacity, Volume, VolumeId, VolumeSpec
from rexray_driver_xtremio.attaching import AttachCalls
from rexray_driver_xtremio.describing import PROVIDER, describe
from rexray_driver_xtremio.making import MakingCalls
from rexray_driver_xtremio.names import array_name
from rexray_driver_xtremio.rollback import RollbackCalls
from rexray_driver_xtremio.settings import XtremIoSettings
from rexray_driver_xtremio.viability import viability


class XtremIoStorage(RollbackCalls, MakingCalls, AttachCalls, HasCapacity, StorageDriver):
    """Volumes of one XtremIO cluster. A volume's id is its guid on the array, a host's that of its initiator."""

    name = PROVIDER
    settings = XtremIoSettings
    viable = staticmethod(viability)

    def create(self, spec: VolumeSpec) -> Volume:
        """As the contract says, for a wish that this class honours."""
        self.check_spec(spec)
        return super().create(spec)

    def volumes(self) -> Iterator[Volume]:
        """Every volume that is no snapshot, in a constant number of calls; with REST v1 one more for each volume."""
        disks = [disk for disk in self._disks() if not disk.is_snapshot]
        hosts = self._hosts(disks)
        return (describe(disk, hosts) for disk in disks)

    def volume(self, volume_id: VolumeId) -> Volume:
        """One volume with its attachments; raises ``NotFound``."""
        return self._described(self._volume(volume_id))

    def volumes_named(self, name: str) -> Iterator[Volume]:
        """The volume of that name, which REX-Ray made or somebody else; none for what no volume can be called."""
        try:
            names = dict.fromkeys([array_name(name), name])
        except InvalidRequest:
            return
        for on_array in names:
            disk = self._disk_named(on_array)
            if disk is not None and not disk.is_snapshot:
                yield self._described(disk, name)

    def capacity(self, zone: str = "") -> Capacity:
        """The room on the cluster's drives; what the array saves by finding equal blocks comes on top of that."""
        about = self._xms.about
        room = self._xms.get(
            "clusters",
            about.cluster_index,
            lambda content: int(content["ud-ssd-space"]) - int(content["ud-ssd-space-in-use"]),
        )
        if room is None:
            raise NotFound(f"cluster {about.cluster!r} is not there any more")
        return Capacity(available_bytes=max(room, 0) << 10)
