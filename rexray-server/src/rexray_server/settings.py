"""The settings of the daemon, by the names that the original and gocsi gave them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from rexray.errors import SettingsError
from rexray.settings import setting
from rexray.settings_unknown import refuse_variables

BRIDGE = "libstorage"
"""The CSI plug-in that bridges to storage drivers."""
NATIVE_DEFAULT = "csi-vfs"
"""The native CSI plug-in that is served when native mode is on and none is named."""

_ETCD = "X_CSI_SERIAL_VOL_ACCESS_ETCD_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Settings under ``csi``."""

    driver: str = setting(
        BRIDGE,
        key="csi.driver",
        env="X_CSI_DRIVER",
        help=f"The name of the CSI plug-in to serve; {NATIVE_DEFAULT} in native mode",
    )
    native: bool = setting(
        False,
        key="csi.native",
        env="X_CSI_NATIVE",
        help="Disables the bridge to storage drivers: only a native CSI plug-in is served",
    )
    no_docker: bool = setting(
        False, key="csi.nodocker", env="X_CSI_NO_DOCKER", flags=("--csiNoDocker",), help="Serves CSI alone"
    )
    mode: str = setting(
        "",
        key="csi.mode",
        env="X_CSI_MODE",
        choices=("", "controller", "node"),
        help="Serves only the controller or only the node part of CSI; both if empty",
    )
    perms: int = setting(
        0,
        key="csi.endpointPerms",
        env="X_CSI_ENDPOINT_PERMS",
        octal=True,
        help="The mode of the socket file; if 0, 0600, or 0660 when a group is set",
    )
    user: str = setting("", key="csi.endpointUser", env="X_CSI_ENDPOINT_USER", help="The socket file's owner")
    group: str = setting("", key="csi.endpointGroup", env="X_CSI_ENDPOINT_GROUP", help="The socket file's group")
    spec_validation: bool = setting(
        True,
        key="csi.specValidation",
        env="X_CSI_SPEC_VALIDATION",
        help="Checks requests against the CSI specification before the plug-in sees them",
    )
    serial: bool = setting(
        True,
        key="csi.serialVolAccess",
        env="X_CSI_SERIAL_VOL_ACCESS",
        help="Lets one call at a time work on a volume",
    )
    serial_timeout: float = setting(
        3.0,
        key="csi.serialVolAccessTimeout",
        env="X_CSI_SERIAL_VOL_ACCESS_TIMEOUT",
        duration=True,
        help="How long a call waits for another one on the same volume",
    )
    plugin_info: str = setting(
        "",
        key="csi.pluginInfo",
        env="X_CSI_PLUGIN_INFO",
        help="Replaces what the plug-in says of itself: NAME,VERSION[,KEY=VALUE...]",
    )

    start_timeout: float = setting(
        10.0,
        key="rexray.module.startTimeout",
        duration=True,
        help="How long a module's start may take before the service goes on without waiting for it",
    )

    @property
    def plugin(self) -> str:
        """The CSI plug-in to serve: in native mode the bridge's name means the default native plug-in."""
        return NATIVE_DEFAULT if self.native and self.driver == BRIDGE else self.driver

    @property
    def socket_mode(self) -> int:
        """The mode of the socket file."""
        return self.perms or (0o660 if self.group else 0o600)


def refuse_unsupported(environ: Mapping[str, str] | None = None) -> None:
    """Refuse the original's and gocsi's variables that this version does not honour, rather than ignore them."""
    given = os.environ if environ is None else environ
    refuse_variables(given)
    found = sorted(name for name in given if name.startswith(_ETCD) and given[name])
    if found:
        raise SettingsError(f"${found[0]}: locks in etcd are not supported: unset it; locks are kept on this host")


def refuse_other_volume_drivers(names: tuple[str, ...], served: str) -> None:
    """Refuse to start for a volume driver that Docker would not get."""
    if set(names) - {served}:
        raise SettingsError(
            f"the setting rexray.volumeDrivers ($REXRAY_VOLUMEDRIVERS) names {', '.join(names)}: "
            f"with this CSI plug-in the service serves Docker by {served!r} alone: name that or none"
        )
