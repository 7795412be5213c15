"""What every part of the storage driver has: the cluster, what can be asked of it, and one lock for each image."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence

from rexray.errors import Forbidden, InUse, NotFound, SettingsError
from rexray.locks import Locks
from rexray.types import Volume, VolumeId
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.describing import describe
from rexray_driver_ceph.fencing import Fence
from rexray_driver_ceph.images import HIDDEN, Image
from rexray_driver_ceph.names import Pool, Spec
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
            raise SettingsError(f"{error}: check rbd.defaultPool and rbd.pools") from None

    def _spec(self, volume_id: str) -> Spec:
        return Spec.parse(volume_id, self._cluster.default_pool).whole

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
        return None if spec.image.startswith(HIDDEN) else self._reader.image(spec)

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


def refuse_attached(image: Image) -> None:
    """``InUse`` names the instance that has the volume, or the clients that have it open."""
    if image.claim is not None:
        raise InUse(f"volume {str(image.spec)!r} is attached to {image.claim.instance!r}: detach it first")
