"""The storage driver."""

from __future__ import annotations

from collections.abc import Mapping

from rexray.drivers import StorageDriver
from rexray.mixins import Clone, Encrypted, HasPolicy
from rexray.settings import Sources
from rexray.testing.memory.attaching import AttachCalls
from rexray.testing.memory.base import PROVIDER
from rexray.testing.memory.changing import ChangeCalls
from rexray.testing.memory.listing import ListCalls
from rexray.testing.memory.making import MakingCalls
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.snapping import GroupCalls
from rexray.volumes.settings import VolumeSettings


class MemoryStorage(
    ListCalls, MakingCalls, AttachCalls, GroupCalls, ChangeCalls, Clone, Encrypted, HasPolicy, StorageDriver
):
    """Volumes in memory, with every capability that there is."""

    name = PROVIDER
    settings = MemorySettings

    @classmethod
    def policy(cls, sources: Sources) -> Mapping[str, object]:
        """What the password has to be good for, in a form of the platform's own."""
        limits = sources.load(VolumeSettings)
        may = {"create": not limits.create_disable, "remove": not limits.remove_disable, "attach": True}
        return {"allow": [verb for verb, wanted in may.items() if wanted]}
