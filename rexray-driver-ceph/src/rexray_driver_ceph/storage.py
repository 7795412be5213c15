"""The storage driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rexray.drivers import StorageDriver
from rexray.errors import InvalidRequest
from rexray.mixins import HasPolicy
from rexray.settings import Sources
from rexray.types import Viability, Volume, VolumeId
from rexray_driver_ceph.attaching import AttachCalls
from rexray_driver_ceph.changing import ChangeCalls
from rexray_driver_ceph.describing import PROVIDER
from rexray_driver_ceph.images import HIDDEN
from rexray_driver_ceph.making import MakingCalls
from rexray_driver_ceph.names import Pool, Spec, image_name
from rexray_driver_ceph.policy import document
from rexray_driver_ceph.settings import RbdSettings
from rexray_driver_ceph.snapping import SnapshotCalls
from rexray_driver_ceph.viability import has_cluster


class RbdStorage(MakingCalls, AttachCalls, SnapshotCalls, ChangeCalls, HasPolicy, StorageDriver):
    """The images of one Ceph cluster. A volume's id is ``POOL/[NAMESPACE/]IMAGE``."""

    name = PROVIDER
    aliases = ("ceph",)
    settings = RbdSettings

    @classmethod
    def viable(cls) -> Viability:
        """Where there is a cluster's configuration."""
        return has_cluster()

    @classmethod
    def policy(cls, sources: Sources) -> Mapping[str, object]:
        """The least capabilities of the Ceph user."""
        return document(sources)

    def volumes(self) -> Iterator[Volume]:
        """Every image of the pools that are seen, from one session with the cluster."""
        for image in self._reader.images(self._pools):
            if not image.spec.image.startswith(HIDDEN):
                yield self._described(image)

    def volume(self, volume_id: VolumeId) -> Volume:
        """One volume with its attachments; raises ``NotFound``."""
        return self._described(self._image(volume_id))

    def volumes_named(self, name: str) -> Iterator[Volume]:
        """The volumes of that name: images are looked up where one of that name would be."""
        for spec in self._places(name):
            image = self._reader.image(spec)
            if image is not None and (volume := self._described(image)).name == name:
                yield volume

    def _places(self, name: str) -> Iterator[Spec]:
        """Every image that may bear that volume's name."""
        default = self._cluster.default_pool
        names = self._pool_names
        for pool in self._pools or [default, *(Pool(other) for other in sorted(names - {default.name}))]:
            yield Spec(pool, image_name(name))
        before, _, rest = name.partition(".")
        if before in names and rest:
            try:
                yield Spec.parse(f"{before}/{rest}", default)
            except InvalidRequest:
                return
            yield Spec(Pool(before), image_name(rest))
