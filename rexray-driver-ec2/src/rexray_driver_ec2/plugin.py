"""What this distribution registers."""

from __future__ import annotations

from collections.abc import Sequence

from rexray import hookimpl
from rexray.drivers import NodeDriver, StorageDriver


@hookimpl
def rexray_storage_drivers() -> Sequence[type[StorageDriver]]:
    """The storage driver ``ec2``."""
    from rexray_driver_ec2.storage import Ec2Storage

    return [Ec2Storage]


@hookimpl
def rexray_node_drivers() -> Sequence[type[NodeDriver]]:
    """The node driver ``ec2``."""
    from rexray_driver_ec2.node import Ec2Node

    return [Ec2Node]
