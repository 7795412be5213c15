"""The settings of the platform memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rexray.errors import SettingsError
from rexray.settings import Secret, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """Settings under ``memory``; what the platform has is said by those of the first driver that uses it."""

    name: str = setting("default", key="memory.name", help="The platform of that name within this process")
    file: str = setting("", key="memory.file", help="The file that keeps the platform, for several processes to share")
    instance: str = setting("host-1", key="memory.instance", help="This host's instance id")
    instances: tuple[str, ...] = setting(
        ("host-1", "host-2", "host-3@zone-2"),
        key="memory.instances",
        help="The hosts that the platform knows, each ID or ID@ZONE; in the first zone if it says none",
    )
    zones: tuple[str, ...] = setting(("zone-1", "zone-2"), key="memory.zones", help="The zones of the platform")
    capacity: int = setting(1 << 40, key="memory.capacity", help="The room in each zone, in bytes")
    max_volumes: int = setting(
        32, key="memory.maxVolumes", help="How many volumes may be attached to a host; any number if 0"
    )
    page_size: int = setting(10, key="memory.pageSize", help="How many volumes or snapshots a page of a list has")
    password: Secret = setting(
        Secret(""), key="memory.password", help="The platform's password, which is asked for where it has one"
    )
    timeout: float = setting(
        10.0, key="memory.timeout", duration=True, help="How long the platform or the kernel may take to answer"
    )

    def check(self) -> None:
        """Refuse what cannot be honoured; ``SettingsError`` names the setting."""
        if not self.zones:
            raise SettingsError("memory.zones: there is none: name one at least")
        for word in self.instances:
            name, _, zone = word.partition("@")
            if not name or (zone and zone not in self.zones):
                raise SettingsError(f"memory.instances: {word!r} is not ID or ID@ZONE of {', '.join(self.zones)}")
        if not self.instance:
            raise SettingsError("memory.instance is empty: name this host as memory.instances does")
        for key, number in (("capacity", self.capacity), ("maxVolumes", self.max_volumes)):
            if number < 0:
                raise SettingsError(f"memory.{key}: {number} is negative")
        if self.page_size < 1:
            raise SettingsError(f"memory.pageSize: {self.page_size} is no page at all")
        if self.timeout <= 0:
            raise SettingsError(f"memory.timeout: {self.timeout:g}s is no time at all")

    def hosts(self) -> dict[str, str]:
        """The zone of each instance by its id."""
        parts = [word.partition("@") for word in self.instances]
        return {name: zone or self.zones[0] for name, _, zone in parts}

    @property
    def path(self) -> Path | None:
        """The file that keeps the platform, None where it is in this process alone."""
        return Path(self.file).expanduser().absolute() if self.file else None
