"""Chains of clones: a clone reads through its parents, and each of them makes that slower.

Facts: ceph-mgr's module rbd_support flattens in the background, ``ceph rbd task add flatten`` (Ceph 14); ceph-csi
starts that at a depth of 4 and has 8 at most.
"""

from __future__ import annotations

import logging

from rexray.errors import RexrayError, Unavailable
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.images import Image
from rexray_driver_ceph.names import Spec

log = logging.getLogger(__name__)


def depth(image: Image) -> int:
    """How many images it reads through, some of which may be in the trash; 0 once it was flattened."""
    return int(image.facts.get("depth", "1")) if image.parent is not None else 0


def flatten_soon(cluster: Cluster, spec: Spec, *, seconds: float) -> None:
    """Have the cluster copy what the image reads through, in the background; a cluster without a manager does it now.

    An image that could not be flattened is as good as before: that is logged only.
    """
    action = f"flatten volume {str(spec)!r}"
    try:
        if not _add_task(cluster, spec, action):
            cluster.run("rbd", "flatten", "--no-progress", str(spec), action=action, seconds=seconds)
    except RexrayError as error:
        log.warning("volume %s stays a clone of a clone: %s", spec, error)


def stop(cluster: Cluster, spec: Spec) -> None:
    """Have the manager leave an image alone that is to be removed."""
    action = f"stop flattening {str(spec)!r}"
    for task in cluster.ask("ceph", "rbd", "task", "list", action=action):
        at = task["refs"]
        if (at["pool_name"], at["pool_namespace"], at["image_name"]) == (*_place(spec), spec.image):
            cluster.attempt("ceph", "rbd", "task", "cancel", task["id"], action=action)


def _place(spec: Spec) -> tuple[str, str]:
    return spec.pool.name, spec.pool.namespace


def _add_task(cluster: Cluster, spec: Spec, action: str) -> bool:
    """Whether the manager does it; without one the question stays unanswered."""
    try:
        return cluster.attempt("ceph", "rbd", "task", "add", "flatten", str(spec), action=action).status == 0
    except Unavailable:
        return False
