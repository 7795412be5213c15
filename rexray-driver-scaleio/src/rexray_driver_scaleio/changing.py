"""Growing volumes, changing their properties, and putting them back to a snapshot."""

from __future__ import annotations

from collections.abc import Mapping

from rexray.errors import InUse, InvalidRequest, NotFound, NotReady, OutOfRange, RexrayError, Unsupported
from rexray.http import NoAnswer
from rexray.mixins import Expand, Modify, Rollback
from rexray.types import SnapshotId, Volume, VolumeId
from rexray_driver_scaleio import words
from rexray_driver_scaleio.attaching import AttachCalls
from rexray_driver_scaleio.base import option_of, whole_steps
from rexray_driver_scaleio.making import BOOLEANS
from rexray_driver_scaleio.refusals import Why, why
from rexray_driver_scaleio.words import GIB

ROLLBACK_SINCE = (3, 0)
"""The version from which a volume's content can be overwritten with a snapshot's."""
_CHANGES = ("iops", "bandwidth", "rmcache")


class ChangeCalls(AttachCalls, Expand, Modify, Rollback):
    """``expand``, ``modify`` and ``rollback`` of the contract."""

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        """Grow to the next multiple of 8 GiB; as large already is success."""
        raw = self._raw_volume(volume_id)
        if words.size_of(raw) < size_bytes:
            size = whole_steps(size_bytes, limit_bytes, f"volume {volume_id!r}")
            self._grow(volume_id, size, f"growing volume {volume_id!r}")
            raw = self._raw_volume(volume_id)
            if words.size_of(raw) < size * GIB:
                raise OutOfRange(f"volume {volume_id!r} has {words.size_of(raw) // GIB} GiB and did not grow to {size}")
        return self._described(raw)

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        """Change ``rmcache`` (true or false), and ``iops`` and ``bandwidth`` (MiB/s; 0 for no limit) where attached.

        The array limits a volume on a host: ``NotReady`` for limits of a volume that is attached nowhere.
        """
        unknown = sorted(set(options) - set(_CHANGES))
        if unknown:
            raise InvalidRequest(f"option {unknown[0]!r} cannot be changed: there are {', '.join(_CHANGES)}")
        cache = option_of(options, "rmcache", BOOLEANS)
        iops, bandwidth = (_number(options, key) for key in ("iops", "bandwidth"))
        raw = self._raw_volume(volume_id)
        limited = iops is not None or bandwidth is not None
        if limited and not words.mappings_of(raw):
            raise NotReady(
                f"volume {volume_id!r} is attached nowhere, and ScaleIO limits it on a host: attach it first, or set "
                "scaleio.iopsLimit and scaleio.bandwidthLimit"
            )
        if cache:
            self._cache(volume_id, cache)
        for item in words.mappings_of(raw) if limited else ():
            self._set_limits(raw, item, iops=iops, bandwidth=bandwidth)
        return self._described(self._raw_volume(volume_id))

    def rollback(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> Volume:
        """Overwrite the volume with one of its snapshots; ``Unsupported`` before version 3.0.

        ``InvalidRequest`` where the volume has grown since: its end would be of another time.
        """
        if self._gateway.version < ROLLBACK_SINCE:
            raise Unsupported(
                "rollback needs version 3.0 of the gateway's API: make a new volume of the snapshot instead"
            )
        raw, snapshot = self._raw_volume(volume_id), self._raw(snapshot_id, "snapshot")
        if not words.is_snapshot(snapshot):
            raise NotFound(f"snapshot {snapshot_id!r} does not exist: that is the id of a volume")
        if snapshot.get("ancestorVolumeId") != volume_id:
            raise InvalidRequest(
                f"snapshot {snapshot_id!r} is of volume {snapshot.get('ancestorVolumeId')!r}, not of {volume_id!r}"
            )
        if words.size_of(raw) != words.size_of(snapshot):
            raise InvalidRequest(
                f"volume {volume_id!r} has {words.size_of(raw) // GIB} GiB and snapshot {snapshot_id!r} "
                f"{words.size_of(snapshot) // GIB}: make a new volume of the snapshot instead"
            )
        try:
            self._overwrite(volume_id, snapshot_id)
        except RexrayError as error:
            if why(error) is not Why.LOGGED_OUT:
                raise
            self._overwrite(volume_id, snapshot_id)
        raw = self._raw_volume(volume_id)
        if holders := words.holders_of(raw):
            raise InUse(
                f"volume {volume_id!r} was attached to {holders} while it was rolled back: what that host sees may be "
                "of both times: unmount it there and roll it back again"
            )
        return self._described(raw)

    def _overwrite(self, volume_id: VolumeId, snapshot_id: SnapshotId) -> None:
        """Ask once, right after a look at who has the volume; a lost answer may mean that it is still to happen."""
        if holders := words.holders_of(self._raw_volume(volume_id)):
            raise InUse(f"volume {volume_id!r} is attached to {holders}: detach it first")
        path = f"/api/instances/Volume::{volume_id}/action/overwriteVolumeContent"
        try:
            self._gateway.post(path, f"rollback of {volume_id!r}", {"srcVolumeId": snapshot_id}, once=True)
        except NoAnswer as error:
            raise NoAnswer(
                f"{error}: volume {volume_id!r} may still be overwritten: do not attach it before the array is done, "
                "and roll it back again"
            ) from None


def _number(options: Mapping[str, str], key: str) -> int | None:
    text = options.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidRequest(f"option {key}: {text!r} is not a whole number")
    return int(text)
