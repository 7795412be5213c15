"""What this distribution registers."""

from __future__ import annotations

from collections.abc import Sequence

from rexray import hookimpl
from rexray.drivers import NodeDriver, StorageDriver


@hookimpl
def rexray_storage_drivers() -> Sequence[type[StorageDriver]]:
    """The storage driver ``rbd``."""
    from rexray_driver_ceph.storage import RbdStorage

    return [RbdStorage]


@hookimpl
def rexray_node_drivers() -> Sequence[type[NodeDriver]]:
    """The node driver ``rbd``."""
    from rexray_driver_ceph.node import RbdNode

    return [RbdNode]
