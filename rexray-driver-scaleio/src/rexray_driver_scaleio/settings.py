"""The settings of the platform scaleio.

The first names are the seed's ``GOSCALEIO_*``; ``SCALEIO_*`` and most keys are those of later releases of the
original, the keys without a dot those of its first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rexray.errors import SettingsError
from rexray.settings import Secret, setting

THIN, THICK = "ThinProvisioned", "ThickProvisioned"
DRV_CFG = "/opt/emc/scaleio/sdc/bin/drv_cfg"
_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleIoSettings:
    """Settings under ``scaleio``. An id wins over the name that says the same."""

    endpoint: str = setting(
        "",
        key="scaleio.endpoint",
        older=("scaleIoEndpoint",),
        env=("GOSCALEIO_ENDPOINT", "SCALEIO_ENDPOINT"),
        help="The gateway's URL, with or without /api at its end",
    )
    insecure: bool = setting(
        False,
        key="scaleio.insecure",
        older=("scaleIoInsecure",),
        env=("GOSCALEIO_INSECURE", "SCALEIO_INSECURE"),
        help="Trust any certificate of the gateway",
    )
    ca_file: str = setting(
        "",
        key="scaleio.caFile",
        help="A file with the only authorities to trust for the gateway's certificate; the system's if empty",
    )
    use_certs: bool = setting(
        True,
        key="scaleio.useCerts",
        older=("scaleIoUseCerts",),
        env=("GOSCALEIO_USECERTS", "SCALEIO_USECERTS"),
        help="Trust the system's authorities where no caFile is given",
    )
    user_name: str = setting(
        "",
        key="scaleio.userName",
        older=("scaleIoUserName",),
        env=("GOSCALEIO_USERNAME", "SCALEIO_USERNAME"),
        help="The gateway's user",
    )
    password: Secret = setting(
        Secret(""),
        key="scaleio.password",
        older=("scaleIoPassword",),
        env=("GOSCALEIO_PASSWORD", "SCALEIO_PASSWORD"),
        help="The password of that user",
    )
    system_id: str = setting(
        "",
        key="scaleio.systemID",
        older=("scaleIoSystemId",),
        env=("GOSCALEIO_SYSTEMID", "SCALEIO_SYSTEMID"),
        help="The system's id; needed where the gateway has several",
    )
    system_name: str = setting(
        "",
        key="scaleio.systemName",
        older=("scaleIoSystemName",),
        env=("GOSCALEIO_SYSTEMNAME", "SCALEIO_SYSTEMNAME"),
        help="The system's name, instead of its id",
    )
    protection_domain_id: str = setting(
        "",
        key="scaleio.protectionDomainID",
        older=("scaleIoProtectionDomainId",),
        env=("GOSCALEIO_PROTECTIONDOMAINID", "SCALEIO_PROTECTIONDOMAINID"),
        help="The id of the protection domain of new volumes; needed where there are several",
    )
    protection_domain_name: str = setting(
        "",
        key="scaleio.protectionDomainName",
        older=("scaleIoProtectionDomainName",),
        env=("GOSCALEIO_PROTECTIONDOMAIN", "SCALEIO_PROTECTIONDOMAINNAME"),
        help="The protection domain's name, instead of its id",
    )
    storage_pool_id: str = setting(
        "",
        key="scaleio.storagePoolID",
        older=("scaleIoStoragePoolId",),
        env=("GOSCALEIO_STORAGEPOOLID", "SCALEIO_STORAGEPOOLID"),
        help="The id of the storage pool of new volumes that name none as their type; needed where there are several",
    )
    storage_pool_name: str = setting(
        "",
        key="scaleio.storagePoolName",
        older=("scaleIoStoragePoolName",),
        env=("GOSCALEIO_STORAGEPOOL", "SCALEIO_STORAGEPOOLNAME"),
        help="The storage pool's name, instead of its id",
    )
    thin_or_thick: str = setting(
        THIN,
        key="scaleio.thinOrThick",
        choices=(THIN, THICK),
        help="Whether new volumes take their room when they are made or when they are written to",
    )
    version: str = setting(
        "",
        key="scaleio.version",
        older=("scaleio.apiVersion",),
        help="The version of the gateway's API, such as 3.5; the gateway is asked if empty",
    )
    guid: str = setting("", key="scaleio.guid", help="The GUID of this host's SDC; drv_cfg is asked if empty")
    drv_cfg: str = setting(DRV_CFG, key="scaleio.drvCfg", help="The SDC's program drv_cfg")
    max_volumes: int = setting(
        0, key="scaleio.maxVolumes", help="How many volumes may be attached to this host; any number if 0"
    )
    iops_limit: int = setting(
        0, key="scaleio.iopsLimit", help="The IOPS that a host gets of each volume that is attached; any number if 0"
    )
    bandwidth_limit: int = setting(
        0,
        key="scaleio.bandwidthLimit",
        help="The bandwidth in MiB/s that a host gets of each volume that is attached; any if 0",
    )
    timeout: float = setting(
        60.0, key="scaleio.timeout", duration=True, help="How long the gateway may take to answer a request"
    )
    remove_timeout: float = setting(
        120.0,
        key="scaleio.removeTimeout",
        duration=True,
        help="How long to wait for a volume whose removal is already under way",
    )

    def check(self) -> None:
        """Refuse what cannot be honoured; ``SettingsError`` names the setting."""
        if self.guid and not _GUID.fullmatch(self.guid):
            raise SettingsError(f"scaleio.guid: {self.guid!r} is no GUID such as F1E7B4A2-6AF7-4DB2-B6D5-5C5D7E0A2B11")
        for name, number in (
            ("scaleio.maxVolumes", self.max_volumes),
            ("scaleio.iopsLimit", self.iops_limit),
            ("scaleio.bandwidthLimit", self.bandwidth_limit),
        ):
            if number < 0:
                raise SettingsError(f"{name}: {number} is negative")
        for name, seconds in (("scaleio.timeout", self.timeout), ("scaleio.removeTimeout", self.remove_timeout)):
            if seconds <= 0:
                raise SettingsError(f"{name}: {seconds:g}s is no time at all")
        if self.version and not re.fullmatch(r"[0-9]+\.[0-9]+(\.[0-9]+)*", self.version):
            raise SettingsError(f"scaleio.version: {self.version!r} is no version such as 3.5")

    def check_gateway(self) -> None:
        """Refuse settings by which no gateway can be asked; a host that only mounts needs none of them."""
        for name, value in (
            ("scaleio.endpoint ($GOSCALEIO_ENDPOINT)", self.endpoint),
            ("scaleio.userName ($GOSCALEIO_USERNAME)", self.user_name),
            ("scaleio.password ($GOSCALEIO_PASSWORD)", self.password),
        ):
            if not value:
                raise SettingsError(f"{name} is missing: the gateway needs it")
        if ":" in self.user_name:
            raise SettingsError(
                "scaleio.userName ($GOSCALEIO_USERNAME) has a colon, which HTTP's Basic scheme cannot have"
            )
        if not (self.use_certs or self.ca_file or self.insecure):
            raise SettingsError("scaleio.useCerts is false: give scaleio.caFile, or trust any by scaleio.insecure")
