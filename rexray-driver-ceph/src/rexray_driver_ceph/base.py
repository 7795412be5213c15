"""What every part of the storage driver has: the cluster, what can be asked of it, and one lock for each image."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence

from rexray.errors import Forbidden, InUse, InvalidRequest, NotFound, NotReady, SettingsError
from rexray.locks import Locks
from rexray.types import Volume, VolumeId
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.describing import describe
from rexray_driver_ceph.fencing import Fence
from rexray_driver_ceph.images import HIDDEN, Image
from rexray_driver_ceph.names import Pool, Spec, image_name
from rexray_driver_ceph.reading import Reader, make_reader
from rexray_driver_ceph.refusals import refusal
from rexray_driver_ceph.settings import RbdSettings

_WAITERS = 10_000
"""Threads that wait for one image: the callers' pools limit them."""


class RbdCalls:
    """A driver of one cluster by one user. Nothing is asked of it before the first call."""

    def __init__(
        self, settings: RbdSettings, *, reader: Callable[[RbdSettings, Cluster], Reader] = make_reader
    ) -> None:
        self._settings = settings
        self._make_reader = reader
        self._cluster = Cluster(settings)
        self._locks = Locks(waiters=_WAITERS)

    @functools.cached_property
    def _reader(self) -> Reader:
        return self._make_reader(self._settings, self._cluster)

    @functools.cached_property
    def _fence(self) -> Fence:
        return Fence(self._settings, self._cluster, self._reader)

    @property
    def _pools(self) -> tuple[Pool, ...]:
        """The pools whose volumes are seen; empty for all of the cluster's."""
        if self._settings.pools:
            named = tuple(Pool.parse(pool) for pool in self._settings.pools)
            return tuple(dict.fromkeys([self._cluster.default_pool, *named]))
        return (self._cluster.default_pool,) if self._cluster.identity.user else ()

    def _seen(self, ask: Callable[[Sequence[Pool]], Iterator[Image]]) -> Iterator[Image]:
        """The images that a question about the pools finds; a pool that is not there is a wrong setting."""
        try:
            yield from ask(self._pools)
        except NotFound as error:
            raise _missing(error) from None

    @contextlib.contextmanager
    def _asking(self, pool: Pool) -> Iterator[None]:
        """A question about that pool: one that the settings name and that is not there is a wrong setting."""
        try:
            yield
        except NotFound as error:
            named = (self._cluster.default_pool, *map(Pool.parse, self._settings.pools))
            if pool in named and not self._exists(pool):
                raise _missing(error) from None
            raise

    def _exists(self, pool: Pool) -> bool:
        """Whether the cluster has that pool, and that namespace; what it does not answer is an error."""
        action = f"look for pool {pool}"
        if pool.name not in self._cluster.ask("ceph", "osd", "pool", "ls", action=action):
            return False
        if not pool.namespace:
            return True
        spaces = self._cluster.ask("rbd", "namespace", "ls", pool.name, action=action)
        return pool.namespace in [space["name"] for space in spaces]

    def _spec(self, volume_id: str) -> Spec:
        """The image of a volume's id; ``InvalidRequest`` for a snapshot's, whose image is not what was meant."""
        spec = self._parse(volume_id)
        if spec.snapshot:
            raise InvalidRequest(f"{volume_id!r} is the id of a snapshot, and of no volume")
        return spec

    def _parse(self, text: str) -> Spec:
        """The image or snapshot of an id; ``POOL.IMAGE`` is a volume of that very name in the default pool, if any.

        A pool that is made later does not take the name from a volume that has it.
        """
        spec = Spec.parse(text, self._cluster.default_pool)
        path = text.partition("@")[0]
        if "/" in path or "." not in path.strip("."):
            return spec
        return self._by_name(path, spec).at(spec.snapshot)

    def _by_name(self, name: str, otherwise: Spec) -> Spec:
        """The image in the default pool that was made as the volume of that name, if there is one."""
        own = Spec(self._cluster.default_pool, image_name(name))
        with contextlib.suppress(Forbidden, NotFound):  # a default pool that this user does not use
            image = self._reader.image(own)
            if image is not None and image.facts.get("name") == name:
                return own
        return otherwise

    def _described(self, image: Image) -> Volume:
        return describe(image, default=self._cluster.default_pool, here=self._settings.instance)

    def _image(self, volume_id: VolumeId) -> Image:
        """The image as it is now; raises ``NotFound``."""
        image = self._look(volume_id)
        if image is None:
            raise NotFound(f"volume {volume_id!r} does not exist in the cluster")
        return image

    def _look(self, volume_id: VolumeId) -> Image | None:
        spec = self._spec(volume_id)
        return None if spec.image.startswith(HIDDEN) else self._look_at(spec)

    def _look_at(self, spec: Spec) -> Image | None:
        """An image, if it is there. One of a pool or namespace that the cluster does not have is gone with it.

        But a pool that the settings name is ``SettingsError``: that is a wrong name, or a wrong cluster.
        """
        try:
            with self._asking(spec.pool):
                return self._reader.image(spec)
        except NotFound:
            if self._exists(spec.pool):
                raise
            return None

    @contextlib.contextmanager
    def _changing(self, spec: Spec, what: str) -> Iterator[None]:
        """Hold the image's lock of this process; between processes the cluster's answers decide."""
        with self._locks.hold(str(spec.whole), owner=f"{what} {spec}", timeout=self._settings.work_timeout):
            yield

    def _drop_snapshot(self, snapshot: Spec) -> None:
        """Remove a snapshot; a missing one is success. With clones of it, it goes with the last of them."""
        action = f"remove snapshot {snapshot}"
        ended = self._cluster.attempt("rbd", "snap", "rm", "--no-progress", str(snapshot), action=action)
        if ended.status != 0 and "failed to remove snapshot: (2)" not in ended.stderr:
            raise refusal(ended, action)

    def _refuse_foreign(self, image: Image, what: str) -> None:
        """``Forbidden`` for what REX-Ray did not make, unless the settings allow it."""
        if not (image.ours or self._settings.remove_foreign):
            raise Forbidden(
                f"REX-Ray did not make {what}, and does not remove it: set rbd.removeForeign, or use 'rbd' itself"
            )


def refuse_unfinished(image: Image) -> None:
    """``NotReady`` for a volume whose rollback was cut short: it has a mixture."""
    if image.facts.get("rollback"):
        raise NotReady(
            f"volume {str(image.spec)!r} was being rolled back to {image.facts['rollback']!r} and did not finish: "
            "roll it back again"
        )


def _missing(error: NotFound) -> SettingsError:
    return SettingsError(f"{error}: check rbd.defaultPool and rbd.pools")


def refuse_attached(image: Image) -> None:
    """``InUse`` names the instance that has the volume, or the clients that have it open."""
    if image.claim is not None:
        raise InUse(f"volume {str(image.spec)!r} is attached to {image.claim.instance!r}: detach it first")
