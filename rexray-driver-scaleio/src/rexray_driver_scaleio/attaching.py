"""Mapping volumes to SDCs and taking them from there.

The array keeps a second SDC from a volume that is mapped: that is what makes an attachment exclusive. Removing a
mapping ends the I/O of the host that had it at once, so that a volume that is taken by force is safe from it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from rexray import faults
from rexray.errors import (
    AlreadyExists,
    Busy,
    Forbidden,
    InUse,
    InvalidRequest,
    NotFound,
    NotReady,
    OutOfCapacity,
    RexrayError,
    Unsupported,
)
from rexray.types import Attachment, Instance, InstanceId, VolumeId
from rexray_driver_scaleio import words
from rexray_driver_scaleio.array import Sdc
from rexray_driver_scaleio.base import ScaleIoCalls
from rexray_driver_scaleio.refusals import Why, why
from rexray_driver_scaleio.words import PROVIDER, READ_ONLY, READ_WRITE, RawMapping, RawVolume

log = logging.getLogger(__name__)

TRIES = 5
"""How often a volume is tried that others map and unmap meanwhile."""
ACCESS_MODES_SINCE = (3, 0)
"""The version from which a mapping can be read-only."""
MIB_KIB = 1 << 10


class AttachCalls(ScaleIoCalls):
    """``instances``, ``attach``, ``detach`` and ``attachments`` of the contract; an instance id is an SDC's GUID."""

    def instances(self) -> Iterator[Instance]:
        """The system's SDCs; each may have ``scaleio.maxVolumes``."""
        system = self._array.system
        for sdc in self._array.sdcs().values():
            yield Instance(
                id=InstanceId(sdc.guid or sdc.id),
                provider=PROVIDER,
                name=sdc.name or sdc.ip,
                zone=system.id,
                max_volumes=self._settings.max_volumes,
                fields={"sdcId": sdc.id, "ip": sdc.ip, "state": "connected" if sdc.connected else "disconnected"},
            )

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        """Map the volume to the SDC; ``InUse`` names the holder, ``force`` takes it from there.

        Limits of the settings are set anew each time. ``read_only`` is ``Unsupported`` before version 3.0.
        """
        modes = self._gateway.version >= ACCESS_MODES_SINCE
        if read_only and not modes:
            raise Unsupported("read-only attachments need version 3.0 of the gateway's API")
        self._raw_volume(volume_id)
        sdc = self._array.sdc(instance_id)
        action = f"attaching volume {volume_id!r} to {instance_id!r}"
        body = {"allowMultipleMappings": "FALSE"}
        if modes:
            body["accessMode"] = READ_ONLY if read_only else READ_WRITE
        self._refuse_too_many(volume_id, sdc)
        taken = ""
        for _ in range(TRIES):
            faults.point("scaleio-attach-asking")
            try:
                self._act(volume_id, "addMappedSdc", action, {"sdcId": sdc.id, **body}, has(sdc.id))
            except NotFound as error:
                if why(error) is Why.NO_VOLUME:
                    self._raw_volume(volume_id)
                known, sdc = sdc, self._array.sdc(instance_id, fresh=True)
                if sdc.id == known.id:
                    raise
                continue  # the host has come back as another SDC
            except (Forbidden, NotReady, OutOfCapacity) as error:
                if not taken:
                    raise
                raise type(error)(f"{error}; the volume was taken from {taken}, and is attached nowhere now") from None
            except (AlreadyExists, InUse) as error:
                if why(error) not in (Why.MAPPED_TO_IT, Why.MAPPED_TO_ALL, Why.MAPPED_ELSEWHERE):
                    raise
            faults.point("scaleio-attach-asked")
            raw = self._raw_volume(volume_id)
            mine, others = _split(raw, sdc)
            if mine is not None and not others and not raw.get("mappingToAllSdcsEnabled"):
                self._refuse_other_mode(raw, mine, sdc, read_only=read_only)
                self._limit(raw, mine, sdc)
                return words.describe_attachment(raw, mine, {sdc.id: sdc}, self._array.system.id)
            if not force and (others or raw.get("mappingToAllSdcsEnabled")):
                raise InUse(
                    f"volume {volume_id!r} is attached to {words.holders_of(raw)}, not to {instance_id!r} alone"
                )
            if force:
                taken = words.holders_of(raw)
                self._take(raw, others, sdc)
        raise Busy(f"volume {volume_id!r} is attached and detached by somebody else: try again")

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        """Unmap the volume from the SDC, or from all; not mapped, or no such volume, is success.

        ``InUse`` for one SDC of a volume that is mapped to every SDC there is: it cannot be taken from one.
        """
        raw = self._raw_or_none(volume_id)
        if raw is None:
            return
        if words.is_snapshot(raw):
            raise InvalidRequest(f"{volume_id!r} is snapshot {raw.get('name')!r}, not a volume: it is not detached")
        everywhere = bool(raw.get("mappingToAllSdcsEnabled"))
        if instance_id is None:
            if words.mappings_of(raw) or everywhere:
                self._unmap(volume_id, None)
            return
        try:
            sdc = self._array.sdc(instance_id)
            if words.mappings_of(raw) and _split(raw, sdc)[0] is None:  # the host may have come back as another SDC
                sdc = self._array.sdc(instance_id, fresh=True)
        except NotFound:  # an SDC that is not there any more has nothing
            return
        if everywhere:
            raise InUse(f"volume {volume_id!r} is attached to every SDC, and cannot be detached from one: name none")
        if _split(raw, sdc)[0] is not None:
            self._unmap(volume_id, sdc.id)

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        """Where the volume is attached; raises ``NotFound``."""
        raw = self._raw_volume(volume_id)
        items = words.mappings_of(raw)
        if instance_id is not None and items:
            try:
                sdc_id = self._array.sdc(instance_id).id
            except NotFound:
                return ()
            items = [item for item in items if item["sdcId"] == sdc_id]
        sdcs = self._array.known_sdcs(item["sdcId"] for item in items)
        return tuple(words.describe_attachment(raw, item, sdcs, self._array.system.id) for item in items)

    def _refuse_too_many(self, volume_id: VolumeId, sdc: Sdc) -> None:
        most = self._settings.max_volumes
        if most:
            there = {raw["id"] for raw in self._all_raw() if has(sdc.id)(raw)}
            if volume_id not in there and len(there) >= most:
                raise OutOfCapacity(
                    f"instance {sdc.guid or sdc.id} has {len(there)} volumes, and scaleio.maxVolumes is {most}"
                )

    def _refuse_other_mode(self, raw: RawVolume, mine: RawMapping, sdc: Sdc, *, read_only: bool) -> None:
        there = mine.get("accessMode")
        asked = READ_ONLY if read_only else READ_WRITE
        if there and there != asked:
            raise AlreadyExists(
                f"volume {raw['id']!r} is attached to {sdc.guid or sdc.id} as {there}, and was asked for as {asked}: "
                "detach it first"
            )

    def _limit(self, raw: RawVolume, mine: RawMapping, sdc: Sdc) -> None:
        iops, bandwidth = self._settings.iops_limit, self._settings.bandwidth_limit
        there = _limits(mine)
        if (iops or bandwidth) and there != (iops or there[0], bandwidth or there[1]):
            self._set_limits(raw, mine, iops=iops or None, bandwidth=bandwidth or None)

    def _set_limits(self, raw: RawVolume, item: RawMapping, *, iops: int | None, bandwidth: int | None) -> None:
        """Limit a mapping, or lift its limits with 0; what is None stays as it is. ``bandwidth`` is in MiB/s."""
        iops, bandwidth = (
            there if new is None else new for there, new in zip(_limits(item), (iops, bandwidth), strict=True)
        )
        limits = {"iopsLimit": str(iops), "bandwidthLimitInKbps": str(bandwidth * MIB_KIB)}
        action = f"limits of volume {raw['id']!r} on {item['sdcId']!r}"
        self._act(
            raw["id"],
            "setMappedSdcLimits",
            action,
            {"sdcId": item["sdcId"], **limits},
            lambda now: (
                (iops, bandwidth)
                in [_limits(it) for it in words.mappings_of(now or {}) if it["sdcId"] == item["sdcId"]]
            ),
        )

    def _take(self, raw: RawVolume, others: list[RawMapping], sdc: Sdc) -> None:
        """Unmap the volume from all others, if there is nothing that keeps it from the SDC that is to have it."""
        sdc = self._array.sdc(sdc.id, fresh=True)
        if not (sdc.approved and sdc.connected):
            what = "approved on" if sdc.connected else "connected to"
            raise NotReady(f"SDC {sdc.guid} is not {what} the array: volume {raw['id']!r} stays where it is")
        log.warning("volume %s is taken by force from %s", raw["id"], words.holders_of(raw))
        if raw.get("mappingToAllSdcsEnabled"):
            self._unmap(raw["id"], None)
        for item in others:
            self._unmap(raw["id"], item["sdcId"])

    def _unmap(self, volume_id: str, sdc_id: str | None) -> None:
        """Unmap the volume from an SDC, or from all; not mapped, and no such volume, is success."""
        whom: dict[str, object] = {"allSdcs": ""} if sdc_id is None else {"sdcId": sdc_id}
        faults.point("scaleio-detach-asking")
        try:
            self._act(
                volume_id,
                "removeMappedSdc",
                f"detaching volume {volume_id!r}",
                {**whom, "ignoreScsiInitiators": "true"},
                lambda raw: raw is None or not (words.holders_of(raw) if sdc_id is None else has(sdc_id)(raw)),
                repeat=False,
            )
        except RexrayError as error:
            if why(error) not in (Why.NOT_MAPPED, Why.NO_VOLUME):
                raise
        faults.point("scaleio-detach-asked")


def has(sdc_id: str) -> Callable[[RawVolume | None], bool]:
    """Whether a volume is mapped to that SDC."""
    return lambda raw: any(item["sdcId"] == sdc_id for item in words.mappings_of(raw or {}))


def _limits(item: RawMapping) -> tuple[int, int]:
    """A mapping's limits of IOPS and of bandwidth in MiB/s, each 0 for none."""
    return int(item.get("limitIops") or 0), int(item.get("limitBwInMbps") or 0)


def _split(raw: RawVolume, sdc: Sdc) -> tuple[RawMapping | None, list[RawMapping]]:
    """The mapping to an SDC, and those to others."""
    found = words.mappings_of(raw)
    mine = [item for item in found if item["sdcId"] == sdc.id]
    return (mine[0] if mine else None), [item for item in found if item["sdcId"] != sdc.id]
