"""What this distribution registers."""

from __future__ import annotations

from collections.abc import Sequence

from rexray import hookimpl
from rexray.drivers import NodeDriver, StorageDriver


@hookimpl
def rexray_storage_drivers() -> Sequence[type[StorageDriver]]:
    """The storage driver ``scaleio``."""
    from rexray_driver_scaleio.storage import ScaleIoStorage

    return [ScaleIoStorage]


@hookimpl
def rexray_node_drivers() -> Sequence[type[NodeDriver]]:
    """The node driver ``scaleio``."""
    from rexray_driver_scaleio.node import ScaleIoNode

    return [ScaleIoNode]
