"""The settings of the platform xtremio.

The first names are the seed's ``GOXTREMIO_*`` and ``REXRAY_XTREMIO_*``; the keys without a dot are those of its
configuration files, the others those of the release after it.
"""

from __future__ import annotations

from dataclasses import dataclass

from rexray.errors import SettingsError
from rexray.settings import Secret, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class XtremIoSettings:
    """Settings under ``xtremio``."""

    endpoint: str = setting(
        "",
        key="xtremio.endpoint",
        older=("xtremIoEndpoint",),
        env=("GOXTREMIO_ENDPOINT", "XTREMIO_ENDPOINT"),
        help="The URL of the XMS, with or without /api/json at its end",
    )
    user_name: str = setting(
        "",
        key="xtremio.userName",
        older=("xtremIoUserName",),
        env=("GOXTREMIO_USERNAME", "XTREMIO_USERNAME"),
        help="The user of the XMS",
    )
    password: Secret = setting(
        Secret(""),
        key="xtremio.password",
        older=("xtremIoPassword",),
        env=("GOXTREMIO_PASSWORD", "XTREMIO_PASSWORD"),
        help="The password of that user",
    )
    insecure: bool = setting(
        False,
        key="xtremio.insecure",
        older=("xtremIoInsecure",),
        env=("GOXTREMIO_INSECURE", "XTREMIO_INSECURE"),
        help="Trust any certificate of the XMS",
    )
    ca_file: str = setting(
        "",
        key="xtremio.caFile",
        help="A file with the only authorities to trust for the certificate of the XMS; the system's if empty",
    )
    cluster: str = setting("", key="xtremio.cluster", help="The name of the cluster; needed where the XMS has several")
    device_mapper: bool = setting(
        False,
        key="xtremio.deviceMapper",
        older=("xtremIoDeviceMapper",),
        env=("REXRAY_XTREMIO_DM", "GOXTREMIO_DM", "XTREMIO_DEVICEMAPPER"),
        help="The device mapper claims the array's devices: a volume's is the one under /dev/mapper",
    )
    multipath: bool = setting(
        False,
        key="xtremio.multipath",
        older=("xtremIoMultipath",),
        env=("REXRAY_XTREMIO_MULTIPATH", "GOXTREMIO_MULTIPATH", "XTREMIO_MULTIPATH"),
        help="multipathd claims the array's devices: a volume's is the multipath one; wins over deviceMapper",
    )
    initiator: str = setting(
        "",
        key="xtremio.initiator",
        help="The name (IQN) of this host's initiator; that of /etc/iscsi/initiatorname.iscsi if empty",
    )
    initiator_group: str = setting(
        "",
        key="xtremio.initiatorGroup",
        help="The initiator group that is made for a host that has none; it is named as the initiator if empty",
    )
    chap_user: str = setting("", key="xtremio.chapUser", help="The user by which initiators log in, where CHAP is on")
    chap_password: Secret = setting(
        Secret(""), key="xtremio.chapPassword", help="The password of the user by which initiators log in"
    )
    portals: tuple[str, ...] = setting(
        (), key="xtremio.portals", help="The iSCSI portals (IP:PORT) that this host uses; all of the array's if empty"
    )
    max_volumes: int = setting(
        0, key="xtremio.maxVolumes", help="How many volumes may be attached to this host; any number if 0"
    )
    timeout: float = setting(
        60.0, key="xtremio.timeout", duration=True, help="How long the XMS may take to answer a request"
    )
    busy_timeout: float = setting(
        60.0, key="xtremio.busyTimeout", duration=True, help="How long to try again while the array says it is busy"
    )

    def check(self) -> None:
        """Refuse what cannot be honoured; ``SettingsError`` names the setting."""
        if bool(self.chap_user) != bool(self.chap_password):
            missing = "xtremio.chapPassword" if self.chap_user else "xtremio.chapUser"
            raise SettingsError(f"{missing} is missing: CHAP's user and password belong together")
        if self.max_volumes < 0:
            raise SettingsError(f"xtremio.maxVolumes: {self.max_volumes} is negative")
        for name, seconds in (("xtremio.timeout", self.timeout), ("xtremio.busyTimeout", self.busy_timeout)):
            if seconds <= 0:
                raise SettingsError(f"{name}: {seconds:g}s is no time at all")

    def check_xms(self) -> None:
        """Refuse settings by which no XMS can be asked; a host that only mounts needs none of them."""
        for name, value in (
            ("xtremio.endpoint ($GOXTREMIO_ENDPOINT)", self.endpoint),
            ("xtremio.userName ($GOXTREMIO_USERNAME)", self.user_name),
            ("xtremio.password ($GOXTREMIO_PASSWORD)", self.password),
        ):
            if not value:
                raise SettingsError(f"{name} is missing: the XMS needs it")
