"""Making volumes: what is asked for, and what is there already."""

from __future__ import annotations

from collections.abc import Mapping

from rexray.errors import AlreadyExists, InvalidRequest, NotFound, OutOfRange, RexrayError
from rexray.mixins import Clone, Encrypted
from rexray.types import Volume, VolumeSpec
from rexray_driver_ceph import passphrases
from rexray_driver_ceph.base import refuse_unfinished
from rexray_driver_ceph.building import BuildCalls, Plan, hidden_prefix
from rexray_driver_ceph.describing import size, volume_name
from rexray_driver_ceph.flattening import depth, flatten_soon
from rexray_driver_ceph.images import Image
from rexray_driver_ceph.names import Pool, Spec, image_name
from rexray_driver_ceph.sizes import DEFAULT_SIZE, MIB, round_up

LUKS2_HEADER = 16 * MIB
"""What ``rbd encryption format`` leaves for the header of LUKS2, librbd's and cryptsetup's default alike."""


class MakingCalls(BuildCalls, Clone, Encrypted):
    """``create`` of the contract."""

    def create(self, spec: VolumeSpec) -> Volume:
        """The volume of that name, made if it is missing; ``AlreadyExists`` if it differs from the spec.

        ``spec.type`` is the pool, or POOL/NAMESPACE; without it a name such as ``pool.data`` says it, as the original's
        did, if there is such a pool, and no volume of that name in the default one. An image of another maker's is
        ``AlreadyExists``, whatever it is like.
        """
        place = self._place(spec)
        with self._changing(place, "making"):
            found, hidden = self._look_for(place, spec)
            if found is not None:
                return self._described(self._same(found, spec))
            plan = self._plan(place, spec)
            try:
                self._make(plan)
            except RexrayError:
                found, _ = self._look_for(place, spec)
                if found is None:
                    raise
                return self._described(self._same(found, spec))  # made by somebody else meanwhile
            finally:
                self._tidy_up(plan)
            image = self._look_at(place)
            if image is None:
                raise RexrayError(f"volume {spec.name!r} is not there after it was made: look at image {place}")
            self._sweep(image, hidden, plan.source_image)
            if int(plan.facts.get("depth", "0")) > self._settings.clone_depth:
                flatten_soon(self._cluster, place, seconds=self._settings.work_timeout)
            return self._described(image)

    def _look_for(self, place: Spec, spec: VolumeSpec) -> tuple[Image | None, Mapping[Spec, str]]:
        """The image of a volume, and what attempts to make it left; that is gone where the image is there."""
        with self._asking(place.pool):
            found, hidden = self._reader.image_and_hidden(place, hidden_prefix(place))
        if found is not None:
            source = self._look(spec.source_volume) if spec.source_volume else None
            self._sweep(found, hidden, source)
        return found, hidden

    def _place(self, spec: VolumeSpec) -> Spec:
        """Where the image of a volume is, or is to be."""
        if spec.zone:
            raise InvalidRequest(f"volume {spec.name!r}: zone {spec.zone!r} is unknown: a Ceph cluster has no zones")
        if spec.type:
            return Spec(Pool.parse(spec.type), image_name(spec.name))
        before, _, rest = spec.name.partition(".")
        if before and rest and before in self._pool_names:
            return self._by_name(spec.name, Spec(Pool(before), image_name(rest)))
        return Spec(self._cluster.default_pool, image_name(spec.name))

    def _same(self, image: Image, spec: VolumeSpec) -> Image:
        """The image, which is there already, if it is what is asked for."""
        what = f"volume {spec.name!r} exists as image {image.spec}"
        if not image.ours:
            raise AlreadyExists(f"{what}, which REX-Ray did not make: choose another name, or use it as it is")
        if volume_name(image, self._cluster.default_pool) != spec.name:
            raise AlreadyExists(f"{what}, which is volume {volume_name(image, self._cluster.default_pool)!r}")
        wanted = round_up(spec.size_bytes, 0, what) if spec.size_bytes else size(image)
        if wanted != size(image):
            raise AlreadyExists(f"{what} with {size(image)} bytes, and was asked for with {wanted}")
        if spec.limit_bytes and size(image) > spec.limit_bytes:
            raise AlreadyExists(f"{what} with {size(image)} bytes, and at most {spec.limit_bytes} were asked for")
        asked, given = self._source_name(spec), image.facts.get("source", "")
        if asked != given:
            raise AlreadyExists(f"{what}, made of {given or 'nothing'}, and was asked for of {asked or 'nothing'}")
        if spec.encrypted and not image.facts.get("encryption"):
            raise AlreadyExists(f"{what}, which is not encrypted as asked")
        if spec.encrypted and spec.encryption_key and spec.encryption_key != image.facts.get("key"):
            raise AlreadyExists(f"{what}, encrypted with another key than asked")
        return image

    def _source_name(self, spec: VolumeSpec) -> str:
        if spec.source_snapshot:
            return str(self._parse(spec.source_snapshot))
        return str(self._spec(spec.source_volume)) if spec.source_volume else ""

    def _plan(self, place: Spec, spec: VolumeSpec) -> Plan:
        known = {"name": spec.name, "image": str(place), "source": self._source_name(spec)}
        if spec.source_snapshot or spec.source_volume:
            return self._plan_copy(place, spec, known)
        wanted = round_up(spec.size_bytes or DEFAULT_SIZE, spec.limit_bytes, f"volume {spec.name!r}")
        if spec.encrypted:
            passphrases.find(self._settings, spec.encryption_key)
            known |= {"encryption": "luks2", "key": spec.encryption_key, "header": str(LUKS2_HEADER)}
            wanted += LUKS2_HEADER
        return Plan(spec=place, size_bytes=wanted, facts=known, iops=spec.iops)

    def _plan_copy(self, place: Spec, spec: VolumeSpec, known: dict[str, str]) -> Plan:
        """A copy is at least as large as its source, and encrypted as that is."""
        source = self._parse(spec.source_snapshot or spec.source_volume or "")
        image = self._look_at(source.whole)
        snap = next((snap for snap in image.snapshots if snap.spec == source), None) if image is not None else None
        if image is None or (source.snapshot and snap is None):
            raise NotFound(f"volume {spec.name!r}: its source {str(source)!r} does not exist in the cluster")
        if not source.snapshot:
            refuse_unfinished(image)
        inherited = {key: image.facts[key] for key in ("encryption", "key", "header") if image.facts.get(key)}
        if spec.encrypted and not inherited:
            raise InvalidRequest(f"volume {spec.name!r}: its source {str(source)!r} is not encrypted: a copy cannot be")
        if spec.encryption_key and spec.encryption_key != inherited.get("key", ""):
            raise InvalidRequest(f"volume {spec.name!r}: it has the key of its source {str(source)!r}, not another one")
        header = int(inherited.get("header", "0"))
        source_bytes = snap.size_bytes if snap is not None else image.size_bytes
        least = source_bytes - header
        wanted = round_up(max(spec.size_bytes or least, least), spec.limit_bytes, f"volume {spec.name!r}")
        if spec.size_bytes and spec.size_bytes < least:
            raise OutOfRange(f"volume {spec.name!r}: its source {str(source)!r} has {least} bytes, more than asked for")
        return Plan(
            spec=place,
            size_bytes=wanted + header,
            facts={**known, **inherited, "depth": str(depth(image) + 1)},
            iops=spec.iops,
            source=source,
            source_image=image,
            source_bytes=source_bytes,
        )

    @property
    def _pool_names(self) -> set[str]:
        if self._pools:
            return {pool.name for pool in self._pools}
        pools = self._cluster.ask("ceph", "osd", "pool", "ls", "detail", action="list the pools")
        return {pool["pool_name"] for pool in pools if "rbd" in pool["application_metadata"]}
