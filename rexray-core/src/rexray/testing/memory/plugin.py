"""What an entry point named ``memory`` registers."""

from __future__ import annotations

from collections.abc import Sequence

from rexray import hookimpl
from rexray.drivers import NodeDriver, OSDriver, StorageDriver


@hookimpl
def rexray_storage_drivers() -> Sequence[type[StorageDriver]]:
    """The storage driver ``memory``."""
    from rexray.testing.memory.storage import MemoryStorage

    return [MemoryStorage]


@hookimpl
def rexray_node_drivers() -> Sequence[type[NodeDriver]]:
    """The node driver ``memory``."""
    from rexray.testing.memory.node import MemoryNode

    return [MemoryNode]


@hookimpl
def rexray_os_drivers() -> Sequence[type[OSDriver]]:
    """The OS driver ``memory``."""
    from rexray.testing.memory.os import MemoryOS

    return [MemoryOS]
