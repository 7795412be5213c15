"""Writing REX-Ray's own facts into an image's metadata."""

from __future__ import annotations

from collections.abc import Mapping

from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.images import META, SNAPSHOT_META, write_facts
from rexray_driver_ceph.names import Spec


def put(cluster: Cluster, spec: Spec, facts: Mapping[str, str]) -> None:
    """Replace the facts of an image, or of its snapshot if the spec has one; they tell whose they are."""
    key = f"{SNAPSHOT_META}{spec.snapshot}" if spec.snapshot else META
    action = f"write what REX-Ray knows of {spec}"
    text = write_facts({"image": str(spec), **facts})
    cluster.run("rbd", "image-meta", "set", str(spec.whole), key, text, action=action)


def drop(cluster: Cluster, spec: Spec) -> None:
    """Forget the facts of a snapshot that is gone; those that cannot be, nobody reads."""
    words = ("image-meta", "remove", str(spec.whole), f"{SNAPSHOT_META}{spec.snapshot}")
    cluster.attempt("rbd", *words, action=f"forget what REX-Ray knows of {spec}")
