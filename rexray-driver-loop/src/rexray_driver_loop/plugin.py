"""What this distribution registers."""

from __future__ import annotations

from collections.abc import Sequence

from rexray import hookimpl
from rexray.drivers import NodeDriver, StorageDriver


@hookimpl
def rexray_storage_drivers() -> Sequence[type[StorageDriver]]:
    """The storage driver ``loop``."""
    from rexray_driver_loop.storage import LoopStorage

    return [LoopStorage]


@hookimpl
def rexray_node_drivers() -> Sequence[type[NodeDriver]]:
    """The node driver ``loop``."""
    from rexray_driver_loop.node import LoopNode

    return [LoopNode]
