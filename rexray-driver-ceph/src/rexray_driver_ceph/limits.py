"""Limits on an image's traffic, which librbd honours: rbd-nbd and the export in user space, but not krbd.

Facts: ``rbd config image``; the options ``rbd_qos_iops_limit`` and ``rbd_qos_bps_limit``, 0 for no limit.
"""

from __future__ import annotations

from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.images import Image
from rexray_driver_ceph.names import Spec

LIMITS = {"iops": "rbd_qos_iops_limit", "bandwidth": "rbd_qos_bps_limit"}
"""What a volume can be given: operations a second, and bytes a second."""


def key_of(name: str) -> str:
    """The key of an image's metadata under which ``rbd config image`` keeps one of :data:`LIMITS`."""
    return f"conf_{LIMITS[name]}"


def drop_limits(cluster: Cluster, spec: Spec, source: Image) -> None:
    """Take away what a clone has of its source's: Ceph copies that with the rest of the metadata."""
    for name, option in LIMITS.items():
        if key_of(name) in source.metadata:
            words = ("config", "image", "remove", str(spec), option)
            cluster.run("rbd", *words, action=f"take the limit of {name} from volume {str(spec)!r}")


def set_limit(cluster: Cluster, spec: Spec, name: str, value: int) -> None:
    """Set one of :data:`LIMITS`; 0 takes it away."""
    words = ("config", "image", "set", str(spec), LIMITS[name], str(value))
    cluster.run("rbd", *words, action=f"limit the {name} of volume {str(spec)!r}")
