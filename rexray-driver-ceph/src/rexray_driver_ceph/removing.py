"""Removing images."""

from __future__ import annotations

from rexray.errors import InUse
from rexray.types import VolumeId
from rexray_driver_ceph import flattening
from rexray_driver_ceph.base import RbdCalls, refuse_attached
from rexray_driver_ceph.fencing import refuse_open
from rexray_driver_ceph.images import HIDDEN
from rexray_driver_ceph.names import Spec
from rexray_driver_ceph.refusals import refusal


class RemoveCalls(RbdCalls):
    """``remove`` of the contract."""

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        """Delete the volume and its data; a missing one is success, an attached one ``InUse``, one with snapshots too.

        A volume of a pool or namespace that the cluster does not have is missing too, unless the settings name it.
        ``force`` makes no difference. A parent of clones goes to Ceph's trash, and from there with the last of them.
        """
        spec = self._spec(volume_id)
        with self._changing(spec, "removing"):
            image = self._look(volume_id)
            if image is None:
                return
            self._refuse_foreign(image, f"image {spec}")
            refuse_attached(image)
            left = [snap.spec for snap in image.snapshots if snap.spec.snapshot.startswith(HIDDEN)]
            kept = [snap.spec for snap in image.snapshots if snap.spec not in left]
            if kept:
                names = ", ".join(repr(str(snapshot)) for snapshot in kept[:3])
                raise InUse(f"volume {volume_id!r} has {len(kept)} snapshots ({names}): remove them first")
            refuse_open(image, self._fence.wait_closed(image))
            if image.watchers and image.parent is not None:
                flattening.stop(self._cluster, spec)
            for snapshot in left:  # what a clone was to be made of when its maker was killed
                self._drop_snapshot(snapshot)
            self._remove_image(spec)

    def _remove_image(self, spec: Spec) -> None:
        """Remove an image; a missing one is success. One with clones is kept in the trash as long as they need it."""
        words = ("--rbd-move-parent-to-trash-on-remove=true", "rm", "--no-progress", str(spec))
        action = f"remove volume {str(spec)!r}"
        ended = self._cluster.attempt("rbd", *words, action=action, seconds=self._settings.work_timeout)
        # it also ends with 2 where a full pool let it remove nothing: whether the image is there decides
        if ended.status != 0 and self._reader.image(spec) is not None:
            raise refusal(ended, action)
