"""What every part of the storage driver has: the gateway, the array, and volumes as they are now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from rexray.errors import AlreadyExists, InvalidRequest, NotFound, OutOfRange, RexrayError, Unsupported
from rexray.http import NoAnswer
from rexray.settings import Sources
from rexray.types import AttachmentState, Snapshot, Volume
from rexray_driver_scaleio import words
from rexray_driver_scaleio.array import Array, Pool
from rexray_driver_scaleio.gateway import Gateway
from rexray_driver_scaleio.refusals import Why, why
from rexray_driver_scaleio.sdc import Sdc
from rexray_driver_scaleio.settings import ScaleIoSettings
from rexray_driver_scaleio.words import GIB, STEP_GIB, RawVolume, raw_volume

log = logging.getLogger(__name__)

_MODULE = Path("/dev/scini")


class ScaleIoCalls:
    """A driver of one system. Nothing is asked of anybody before the first call."""

    def __init__(self, settings: ScaleIoSettings) -> None:
        settings.check()
        settings.check_gateway()
        self._settings = settings
        self._gateway = Gateway(settings)
        self._array = Array(self._gateway, settings)
        self._own_guid = ""

    @classmethod
    def make(cls, sources: Sources) -> Self:
        """The driver as the sources configure it; ``SettingsError``."""
        return cls(sources.load(ScaleIoSettings))

    @property
    def _here(self) -> str:
        """The GUID of this host's SDC, empty where there is none."""
        if not self._own_guid:
            with suppress(RexrayError):
                self._own_guid = self._settings.guid.upper() or Sdc(self._settings.drv_cfg, _MODULE).guid()
        return self._own_guid

    def _raw_or_none(self, volume_id: str) -> RawVolume | None:
        """The volume or snapshot as it is now, None if it does not exist.

        ``InvalidRequest`` for one of another system behind the same gateway.
        """
        if not words.is_id(volume_id):
            if words.is_id(volume_id.lower()):
                raise InvalidRequest(f"{volume_id!r} is no id: the array writes them in small letters")
            return None
        action = f"volume {volume_id!r}"
        try:
            raw = raw_volume(self._gateway.get_object(f"/api/instances/Volume::{volume_id}", action), action)
        except NotFound as error:
            if why(error) is not Why.NO_VOLUME:
                raise
            return None
        if not self._array.pools_of([raw["storagePoolId"]]):
            raise InvalidRequest(f"volume {volume_id!r} is of another system than {self._array.system.id}")
        return raw

    def _raw(self, volume_id: str, what: str = "volume") -> RawVolume:
        """The volume or snapshot as it is now; ``NotFound``."""
        raw = self._raw_or_none(volume_id)
        if raw is None:
            raise NotFound(f"{what} {volume_id!r} does not exist in ScaleIO system {self._array.system.id}")
        return raw

    def _raw_volume(self, volume_id: str) -> RawVolume:
        """The volume as it is now; ``NotFound``, also for a snapshot."""
        raw = self._raw(volume_id)
        if words.is_snapshot(raw):
            raise NotFound(f"volume {volume_id!r} does not exist: that is the id of snapshot {raw.get('name')!r}")
        return raw

    def _raw_named(self, array_name: str) -> RawVolume | None:
        """The volume or snapshot of that name on the system."""
        try:
            found = self._id_named(array_name)
        except NotFound as error:
            if why(error) not in (Why.NO_SUCH_NAME, Why.NO_VOLUME):
                raise
            return None
        except Unsupported:  # by a gateway that cannot look for names
            found = ""
        with suppress(InvalidRequest):  # another system behind the same gateway has the name too
            raw = self._raw_or_none(found)
            if raw is not None and raw.get("name") == array_name:
                return raw
        return next((raw for raw in self._all_raw() if raw.get("name") == array_name), None)

    def _id_named(self, array_name: str) -> str:
        path, action, body = (
            "/api/types/Volume/instances/action/queryIdByKey",
            f"volume {array_name!r}",
            {"name": array_name},
        )
        try:
            found = self._gateway.post(path, action, body)
        except NoAnswer:  # it changes nothing, so that it may be asked again
            found = self._gateway.post(path, action, body)
        return str(found or "")

    def _all_raw(self) -> list[RawVolume]:
        """Every volume and snapshot of the system, by one request."""
        told = self._gateway.get_list("/api/types/Volume/instances", "the volumes")
        found = [raw_volume(item, "the volumes") for item in told]
        pools = self._array.pools_of({raw["storagePoolId"] for raw in found})
        return [raw for raw in found if raw["storagePoolId"] in pools]

    def _pool(self, raw: RawVolume) -> Pool | None:
        """The pool of a volume, None for one of another system."""
        return self._array.pools_of([raw["storagePoolId"]]).get(raw["storagePoolId"])

    def _described(self, raw: RawVolume, name: str = "") -> Volume:
        """The volume for REX-Ray, by the name that it was asked for with: the array's may be a hashed one."""
        sdcs = self._array.known_sdcs(item["sdcId"] for item in words.mappings_of(raw))
        volume = words.describe_volume(raw, self._pool(raw), sdcs, self._array.system.id)
        if volume.attachments:
            mine = self._here in {attachment.instance_id for attachment in volume.attachments}
            volume = replace(volume, state=AttachmentState.ATTACHED if mine else AttachmentState.UNAVAILABLE)
        return replace(volume, name=name) if name else volume

    def _described_snapshot(self, raw: RawVolume, name: str = "") -> Snapshot:
        snapshot = words.describe_snapshot(raw, self._array.system.id)
        return replace(snapshot, name=name) if name else snapshot

    def _act(
        self,
        volume_id: str,
        verb: str,
        action: str,
        body: Mapping[str, object],
        is_done: Callable[[RawVolume | None], bool],
        *,
        repeat: bool = True,
    ) -> None:
        """Have the volume changed; after a lost answer, look whether it was, and else ask once more.

        What does harm when it takes effect late, after this has returned, is not to ``repeat``: the first request may
        still be under way.
        """
        path = f"/api/instances/Volume::{volume_id}/action/{verb}"
        try:
            self._gateway.post(path, action, body)
        except NoAnswer:
            if is_done(self._raw_or_none(volume_id)):
                return
            if not repeat:
                raise
            self._gateway.post(path, action, body)

    def _grow(self, volume_id: str, size: int, action: str) -> None:
        """Grow to so many GiB; one that has them already, perhaps of a request whose answer was lost, stays."""
        try:
            self._act(
                volume_id,
                "setVolumeSize",
                action,
                {"sizeInGB": str(size)},
                lambda raw: raw is not None and words.size_of(raw) >= size * GIB,
            )
        except OutOfRange as error:
            if why(error) is not Why.NOT_LARGER:
                raise

    def _cache(self, volume_id: str, word: str) -> None:
        """Switch the read cache of the volume on or off, as ``true`` or ``false``."""
        self._act(
            volume_id,
            "setVolumeUseRmcache",
            f"read cache of volume {volume_id!r}",
            {"useRmcache": word.upper()},
            lambda raw: raw is not None and words.cached(raw) == word,
        )

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        """What the array answers to making something of that name, None if the name is in use already.

        Names are unique there: after a lost answer, what has the name is what was made, or was there before.
        """
        try:
            return make()
        except NoAnswer:
            if self._raw_named(name) is not None:
                return None
        except AlreadyExists as error:
            if why(error) is not Why.NAME_IN_USE:
                raise
            return None
        try:
            return make()
        except AlreadyExists as error:
            if why(error) is not Why.NAME_IN_USE:
                raise
            return None

    def _snapshot_volumes(self, action: str, names: Mapping[str, str]) -> Any:
        """Take snapshots at one moment, of the volumes by their ids under the names, all of them or none."""
        definitions = [{"volumeId": volume_id, "snapshotName": name} for volume_id, name in names.items()]
        path = f"/api/instances/System::{self._array.system.id}/action/snapshotVolumes"
        return self._gateway.post(path, action, {"snapshotDefs": definitions})


def whole_steps(size_bytes: int, limit_bytes: int, what: str) -> int:
    """The size in GiB of the smallest volume for so many bytes; ``OutOfRange`` beyond the limit, where one is set."""
    size = max(1, -(-size_bytes // (STEP_GIB * GIB))) * STEP_GIB
    if limit_bytes and size * GIB > limit_bytes:
        raise OutOfRange(
            f"{what}: ScaleIO's sizes are multiples of {STEP_GIB} GiB, and {size} GiB are more than the limit of "
            f"{limit_bytes} bytes"
        )
    if size * GIB != size_bytes:
        log.warning(
            "%s: %g GiB were asked for, and ScaleIO's sizes are multiples of %d GiB: it gets %d",
            what,
            size_bytes / GIB,
            STEP_GIB,
            size,
        )
    return size


def option_of(options: Mapping[str, str], key: str, allowed: Collection[str]) -> str:
    """An option's word in lower case, empty if it was not given; ``InvalidRequest`` if it is none of those allowed."""
    word = options.get(key, "").lower()
    if word and word not in allowed:
        raise InvalidRequest(f"option {key}: {word!r} is not one of {', '.join(allowed)}")
    return word
