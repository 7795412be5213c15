"""A plug-in for tests: the platform ``acme``, also called ``anvil``, which is the one in memory under other names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rexray import hookimpl
from rexray.drivers import NodeDriver, OSDriver, StorageDriver
from rexray.settings import setting
from rexray.testing.memory.node import MemoryNode
from rexray.testing.memory.os import MemoryOS
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeSettings(MemorySettings):
    """Settings of the platform."""

    key: str = setting("", key="acme.key", older=("anvil.key",), help="The key")


class AcmeStorage(MemoryStorage):
    """The storage driver."""

    name = "acme"
    aliases = ("anvil",)
    settings = AcmeSettings


class AcmeNode(MemoryNode):
    """A host that the platform knows."""

    name = "acme"
    aliases = ("anvil",)
    settings = AcmeSettings


class AcmeOS(MemoryOS):
    """Its operating system."""

    name = "acme"
    settings = AcmeSettings


@hookimpl
def rexray_storage_drivers() -> Sequence[type[StorageDriver]]:
    return [AcmeStorage]


@hookimpl
def rexray_node_drivers() -> Sequence[type[NodeDriver]]:
    return [AcmeNode]


@hookimpl
def rexray_os_drivers() -> Sequence[type[OSDriver]]:
    return [AcmeOS]
