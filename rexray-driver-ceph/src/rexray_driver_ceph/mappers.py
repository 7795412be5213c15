"""The ways of mapping together: what is mapped in any of them, and which one a new mapping takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rexray.errors import Unsupported
from rexray_driver_ceph.clientconf import ClientConf
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.export import Export
from rexray_driver_ceph.krbd import Krbd
from rexray_driver_ceph.mapping import Mapped, Mapper
from rexray_driver_ceph.names import Spec
from rexray_driver_ceph.nbd import Nbd
from rexray_driver_ceph.settings import MAPPERS, RbdSettings


def make_mappers(settings: RbdSettings, cluster: Cluster, conf: ClientConf) -> tuple[Krbd, Nbd, Export]:
    """All of them, in the order in which they are tried."""
    return Krbd(settings, cluster, conf), Nbd(settings, cluster, conf), Export(cluster, conf)


class Mappers:
    """The mappings of this host that may be of one cluster, by its client."""

    def __init__(self, settings: RbdSettings, cluster: Cluster) -> None:
        self._settings, self._cluster = settings, cluster
        self._conf = ClientConf(cluster)
        *_, self.exports = self._all = make_mappers(settings, cluster, self._conf)

    def mapped(self) -> Iterator[Mapped]:
        """What is mapped in any way, without what is another cluster's.

        While this cluster's id is not known at all nothing of it was ever connected here: only mappings are given that
        do not tell a cluster either.
        """
        for mapper in self._all:
            yield from (mapped for mapped in mapper.mapped() if mapped.fsid in ("", self._conf.fsid))

    def of(self, spec: Spec, image_id: str = "") -> tuple[Mapped, ...]:
        """The mappings of an image; with an id, none that is known to be of another one of that name."""
        found = (mapped for mapped in self.mapped() if mapped.spec == spec)
        return tuple(mapped for mapped in found if "" in (image_id, mapped.image_id) or mapped.image_id == image_id)

    def that_made(self, mapped: Mapped) -> Mapper:
        """The mapper of a mapping."""
        return next(mapper for mapper in self._all if mapper.name == mapped.mapper)

    def chosen(self) -> Mapper:
        """The mapper of new mappings: that of the settings, or the first that works here; ``Unsupported`` if none."""
        return choose(self._settings, self._all)


def choose(settings: RbdSettings, mappers: Sequence[Mapper]) -> Mapper:
    """The mapper that the settings name, or the first that works here; ``Unsupported`` says what each of them lacks."""
    wanted = [mapper for mapper in mappers if mapper.name in ((settings.mapper,) if settings.mapper else MAPPERS)]
    lacking = {}
    for mapper in wanted:
        missing = mapper.missing()
        if not missing:
            return mapper
        lacking[mapper.name] = missing
    reasons = "; ".join(f"{name}: {reason}" for name, reason in lacking.items())
    raise Unsupported(f"this host cannot map images: {reasons}")
