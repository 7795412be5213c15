"""The ways of mapping together: what is mapped in any of them, and which one a new mapping takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rexray.errors import InUse, Unsupported, WrongDevice
from rexray_driver_ceph.clientconf import ClientConf
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.export import Export
from rexray_driver_ceph.krbd import Krbd
from rexray_driver_ceph.mapping import Mapped, Mapper, Wanted
from rexray_driver_ceph.names import Spec
from rexray_driver_ceph.nbd import Nbd
from rexray_driver_ceph.settings import MAPPERS, RbdSettings

_AUTOMATIC = "auto "
"""How the name of a lock begins that a client takes while it writes, and gives to others who ask for it."""


def make_mappers(settings: RbdSettings, cluster: Cluster, conf: ClientConf) -> tuple[Krbd, Nbd, Export]:
    """All of them, in the order in which they are tried."""
    return Krbd(settings, cluster, conf), Nbd(settings, cluster, conf), Export(conf)


class Mappers:
    """The mappings of this host that may be of one cluster, by its client."""

    def __init__(self, settings: RbdSettings, cluster: Cluster) -> None:
        self._settings, self._cluster = settings, cluster
        self._conf = ClientConf(cluster)
        *_, self.exports = self._all = make_mappers(settings, cluster, self._conf)

    def mapped(self) -> Iterator[Mapped]:
        """What is mapped in any way, without what is known to be another cluster's."""
        own = None
        for mapper in self._all:
            for mapped in mapper.mapped():
                own = self._conf.fsid if own is None else own
                if not own or mapped.fsid in ("", own):
                    yield mapped

    def of(self, spec: Spec) -> tuple[Mapped, ...]:
        """The mappings of an image."""
        return tuple(mapped for mapped in self.mapped() if mapped.spec == spec)

    def that_made(self, mapped: Mapped) -> Mapper:
        """The mapper of a mapping."""
        return next(mapper for mapper in self._all if mapper.name == mapped.mapper)

    def chosen(self) -> Mapper:
        """The mapper of new mappings: that of the settings, or the first that works here; ``Unsupported`` if none."""
        return choose(self._settings, self._all)

    def look(self, wanted: Wanted) -> Wanted:
        """What is wanted, with what the image is by now: its id, features and size.

        ``WrongDevice`` if it is another image of that name, ``InUse`` if somebody has locked it by hand: what is
        written to it would never arrive. Locks that clients take while they write are passed on, and say nothing.
        """
        spec = wanted.spec
        known = self._cluster.ask("rbd", "info", str(spec), action=f"look at {spec}")
        if wanted.image_id not in ("", known["id"]):
            raise WrongDevice(
                f"{spec} is the image {known['id']} by now, and attached was {wanted.image_id}; nothing was done to it"
            )
        locks = [] if wanted.read_only else self._cluster.ask("rbd", "lock", "ls", str(spec), action=f"look at {spec}")
        for lock in locks:
            if not lock["id"].startswith(_AUTOMATIC):
                who = f"{lock['locker']} at {lock['address']}"
                raise InUse(f"{spec} is locked by {who} (rbd lock add, {lock['id']!r}): remove that lock first")
        return replace(
            wanted, image_id=known["id"], features=frozenset(known["features"]), image_bytes=int(known["size"])
        )


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
