"""Making volumes and removing them: one volume for each name, whenever the process is killed."""

from __future__ import annotations

import time

from rexray import faults
from rexray.errors import AlreadyExists, Busy, InUse, InvalidRequest, NotFound, OutOfRange
from rexray.types import Volume, VolumeId, VolumeSpec
from rexray_driver_scaleio import names, words
from rexray_driver_scaleio.array import Pool
from rexray_driver_scaleio.base import ScaleIoCalls, option_of, whole_steps
from rexray_driver_scaleio.refusals import Why, why
from rexray_driver_scaleio.settings import THICK, THIN
from rexray_driver_scaleio.words import GIB, KIB, RawVolume

DEFAULT_SIZE = 16 * GIB
PROVISIONING = {"thin": THIN, "thick": THICK}
BOOLEANS = ("true", "false")
CREATE_OPTIONS = {
    "protectiondomain": "the protection domain of the storage pool, by its name or id",
    "provisioning": "thin or thick",
    "rmcache": "true or false: cache reads in the servers' memory",
}
"""The create options that only ScaleIO has."""
_REMOVING_PAUSE = 1.0


class MakingCalls(ScaleIoCalls):
    """``create`` and ``remove`` of the contract."""

    def create(self, spec: VolumeSpec) -> Volume:
        """The volume of that name, made if it is missing.

        Sizes are rounded up to multiples of 8 GiB, with a warning. The type is the storage pool's name or id. A volume
        of a snapshot or of another volume is a snapshot on the array, and stays in the pool of what it is made of.
        """
        self._refuse_unmeant(spec)
        source = spec.source_snapshot or spec.source_volume
        wanted = spec.size_bytes or (0 if source else DEFAULT_SIZE)
        size = whole_steps(wanted, spec.limit_bytes, f"volume {spec.name!r}") if wanted else 0
        return self._clone(spec, source, size) if source else self._make(spec, size)

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        """Delete the volume; an attached one is ``InUse`` with its holders, ``force`` or not. A missing one is gone.

        Snapshots and clones of it stay. A clone that has snapshots is ``InUse``: the array may call them its source's.
        """
        raw = self._raw_or_none(volume_id)
        if raw is None:
            return
        if words.is_snapshot(raw):
            raise InvalidRequest(
                f"{volume_id!r} is snapshot {raw.get('name')!r}, not a volume: remove it as a snapshot"
            )
        if raw.get("ancestorVolumeId"):
            own = [item for item in self._all_raw() if item.get("ancestorVolumeId") == raw["id"]]
            if own := [item for item in own if words.is_snapshot(item)]:
                raise InUse(
                    f"volume {raw.get('name')!r} ({volume_id}) is a clone, and has {len(own)} snapshots, such as "
                    f"{own[0].get('name')!r}: remove them first"
                )
        self._delete(raw, f"volume {raw.get('name')!r} ({volume_id})")

    def _refuse_unmeant(self, spec: VolumeSpec) -> None:
        option_of(spec.options, "provisioning", PROVISIONING)
        option_of(spec.options, "rmcache", BOOLEANS)
        if spec.iops:
            raise InvalidRequest(
                f"volume {spec.name!r}: ScaleIO limits the IOPS of a volume on a host, not of a volume: set "
                "scaleio.iopsLimit instead of iops"
            )
        system = self._array.system
        if spec.zone and spec.zone not in (system.id, system.name):
            raise InvalidRequest(
                f"volume {spec.name!r}: zone {spec.zone!r} does not exist: there is {system.name or 'nameless'} "
                f"({system.id}), the system"
            )

    def _make(self, spec: VolumeSpec, size: int) -> Volume:
        pool = self._array.wanted_pool(spec.type, spec.options.get("protectiondomain", ""))
        provisioning = option_of(spec.options, "provisioning", PROVISIONING)
        kind = PROVISIONING[provisioning] if provisioning else self._settings.thin_or_thick
        name, kib = names.volume_name(spec.name), size * GIB // KIB
        body = {
            "protectionDomainId": pool.domain_id,
            "storagePoolId": pool.id,
            "name": name,
            "volumeType": kind,
            "volumeSizeInKb": str(kib),
        }
        if cache := option_of(spec.options, "rmcache", BOOLEANS):
            body["useRmcache"] = cache.upper()
        action = f"volume {spec.name!r}"
        for other in names.candidates(spec.name)[1:]:
            if (found := self._raw_named(other)) is not None and not words.is_snapshot(found):
                return self._described(self._same(spec, found, size, pool), spec.name)
        made = self._once(name, lambda: self._gateway.post("/api/types/Volume/instances", action, body))
        if made is None:
            return self._described(self._same(spec, self._named(spec, name), size, pool), spec.name)
        faults.point("scaleio-created")
        raw = RawVolume(
            id=str(made["id"]),
            name=name,
            sizeInKb=kib,
            storagePoolId=pool.id,
            volumeType=kind,
            useRmcache=cache == "true",
        )
        return self._described(raw, spec.name)

    def _clone(self, spec: VolumeSpec, source: str, size: int) -> Volume:
        for option in ("provisioning", "protectiondomain"):
            if spec.options.get(option):
                raise InvalidRequest(f"volume {spec.name!r}: it gets its {option} from what it is made of")
        of = self._source(spec)
        pool = self._pool(of)
        if spec.type and pool and spec.type not in (pool.id, pool.name):
            raise InvalidRequest(
                f"volume {spec.name!r}: what it is made of is in storage pool {pool.name!r}, and it cannot be in "
                f"{spec.type!r}"
            )
        least = words.size_of(of) // GIB
        if spec.size_bytes and size < least:
            raise OutOfRange(f"volume {spec.name!r}: {size} GiB are less than the {least} GiB of what it is made of")
        if spec.limit_bytes and least * GIB > spec.limit_bytes:
            raise OutOfRange(f"volume {spec.name!r}: what it is made of has {least} GiB, more than the limit")
        name = names.volume_name(spec.name)
        action = f"volume {spec.name!r} of {source!r}"
        self._once(name, lambda: self._snapshot_volumes(action, {of["id"]: name}))
        faults.point("scaleio-cloned")
        raw = self._named(spec, name)
        if raw.get("ancestorVolumeId") != of["id"]:
            raise AlreadyExists(
                f"volume {spec.name!r} ({raw['id']}) exists and is made of {raw.get('ancestorVolumeId')!r}, and was "
                f"asked for as made of {source!r}"
            )
        if words.size_of(raw) < size * GIB:
            self._grow(raw["id"], size, action)
            faults.point("scaleio-clone-grown")
            raw = self._raw(raw["id"])
        self._same(spec, raw, size, pool)
        cache = option_of(spec.options, "rmcache", BOOLEANS)
        if cache and words.cached(raw) != cache:
            self._cache(raw["id"], cache)
            raw = self._raw(raw["id"])
        return self._described(raw, spec.name)

    def _named(self, spec: VolumeSpec, name: str) -> RawVolume:
        """What has the name already; it may have been removed since the array refused the name."""
        raw = self._raw_named(name)
        if raw is None:
            raise Busy(f"volume {spec.name!r} was removed while it was being made: try again")
        if words.is_snapshot(raw):
            raise AlreadyExists(f"{name!r} ({raw['id']}) is a snapshot on the array: take another name")
        return raw

    def _same(self, spec: VolumeSpec, raw: RawVolume, size: int, pool: Pool | None) -> RawVolume:
        """The volume that is there, if it is what was asked for; ``AlreadyExists`` says in what it is not."""
        provisioning = PROVISIONING.get(option_of(spec.options, "provisioning", PROVISIONING), "")
        cache = option_of(spec.options, "rmcache", BOOLEANS)
        asked_pool = pool if spec.type or spec.options.get("protectiondomain") else None
        pairs: dict[str, tuple[object, object]] = {
            "size in GiB": (words.size_of(raw) // GIB, size if spec.size_bytes else None),
            "storage pool": (raw["storagePoolId"], asked_pool.id if asked_pool else None),
            "type": (raw.get("volumeType"), provisioning),
            "read cache": (words.cached(raw), cache if not (spec.source_snapshot or spec.source_volume) else ""),
        }
        for what, (there, asked) in pairs.items():
            if asked and there != asked:
                raise AlreadyExists(
                    f"volume {spec.name!r} ({raw['id']}) exists with {what} {there}, and was asked for with {asked}"
                )
        if spec.limit_bytes and words.size_of(raw) > spec.limit_bytes:
            raise AlreadyExists(f"volume {spec.name!r} ({raw['id']}) exists and is larger than was asked for")
        return raw

    def _delete(self, raw: RawVolume, what: str) -> None:
        """Remove that volume or snapshot and nothing else, and wait where its removal is under way already."""
        until = time.monotonic() + self._settings.remove_timeout
        while True:
            if holders := words.holders_of(raw):
                raise InUse(f"{what} is attached to {holders}: detach it first")
            faults.point("scaleio-removing")
            try:
                self._act(
                    raw["id"], "removeVolume", f"removing {what}", {"removeMode": "ONLY_ME"}, lambda now: now is None
                )
                return
            except NotFound as error:
                if why(error) is not Why.NO_VOLUME:
                    raise
                return
            except InUse:
                raw = self._raw_or_none(raw["id"]) or raw
                if not words.holders_of(raw):
                    raise
            except Busy as error:
                if why(error) is not Why.BEING_REMOVED or time.monotonic() > until:
                    raise
                time.sleep(_REMOVING_PAUSE)

    def _source(self, spec: VolumeSpec) -> RawVolume:
        if spec.source_snapshot:
            raw = self._raw(spec.source_snapshot, "snapshot")
            if not words.is_snapshot(raw):
                raise NotFound(f"snapshot {spec.source_snapshot!r} does not exist: that is the id of a volume")
            return raw
        return self._raw_volume(spec.source_volume or "")
