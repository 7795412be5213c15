"""What the core itself registers, by the door that every plug-in uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rexray.hookspecs import hookimpl

if TYPE_CHECKING:
    from rexray.drivers import VolumeDriver


@hookimpl
def rexray_volume_drivers() -> Sequence[type[VolumeDriver]]:
    """The default volume driver, which is called ``docker``."""
    from rexray.volumes.driver import DefaultVolumes

    return [DefaultVolumes]
