"""The drivers that a command works with: those that the settings name, else the ones that can work here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rexray import catalog, plugin_results, services
from rexray.cli.app import App
from rexray.core_settings import CoreSettings
from rexray.drivers import Driver, OSDriver, VolumeDriver
from rexray.errors import InvalidRequest, NotInstalled, PluginError, SettingsError
from rexray.registry import registry
from rexray.settings import Effective

D = TypeVar("D", bound=Driver)

DEFAULT_VOLUMES = "docker"
"""The volume driver that composes storage drivers."""


def volume_driver(app: App) -> VolumeDriver:
    """The volume driver of this run.

    The settings name it; else it is the one for the storage drivers that the settings name, or configure or name as
    services; else the one for the CSI service that is there or that the settings name; else the one for the storage
    drivers that are installed; else the first installed one that can work here.
    """
    _refuse_host(app)
    service = _given(app, "service")
    name = _named(app, "volume_drivers")
    if not name and (service or _given(app, "storage_drivers") or services.configured(app.sources)):
        name = DEFAULT_VOLUMES
    if not name and not _has_service(app) and any(catalog.entries("storage")):
        name = DEFAULT_VOLUMES
    driver = _choose("volume", name, registry().volume_driver, "rexray-core[csi]")
    if service and driver.name != DEFAULT_VOLUMES:
        raise InvalidRequest(
            f"{service.where}: volume driver {driver.name!r} has no storage services: leave it out, "
            f"or use the volume driver {DEFAULT_VOLUMES!r}"
        )
    return driver.make(app.sources)


def _has_service(app: App) -> bool:
    """Whether a CSI service is to be talked to: one that is named, or one whose socket is where it would be."""
    from rexray.csi.settings import CSISettings

    settings = app.load(CSISettings)
    return bool(settings.endpoint) or Path(settings.endpoint_or_default(app.paths)).exists()


def os_driver(app: App) -> OSDriver:
    """The OS driver of this run; which storage service is used makes no difference to it."""
    _refuse_host(app)
    driver = _choose("os", _named(app, "os_drivers"), registry().os_driver, "rexray-os-linux")
    return driver.make(app.sources)


def _effective(app: App, field: str) -> Effective:
    return next(found for found in app.sources.effective(CoreSettings) if found.option.name == field)


def _given(app: App, field: str) -> Effective | None:
    """What holds for a setting of the core, if somebody set it to something."""
    found = _effective(app, field)
    return found if found.value and app.sources.given(found.option) else None


def _named(app: App, field: str) -> str:
    """The driver that a setting of the core names, nothing if none; ``SettingsError`` if it names several."""
    found = _effective(app, field)
    names = tuple(found.value) if isinstance(found.value, tuple) else ()
    if len(names) > 1:
        raise SettingsError(f"{found.where}: several drivers are named, {', '.join(names)}: choose one")
    return names[0] if names else ""


def _choose(kind: str, name: str, load: Callable[[str], type[D]], distribution: str) -> type[D]:
    """The named driver, or the first installed one that can work here."""
    if name:
        return load(name)
    reasons = []
    for entry in catalog.entries(kind):
        try:
            driver = load(entry.name)
            if driver.name != entry.name:
                continue  # an alias
            viability = plugin_results.viability(driver.viable)
        except PluginError as error:  # a broken one is told where it is named, and disturbs no other
            reasons.append(f"{entry.name}: {error}")
            continue
        if viability.ok:
            return driver
        reasons.append(f"{entry.name}: {viability.reason}")
    if reasons:
        raise NotInstalled(f"no installed {kind} driver can work here: {'; '.join(reasons)}")
    raise NotInstalled(f"no {kind} driver is installed: pip install {distribution}")


def _refuse_host(app: App) -> None:
    """A service address is honoured or refused, never ignored."""
    found = _given(app, "host")
    if found:
        raise InvalidRequest(
            f"{found.where}: this version talks to no REST service and cannot use a service address: leave it out"
        )
