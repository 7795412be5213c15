"""A ScaleIO array and this host with an SDC, as a user meets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway_parts import Gateway
from gateway_switches import Switches
from sdc_parts import SdcHost


@dataclass(frozen=True, kw_only=True)
class Array:
    """A simulated gateway, and this host, which gets loop devices for the volumes that are mapped to it."""

    gateway: Gateway
    host: SdcHost

    @property
    def environ(self) -> dict[str, str]:
        """The environment as the seed prints it, and where this host's drv_cfg is."""
        return {
            "REXRAY_STORAGEDRIVERS": "scaleio",
            "GOSCALEIO_ENDPOINT": self.gateway.url,
            "GOSCALEIO_INSECURE": "true",
            "GOSCALEIO_USERNAME": self.gateway.username,
            "GOSCALEIO_PASSWORD": self.gateway.password,
            "GOSCALEIO_SYSTEMID": self.gateway.system_id,
            "GOSCALEIO_PROTECTIONDOMAINID": self.gateway.domain_id,
            "GOSCALEIO_STORAGEPOOLID": self.gateway.pool_id,
            "SCALEIO_DRVCFG": str(self.host.drv_cfg),
        }


@contextmanager
def scaleio_array(folder: Path, switches: Switches | None = None) -> Iterator[Array]:
    """An array with 1 TiB and one host; no volume is ever taken from under a mount."""
    with Gateway(switches=switches) as gateway, SdcHost(gateway, folder / "sdc", delay=0.05) as host:
        yield Array(gateway=gateway, host=host)
        assert host.unmapped_in_use == []
