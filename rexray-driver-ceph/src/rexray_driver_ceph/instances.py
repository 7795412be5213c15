"""The hosts that have used a cluster: keys of one object in the default pool."""

from __future__ import annotations

from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.reading import INSTANCES


def register(cluster: Cluster, instance: str) -> None:
    """Make a host known, so that volumes can be attached to it; known already is as good."""
    pool = cluster.default_pool
    words = ("--pool", pool.name, "--namespace", pool.namespace, "setomapval", INSTANCES, instance, "")
    cluster.run("rados", *words, action=f"make the host {instance!r} known to the cluster")
