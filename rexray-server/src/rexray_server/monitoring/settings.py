"""The settings of metrics and traces."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from rexray.csi.settings import Endpoint, parse_endpoint
from rexray.errors import SettingsError
from rexray.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringSettings:
    """Settings under ``rexray.metrics`` and ``rexray.tracing``."""

    address: str = setting(
        "",
        key="rexray.metrics.address",
        help="Where /metrics, /healthz and /readyz are served, such as 127.0.0.1:9797 or unix:///PATH; off if empty",
    )
    inventory_interval: float = setting(
        300.0,
        key="rexray.metrics.inventoryInterval",
        duration=True,
        help="A scrape lists a service's volumes anew if that was longer ago; 0 never lists them",
    )
    tracing_endpoint: str = setting(
        "",
        key="rexray.tracing.endpoint",
        env=("REXRAY_TRACING_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        help="The OpenTelemetry collector to send traces to by OTLP over HTTP, such as http://127.0.0.1:4318",
    )

    def __post_init__(self) -> None:
        if self.address:
            try:
                self.endpoint()
            except SettingsError as error:
                raise SettingsError(f"the setting rexray.metrics.address ($REXRAY_METRICS_ADDRESS): {error}") from None
        if self.inventory_interval < 0:
            raise SettingsError(
                "the setting rexray.metrics.inventoryInterval ($REXRAY_METRICS_INVENTORYINTERVAL) is negative: "
                "write a duration, or 0 for no listings"
            )
        if self.tracing_endpoint:
            _check_url(self.tracing_endpoint)

    def endpoint(self) -> Endpoint:
        """Where to listen; a bare ``HOST:PORT`` is TCP here, where the original's addresses are. ``SettingsError``."""
        bare = "://" not in self.address and not self.address.startswith(("/", "./", "unix:"))
        return parse_endpoint(f"tcp://{self.address}" if bare else self.address)


def is_private(endpoint: Endpoint) -> bool:
    """Whether only this host can reach the endpoint."""
    if endpoint.path is not None or endpoint.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(endpoint.host).is_loopback
    except ValueError:
        return False


def _check_url(url: str) -> None:
    """Refuse what is no address of a collector; the message does not repeat it, for it may have a password in it."""
    where = "the setting rexray.tracing.endpoint ($REXRAY_TRACING_ENDPOINT, $OTEL_EXPORTER_OTLP_ENDPOINT)"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"{where} is no URL of a collector: write http://HOST:4318")
    if parts.username is not None or parts.password is not None:
        raise SettingsError(f"{where} has credentials in it: give them by $OTEL_EXPORTER_OTLP_HEADERS")
