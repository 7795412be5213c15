"""Making images and removing them.

An image is made under a hidden name, described as REX-Ray's, and then renamed, which the cluster does at once or not at
all: a volume of a name is there with all that belongs to it, or not, and a create that was killed is said again.

Facts: rbd(8). Sizes are given in MiB. A clone of format 2 needs no protected snapshot. ``rbd encryption format`` (Ceph
16) writes the header into the image: the bytes that its user has are those after it.
"""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass, replace

from rexray import faults
from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotFound, OutOfRange
from rexray.mixins import Clone, Encrypted
from rexray.types import Volume, VolumeId, VolumeSpec
from rexray_driver_ceph import facts, passphrases
from rexray_driver_ceph.base import RbdCalls, refuse_attached
from rexray_driver_ceph.describing import IOPS, size, volume_name
from rexray_driver_ceph.fencing import refuse_open
from rexray_driver_ceph.flattening import depth, flatten_soon
from rexray_driver_ceph.images import HIDDEN, Image
from rexray_driver_ceph.limits import set_limit
from rexray_driver_ceph.names import Pool, Spec, image_name
from rexray_driver_ceph.refusals import NoImage, number, refusal

MIB = 1 << 20
DEFAULT_SIZE = 1 << 30
"""The size of a volume that was asked for without one: the original's."""
LARGEST = 1 << 60
"""More than any cluster has; beyond 2**63 bytes ``rbd`` reads a size as another."""
LUKS2_HEADER = 16 * MIB
"""What ``rbd encryption format`` leaves for the header of LUKS2, librbd's and cryptsetup's default alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An image that is to be made: where, how large (with its header), of what, and what is to be known of it."""

    spec: Spec
    size_bytes: int
    facts: dict[str, str]
    iops: int = 0
    source: Spec | None = None
    source_image: Image | None = None

    @property
    def made(self) -> Image:
        """The image as it is when it has just been made."""
        metadata = {IOPS: str(self.iops)} if self.iops else {}
        return Image(
            spec=self.spec,
            id="",
            size_bytes=self.size_bytes,
            facts=self.facts,
            claim=None,
            metadata=metadata,
        )

    @property
    def hidden(self) -> Spec:
        """The image while it is not finished."""
        return replace(self.spec, image=hidden_name(self.spec.image))


def hidden_name(word: str) -> str:
    """The hidden name on the way to an image or snapshot."""
    return HIDDEN + hashlib.sha256(word.encode()).hexdigest()[:32]


