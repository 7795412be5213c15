"""Making images.

An image is made under a hidden name, described as REX-Ray's, and then renamed, which the cluster does at once or not at
all: a volume of a name is there with all that belongs to it, or not, and a create that was killed is said again. Every
attempt has a hidden name of its own: who is killed leaves it behind, and whoever is late finds the volume made, so that
nobody renames what another has not finished. What attempts left is removed as soon as the volume is there.

Facts: rbd(8). Sizes are given in MiB. A clone of format 2 needs no protected snapshot. ``rbd encryption format`` (Ceph
16) writes the header into the image: the bytes that its user has are those after it. A rename makes the object
``rbd_id.NAME`` first: one that was cut short there leaves an image that two names lead to, and one is listed.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from rexray import faults
from rexray.errors import AlreadyExists, RexrayError
from rexray_driver_ceph import facts, passphrases
from rexray_driver_ceph.images import HIDDEN, Image
from rexray_driver_ceph.limits import drop_limits, set_limit
from rexray_driver_ceph.names import Spec
from rexray_driver_ceph.removing import RemoveCalls
from rexray_driver_ceph.sizes import MIB

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An image that is to be made: where, how large (with its header), of what, and what is to be known of it."""

    spec: Spec
    size_bytes: int
    facts: dict[str, str]
    iops: int = 0
    source: Spec | None = None
    source_image: Image | None = None
    source_bytes: int = 0
    attempt: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def hidden(self) -> Spec:
        """The image while it is not finished."""
        return replace(self.spec, image=hidden_prefix(self.spec) + self.attempt)

    @property
    def hidden_snapshot(self) -> Spec | None:
        """What it is cloned of, where that is a volume."""
        if self.source is None or self.source.snapshot:
            return None
        return self.source.at(hidden_prefix(self.spec) + self.attempt)


def hidden_prefix(spec: Spec) -> str:
    """How the hidden names on the way to an image begin."""
    return f"{HIDDEN}{hashlib.sha256(str(spec).encode()).hexdigest()[:32]}-"


class BuildCalls(RemoveCalls):
    """The steps of ``create``."""

    def _make(self, plan: Plan) -> None:
        try:
            self._build(plan)
            faults.point("rbd-create-built")
            if plan.source_image is not None:
                drop_limits(self._cluster, plan.hidden, plan.source_image)
            if plan.iops:
                set_limit(self._cluster, plan.hidden, "iops", plan.iops)
            facts.put(self._cluster, plan.hidden, plan.facts)
        except RexrayError:
            _try_to(self._remove_image, plan.hidden)
            raise
        faults.point("rbd-create-described")
        words = ("rename", str(plan.hidden), str(plan.spec))
        try:
            self._cluster.run("rbd", *words, action=f"make volume {str(plan.spec)!r}")
        except AlreadyExists:  # of any other error nobody knows how far the rename came, or will: what it left is swept
            _try_to(self._give_up, plan)
            raise
        faults.point("rbd-create-renamed")

    def _give_up(self, plan: Plan) -> None:
        """Remove an image that another one has the name of, unless both names lead to it already."""
        mine, named = self._reader.image(plan.hidden), self._reader.image(plan.spec)
        if mine is not None and named is not None and mine.id == named.id:
            self._reader.finish_rename(plan.hidden, plan.spec, mine.id)
        elif mine is not None:
            self._remove_image(plan.hidden)

    def _build(self, plan: Plan) -> None:
        action = f"make volume {str(plan.spec)!r}"
        self._cluster.run("rbd", *self._build_words(plan), action=action)
        faults.point("rbd-create-made")
        if plan.source is not None and plan.size_bytes > plan.source_bytes:
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
        snapshot = plan.hidden_snapshot
        if snapshot is not None:
            words = ("snap", "create", "--no-progress", str(snapshot))
            self._cluster.run("rbd", *words, action=f"take what volume {str(plan.source)!r} has")
            faults.point("rbd-clone-snapped")
        source = str(snapshot or plan.source)
        return ["clone", "--rbd-default-clone-format", "2", *features, source, str(plan.hidden)]

    def _tidy_up(self, plan: Plan) -> None:
        """Remove the snapshot that only this attempt needed."""
        snapshot = plan.hidden_snapshot
        if snapshot is not None:
            _try_to(self._drop_snapshot, snapshot)

    def _sweep(self, image: Image, hidden: Mapping[Spec, str], source: Image | None) -> None:
        """Remove what other attempts to make the image have left, killed or late; it is there and needs none of it.

        Its own name is never touched: what has its id may be renamed by somebody right now.
        """
        for spec, image_id in hidden.items():
            if image_id == image.id:
                _try_to(self._reader.finish_rename, spec, image.spec, image_id)
            else:
                _try_to(self._remove_image, spec)
        for snap in source.snapshots if source is not None else ():
            if snap.spec.snapshot.startswith(hidden_prefix(image.spec)):
                _try_to(self._drop_snapshot, snap.spec)


def _try_to(step: Callable[..., object], *what: object) -> None:
    """Tidy up where that is no part of what was asked for: what stays behind goes with the next call."""
    try:
        step(*what)
    except RexrayError as error:
        log.warning("what is of no more use stays: %s", error)
