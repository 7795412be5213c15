"""The settings of the platform loop."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from rexray.errors import InvalidRequest, SettingsError
from rexray.names import check_name
from rexray.paths import find_paths
from rexray.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """Settings under ``loop``."""

    root: str = setting("", key="loop.root", help="The directory of the volumes; /var/lib/rexray/loop if empty")
    instance_id: str = setting("", key="loop.instanceID", help="This host's instance id; its host name if empty")
    zone: str = setting("", key="loop.zone", help="The zone of this host and of the volumes made here")
    max_volumes: int = setting(
        0, key="loop.maxVolumes", help="How many volumes may be attached to this host at once; any number if 0"
    )
    key_directory: str = setting(
        "", key="loop.keyDirectory", help="The keys of encrypted volumes, a file each; ROOT/keys if empty"
    )

    def check(self) -> None:
        """Refuse what cannot be honoured."""
        if self.max_volumes < 0:
            raise SettingsError(f"$LOOP_MAXVOLUMES: {self.max_volumes} is negative")
        try:
            check_name(self.instance, "instance id")
            if self.zone:
                check_name(self.zone, "zone")
        except InvalidRequest as error:
            raise SettingsError(f"$LOOP_INSTANCEID, $LOOP_ZONE: {error}") from None

    @property
    def instance(self) -> str:
        """This host's instance id."""
        return self.instance_id or socket.gethostname()

    @property
    def directory(self) -> Path:
        """The directory of the volumes, absolute and without symbolic links, as the kernel shows it."""
        return (Path(self.root).expanduser() if self.root else find_paths().lib / "loop").resolve()

    @property
    def keys(self) -> Path:
        """The directory of the keys."""
        return Path(self.key_directory).expanduser().absolute() if self.key_directory else self.directory / "keys"