def round_up(size_bytes: int, limit_bytes: int, what: str) -> int:
    """Whole MiB; ``OutOfRange`` beyond the limit, if there is one, and beyond what a cluster can have."""
    rounded = max(-(-size_bytes // MIB), 1) * MIB
    if rounded > LARGEST:
        raise OutOfRange(f"{what}: {size_bytes} bytes are more than an image can have")
    if limit_bytes and rounded > limit_bytes:
        raise OutOfRange(f"{what}: its size is whole MiB, {rounded} bytes, more than the limit of {limit_bytes}")
    return rounded


class MakingCalls(RbdCalls, Clone, Encrypted):
    """``create`` and ``remove`` of the contract."""

    def create(self, spec: VolumeSpec) -> Volume:
        """The volume of that name, made if it is missing; ``AlreadyExists`` if it differs from the spec.

        ``spec.type`` is the pool, or POOL/NAMESPACE; without it a name such as ``pool.data`` says it, as the original's
        did, if there is such a pool. An image of another maker's is ``AlreadyExists``, whatever it is like.
        """
        place = self._place(spec)
        with self._changing(place, "making"):
            found = self._reader.image(place)
            if found is not None:
                return self._described(self._same(found, spec))
            plan = self._plan(place, spec)
            try:
                self._make(plan)
            finally:
                self._drop_hidden_snapshot(plan)
            if int(plan.facts.get("depth", "0")) > self._settings.clone_depth:
                flatten_soon(self._cluster, place, seconds=self._settings.work_timeout)
            return self._described(plan.made)

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        """Delete the volume and its data; a missing one is success, an attached one ``InUse``, one with snapshots too.

        ``force`` makes no difference. A parent of clones goes to Ceph's trash, and from there with the last of them.
        """
        spec = self._spec(volume_id)
        with self._changing(spec, "removing"):
            image = self._look(volume_id)
            if image is None:
                return
            self._refuse_foreign(image, f"image {spec}")
            refuse_attached(image)
            refuse_open(image, self._fence.wait_closed(image))
            if image.snapshots:
                names = ", ".join(repr(str(snap.spec)) for snap in image.snapshots[:3])
                raise InUse(f"volume {volume_id!r} has {len(image.snapshots)} snapshots ({names}): remove them first")
            self._remove_image(spec)

    def _place(self, spec: VolumeSpec) -> Spec:
        """Where the image of a volume is, or is to be."""
        if spec.zone:
            raise InvalidRequest(f"volume {spec.name!r}: zone {spec.zone!r} is unknown: a Ceph cluster has no zones")
        if spec.type:
            return Spec(Pool.parse(spec.type), image_name(spec.name))
        before, _, rest = spec.name.partition(".")
        if before and rest and before in self._pool_names:
            return Spec(Pool(before), image_name(rest))
        return Spec(self._cluster.default_pool, image_name(spec.name))

    def _same(self, image: Image, spec: VolumeSpec) -> Image:
        """The image, which is there already, if it is what is asked for."""
        what = f"volume {spec.name!r} exists as image {image.spec}"
        if not image.facts:
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
            return str(Spec.parse(spec.source_snapshot, self._cluster.default_pool))
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
        source = Spec.parse(spec.source_snapshot or spec.source_volume or "", self._cluster.default_pool)
        image = self._reader.image(source.whole)
        snap = next((snap for snap in image.snapshots if snap.spec == source), None) if image is not None else None
        if image is None or (source.snapshot and snap is None):
            raise NotFound(f"volume {spec.name!r}: its source {str(source)!r} does not exist in the cluster")
        inherited = {key: image.facts[key] for key in ("encryption", "key", "header") if image.facts.get(key)}
        if spec.encrypted and not inherited:
            raise InvalidRequest(f"volume {spec.name!r}: its source {str(source)!r} is not encrypted: a copy cannot be")
        if spec.encryption_key and spec.encryption_key != inherited.get("key", ""):
            raise InvalidRequest(f"volume {spec.name!r}: it has the key of its source {str(source)!r}, not another one")
        header = int(inherited.get("header", "0"))
        least = (snap.size_bytes if snap is not None else image.size_bytes) - header
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
        )

    def _make(self, plan: Plan) -> None:
        self._build(plan)
        faults.point("rbd-create-built")
        if plan.iops:
            set_limit(self._cluster, plan.hidden, "iops", plan.iops)
        facts.put(self._cluster, plan.hidden, plan.facts)
        faults.point("rbd-create-described")
        action = f"make volume {str(plan.spec)!r}"
        ended = self._cluster.attempt("rbd", "rename", str(plan.hidden), str(plan.spec), action=action)
        faults.point("rbd-create-renamed")
        if ended.status != 0 and number(ended) == errno.EEXIST:
            self._remove_image(plan.hidden)
            raise AlreadyExists(f"volume {str(plan.spec)!r} was made by somebody else meanwhile: ask again")
        if ended.status != 0:
            raise refusal(ended, action)

    def _build(self, plan: Plan) -> None:
        """The image under its hidden name; what an earlier attempt left there is removed first."""
        for last in (False, True):
            ended = self._cluster.attempt("rbd", *self._build_words(plan), action=f"make volume {str(plan.spec)!r}")
            if ended.status == 0:
                break
            if last or number(ended) != errno.EEXIST:
                raise refusal(ended, f"make volume {str(plan.spec)!r}")
            self._remove_image(plan.hidden)
        faults.point("rbd-create-made")
        if plan.source_image is not None and plan.size_bytes > plan.source_image.size_bytes:
            words = ("resize", "--no-progress", "--size", f"{plan.size_bytes // MIB}M", str(plan.hidden))
            self._cluster.run("rbd", *words, action=f"grow volume {str(plan.spec)!r}")
        if plan.source is None and plan.facts.get("encryption"):
            key = passphrases.find(self._settings, plan.facts.get("key", ""))
            words = ("encryption", "format", str(plan.hidden), plan.facts["encryption"], str(key))
            self._cluster.run("rbd", *words, action=f"encrypt volume {str(plan.spec)!r}", seconds=120)

    def _build_words(self, plan: Plan) -> list[str]:
        features = [word for name in self._settings.image_features for word in ("--image-feature", name)]
        if plan.source is None:
            return ["create", "--size", f"{plan.size_bytes // MIB}M", *features, str(plan.hidden)]
        source = plan.source if plan.source.snapshot else self._hidden_snapshot(plan)
        return ["clone", "--rbd-default-clone-format", "2", *features, str(source), str(plan.hidden)]

    def _hidden_snapshot(self, plan: Plan) -> Spec:
        """A snapshot of the source volume as it is now; one that an earlier attempt left is older and is not used."""
        assert plan.source is not None
        snapshot = plan.source.at(hidden_name(str(plan.spec)))
        self._drop_snapshot(snapshot)
        words = ("snap", "create", "--no-progress", str(snapshot))
        self._cluster.run("rbd", *words, action=f"take what volume {str(plan.source)!r} has")
        faults.point("rbd-clone-snapped")
        return snapshot

    def _drop_hidden_snapshot(self, plan: Plan) -> None:
        if plan.source is not None and not plan.source.snapshot:
            self._drop_snapshot(plan.source.at(hidden_name(str(plan.spec))))

    def _drop_snapshot(self, snapshot: Spec) -> None:
        """Remove a snapshot; a missing one is success. With clones of it, it goes with the last of them."""
        action = f"remove snapshot {snapshot}"
        ended = self._cluster.attempt("rbd", "snap", "rm", "--no-progress", str(snapshot), action=action)
        if ended.status != 0 and "failed to remove snapshot: (2)" not in ended.stderr:
            raise refusal(ended, action)

    def _remove_image(self, spec: Spec) -> None:
        """Remove an image; a missing one is success. One with clones is kept in the trash as long as they need it."""
        words = ("--rbd-move-parent-to-trash-on-remove=true", "rm", "--no-progress", str(spec))
        action = f"remove volume {str(spec)!r}"
        try:
            self._cluster.run("rbd", *words, action=action, seconds=self._settings.work_timeout)
        except NoImage:
            return

    @property
    def _pool_names(self) -> set[str]:
        if self._pools:
            return {pool.name for pool in self._pools}
        return set(self._cluster.run("rados", "lspools", action="list the pools").split())
