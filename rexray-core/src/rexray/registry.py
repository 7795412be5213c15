"""Loading plug-ins: one by name, or all with the broken ones set apart; and telling observers.

The facade over pluggy: everything else sees typed classes.
"""

from __future__ import annotations

import functools
import importlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from rexray import catalog, hookspecs
from rexray.errors import BrokenPlugin, NotInstalled, PluginError

if TYPE_CHECKING:
    from rexray.cli.commands import CommandSpec
    from rexray.csi.plugin import CSIPlugin
    from rexray.drivers import Driver, NodeDriver, OSDriver, StorageDriver, VolumeDriver

log = logging.getLogger(__name__)
D = TypeVar("D", bound="Driver")

DRIVER_KINDS = ("storage", "os", "volume", "csi")
"""The kinds of plug-in that ``driver ls`` lists."""

_CLASS_HOOKS = {
    "storage": "rexray_storage_drivers",
    "node": "rexray_node_drivers",
    "os": "rexray_os_drivers",
    "volume": "rexray_volume_drivers",
    "csi": "rexray_csi_plugins",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A plug-in as ``driver ls`` shows it: its class, or why there is none."""

    entry: catalog.Entry
    driver: type[Driver] | None
    error: str = ""
    lacking: bool = False
    """Whether all that is wrong is another distribution that has to be installed."""
    seconds: float = 0.0


class Registry:
    """The installed plug-ins, loaded at most once each."""

    def __init__(self) -> None:
        self._manager = _manager()
        self._modules: dict[str, ModuleType] = {}

    def storage_driver(self, name: str) -> type[StorageDriver]:
        """The storage driver class of that name or alias."""
        from rexray.drivers import StorageDriver

        return self._driver("storage", name, StorageDriver)

    def node_driver(self, name: str) -> type[NodeDriver]:
        """The node driver class that belongs to the storage driver of that name or alias."""
        from rexray.drivers import NodeDriver

        return self._driver("storage", name, NodeDriver, hook="node")

    def os_driver(self, name: str) -> type[OSDriver]:
        """The OS driver class of that name."""
        from rexray.drivers import OSDriver

        return self._driver("os", name, OSDriver)

    def volume_driver(self, name: str) -> type[VolumeDriver]:
        """The volume driver class of that name."""
        from rexray.drivers import VolumeDriver

        return self._driver("volume", name, VolumeDriver)

    def csi_plugin(self, name: str) -> type[CSIPlugin]:
        """The native CSI plug-in class of that name."""
        from rexray.csi.plugin import CSIPlugin

        return self._driver("csi", name, CSIPlugin)

    def installed(self) -> Iterable[Installed]:
        """Every installed driver of every kind, by its own name, the broken ones with their reason."""
        for kind in DRIVER_KINDS:
            for entry in catalog.entries(kind):
                start, lacking = time.perf_counter(), False
                try:
                    catalog.find(kind, entry.name)
                    driver, error = self._class_of(entry, _CLASS_HOOKS[kind]), ""
                except PluginError as caught:
                    driver, error, lacking = None, str(caught), isinstance(caught, NotInstalled)
                if driver is not None and driver.name != entry.name:
                    continue  # an alias
                seconds = time.perf_counter() - start
                yield Installed(entry=entry, driver=driver, error=error, lacking=lacking, seconds=seconds)

    def commands(self) -> Sequence[CommandSpec]:
        """The commands of the installed plug-ins; a broken plug-in is logged and left out."""
        return [spec for module in self._load_all(["commands"]) for spec in self._call(module, "rexray_commands")]

    def settings(self) -> Sequence[type]:
        """Every settings dataclass of the installed plug-ins, each once."""
        found: dict[type, None] = {}
        for module in self._load_all(catalog.GROUPS):
            found.update(dict.fromkeys(self._call(module, "rexray_settings")))
        for item in self.installed():
            if item.driver is not None and item.driver.settings is not None:
                found[item.driver.settings] = None
        return list(found)

    def load_observers(self) -> None:
        """Load every installed plug-in, so that those with observer hooks hear what happens."""
        self._load_all(catalog.GROUPS)

    def tell(self, hook: str, **event: object) -> None:
        """Tell every observer; the error of one is logged with its name and disturbs nobody."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            try:
                implementation.function(**{name: event[name] for name in implementation.argnames})
            except Exception:
                log.exception("observer %s failed in %s", implementation.plugin_name, hook)

    def _driver(self, kind: str, name: str, base: type[D], hook: str | None = None) -> type[D]:
        entry = catalog.find(kind, name)
        found = self._class_of(entry, _CLASS_HOOKS[hook or kind])
        if not issubclass(found, base):
            raise BrokenPlugin(f"{self._blame(entry)}: {found.__qualname__} is not a {base.__name__}")
        return found

    def _class_of(self, entry: catalog.Entry, hook: str) -> type[Driver]:
        classes: Sequence[type[Driver]] = self._call(self._load(entry), hook)
        for driver in classes:
            if entry.name in (driver.name, *driver.aliases):
                return driver
        names = ", ".join(driver.name for driver in classes) or "none"
        raise BrokenPlugin(f"{self._blame(entry)}: {hook} returns {names}, not {entry.name!r}")

    def _load_all(self, kinds: Iterable[str]) -> list[ModuleType]:
        modules: dict[str, ModuleType | None] = {}
        for kind in kinds:
            for entry in catalog.entries(kind):
                if entry.module in modules:
                    continue
                try:
                    modules[entry.module] = self._load(entry)
                except PluginError as error:
                    modules[entry.module] = None
                    log.warning("plug-in %s left out: %s", entry.name, error)
        return [module for module in modules.values() if module is not None]

    def _load(self, entry: catalog.Entry) -> ModuleType:
        if entry.module in self._modules:
            return self._modules[entry.module]
        entry.check_contract()
        try:
            module = importlib.import_module(entry.module)
        except Exception as error:
            raise BrokenPlugin(f"{self._blame(entry)}: {type(error).__name__}: {error}") from error
        try:
            rehearsal = _manager()  # a plug-in that is refused midway would leave half of its hooks behind
            rehearsal.register(module, entry.module)
            rehearsal.check_pending()
        except pluggy.PluginValidationError as error:
            raise BrokenPlugin(f"{self._blame(entry)}: {' '.join(str(error).split())}") from error
        self._manager.register(module, entry.module)
        self._modules[entry.module] = module
        return module

    def _call(self, module: ModuleType, hook: str) -> Sequence[Any]:
        """What one plug-in alone registers through a hook."""
        caller = getattr(self._manager.hook, hook)
        for implementation in caller.get_hookimpls():
            if implementation.plugin is module:
                try:
                    return list(implementation.function())
                except PluginError:
                    raise
                except Exception as error:
                    raise BrokenPlugin(f"{module.__name__}: {hook}: {type(error).__name__}: {error}") from error
        return []

    def _blame(self, entry: catalog.Entry) -> str:
        return f"plug-in {entry.name!r} of {catalog.describe(entry.distribution())}"


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("rexray")
    manager.add_hookspecs(hookspecs)
    return manager


@functools.cache
def registry() -> Registry:
    """The registry of this process."""
    return Registry()
