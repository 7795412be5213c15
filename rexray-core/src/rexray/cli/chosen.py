"""The drivers that a command works with: those that the settings name, else the ones that can work here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rexray import catalog
from rexray.cli.app import App
from rexray.core_settings import CoreSettings
from rexray.drivers import Driver, OSDriver, VolumeDriver
from rexray.errors import InvalidRequest, NotInstalled
from rexray.registry import registry

D = TypeVar("D", bound=Driver)


def volume_driver(app: App) -> VolumeDriver:
    """The volume driver of this run."""
    _refuse_remote(app)
    names = app.load(CoreSettings).volume_drivers
    return _make(app, _choose("volume", names, registry().volume_driver, "rexray-core[csi]"))


def os_driver(app: App) -> OSDriver:
    """The OS driver of this run."""
    _refuse_remote(app)
    names = app.load(CoreSettings).os_drivers
    return _make(app, _choose("os", names, registry().os_driver, "rexray-os-linux"))


def _choose(kind: str, names: tuple[str, ...], load: Callable[[str], type[D]], distribution: str) -> type[D]:
    """The first named driver, or the first installed one that can work here."""
    if names:
        return load(names[0])
    reasons = []
    for entry in catalog.entries(kind):
        driver = load(entry.name)
        viability = driver.viable()
        if viability.ok:
            return driver
        reasons.append(f"{entry.name}: {viability.reason}")
    if reasons:
        raise NotInstalled(f"no installed {kind} driver can work here: {'; '.join(reasons)}")
    raise NotInstalled(f"no {kind} driver is installed: pip install {distribution}")


def _make(app: App, driver: type[D]) -> D:
    return driver(*([app.load(driver.settings)] if driver.settings is not None else []))


def _refuse_remote(app: App) -> None:
    """A service address is honoured or refused, never ignored."""
    for flag, what in (("--host", "a service address"), ("--service", "a storage service")):
        if flag in app.flags:
            raise InvalidRequest(f"{flag}: this version talks to no REST service and cannot use {what}: leave it out")
