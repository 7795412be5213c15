"""What this distribution registers."""

from __future__ import annotations

from collections.abc import Sequence

from rexray import hookimpl
from rexray.csi.plugin import CSIPlugin


@hookimpl
def rexray_csi_plugins() -> Sequence[type[CSIPlugin]]:
    """The CSI plug-in ``csi-vfs``."""
    from rexray_driver_csi_vfs.driver import VFSPlugin

    return [VFSPlugin]
