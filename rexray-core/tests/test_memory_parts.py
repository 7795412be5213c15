"""One host of the platform memory: its three drivers, and the steps that tests take with them."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rexray.testing.memory.node import MemoryNode
from rexray.testing.memory.os import MemoryOS
from rexray.testing.memory.platform import MemoryPlatform
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Attachment, Device, InstanceId, Volume, VolumeSpec

MIB = 1 << 20
HERE, THERE, ELSEWHERE = (InstanceId(f"host-{number}") for number in (1, 2, 3))
"""This host, another one of the same zone, and one of the other zone."""

_names = itertools.count()


def fresh_name() -> str:
    """The name of a platform that no other test uses."""
    return f"{os.getpid()}-{next(_names)}"


@dataclass(frozen=True)
class Host:
    """The drivers of one instance."""

    settings: MemorySettings

    @property
    def platform(self) -> MemoryPlatform:
        return self.storage.platform

    @property
    def storage(self) -> MemoryStorage:
        return MemoryStorage(self.settings)

    @property
    def node(self) -> MemoryNode:
        return MemoryNode(self.settings)

    @property
    def os(self) -> MemoryOS:
        return MemoryOS(self.settings)

    def create(self, name: str = "data", size_bytes: int = MIB, **wishes: Any) -> Volume:
        return self.storage.create(VolumeSpec(name=name, size_bytes=size_bytes, **wishes))

    def attach(self, volume: Volume, **wishes: Any) -> Attachment:
        return self.storage.attach(volume.id, InstanceId(self.settings.instance), **wishes)

    def connect(self, volume: Volume, **wishes: Any) -> Device:
        return self.node.connect(self.attach(volume, **wishes), deadline=5)

    def mount(self, volume: Volume, target: Path) -> Device:
        """The volume's device, with an ext4 that is mounted."""
        device = self.connect(volume)
        if not self.os.probe(device):
            self.os.format(device, "ext4")
        self.os.mount(device, target)
        return device


def run_script(script: str, words: Sequence[str], *, fault: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script of Python in a process that ends at a fault point, if one is named."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "MEMORY_"))}
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**environ, "PYTHONPATH": str(Path(__file__).parent), "REXRAY_FAULT": fault},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
