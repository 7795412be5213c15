"""What the core registers for CSI; it needs the extra ``csi``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rexray.errors import NotInstalled
from rexray.hookspecs import hookimpl

if TYPE_CHECKING:
    from rexray.csi.plugin import CSIPlugin
    from rexray.drivers import VolumeDriver

_LACKING = "{} needs grpcio and protobuf: pip install 'rexray-core[csi]'"


@hookimpl
def rexray_volume_drivers() -> Sequence[type[VolumeDriver]]:
    """The volume driver ``csi``."""
    try:
        from rexray.csi.volumes import CSIVolumes
    except ModuleNotFoundError as error:
        raise NotInstalled(_LACKING.format("volume driver 'csi'")) from error
    return [CSIVolumes]


@hookimpl
def rexray_csi_plugins() -> Sequence[type[CSIPlugin]]:
    """The bridge from CSI to storage drivers, which is called ``libstorage``."""
    try:
        from rexray.csi.bridge.plugin import Bridge
    except ModuleNotFoundError as error:
        raise NotInstalled(_LACKING.format("CSI plug-in 'libstorage'")) from error
    return [Bridge]
