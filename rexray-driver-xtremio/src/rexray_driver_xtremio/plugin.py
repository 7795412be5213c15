"""What this distribution registers."""

from __future__ import annotations

from collections.abc import Sequence

from rexray import hookimpl
from rexray.drivers import NodeDriver, StorageDriver


@hookimpl
def rexray_storage_drivers() -> Sequence[type[StorageDriver]]:
    """The storage driver ``xtremio``."""
    from rexray_driver_xtremio.storage import XtremIoStorage

    return [XtremIoStorage]


@hookimpl
def rexray_node_drivers() -> Sequence[type[NodeDriver]]:
    """The node driver ``xtremio``."""
    from rexray_driver_xtremio.node import XtremIoNode

    return [XtremIoNode]
