"""What the core itself registers, by the door that every plug-in uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rexray.errors import NotInstalled
from rexray.hookspecs import hookimpl

if TYPE_CHECKING:
    from rexray.drivers import VolumeDriver


@hookimpl
def rexray_volume_drivers() -> Sequence[type[VolumeDriver]]:
    """The volume driver ``csi``."""
    try:
        from rexray.csi.volumes import CSIVolumes
    except ModuleNotFoundError as error:
        raise NotInstalled("volume driver 'csi' needs grpcio and protobuf: pip install 'rexray-core[csi]'") from error
    return [CSIVolumes]
