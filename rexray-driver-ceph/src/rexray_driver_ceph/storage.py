"""The storage driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rexray.drivers import StorageDriver
from rexray.mixins import HasPolicy
from rexray.settings import Sources
from rexray.types import Volume, VolumeId, VolumeSpec
from rexray_driver_ceph.attaching import AttachCalls
from rexray_driver_ceph.changing import ChangeCalls
from rexray_driver_ceph.describing import PROVIDER
from rexray_driver_ceph.grouping import GroupCalls
from rexray_driver_ceph.images import HIDDEN
from rexray_driver_ceph.making import MakingCalls
from rexray_driver_ceph.policy import document
from rexray_driver_ceph.settings import RbdSettings
from rexray_driver_ceph.viability import has_cluster


class RbdStorage(MakingCalls, AttachCalls, GroupCalls, ChangeCalls, HasPolicy, StorageDriver):
    """The images of one Ceph cluster. A volume's id is ``POOL/[NAMESPACE/]IMAGE``."""

    name = PROVIDER
    aliases = ("ceph",)
    settings = RbdSettings
    viable = staticmethod(has_cluster)

    @classmethod
    def policy(cls, sources: Sources) -> Mapping[str, object]:
        """The least capabilities of the Ceph user."""
        return document(sources)

    def create(self, spec: VolumeSpec) -> Volume:
        """As the contract says, for a wish that this class honours."""
        self.check_spec(spec)
        return super().create(spec)

    def volumes(self) -> Iterator[Volume]:
        """Every image of the pools that are seen, from one session with the cluster."""
        for image in self._seen(self._reader.images):
            if not image.spec.image.startswith(HIDDEN):
                yield self._described(image)

    def volume(self, volume_id: VolumeId) -> Volume:
        """One volume with its attachments; raises ``NotFound``."""
        return self._described(self._image(volume_id))

    def volumes_named(self, name: str) -> Iterator[Volume]:
        """The volumes of that name: images are looked up where one of that name would be."""
        for image in self._seen(lambda pools: self._reader.named(pools, name)):
            volume = self._described(image)
            if volume.name == name and not image.spec.image.startswith(HIDDEN):
                yield volume
