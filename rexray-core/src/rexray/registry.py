"""Loading plug-ins: one by name, or all with the broken ones set apart; and telling observers.

The facade over pluggy: everything else sees typed classes.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import logging
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from rexray import catalog, hookspecs, plugin_results, tracing
from rexray.errors import BrokenPlugin, PluginError
from rexray.plugin_facts import remembered

if TYPE_CHECKING:
    from rexray.cli.commands import CommandSpec
    from rexray.csi.plugin import CSIPlugin
    from rexray.drivers import Driver, NodeDriver, OSDriver, StorageDriver, VolumeDriver

log = logging.getLogger(__name__)
D = TypeVar("D", bound="Driver")

DRIVER_KINDS = ("storage", "os", "volume", "csi")
"""The kinds of plug-in that are drivers."""

CLASS_HOOKS = {
    "storage": "rexray_storage_drivers",
    "node": "rexray_node_drivers",
    "os": "rexray_os_drivers",
    "volume": "rexray_volume_drivers",
    "csi": "rexray_csi_plugins",
}
"""The hook that returns the classes of each kind of driver."""

_REGISTERING = frozenset({*CLASS_HOOKS.values(), "rexray_commands", "rexray_settings"})
"""The hooks that return something; all others tell observers."""


class Registry:
    """The installed plug-ins, loaded at most once each; ``specs`` is the module of the hooks."""

    def __init__(self, specs: ModuleType = hookspecs) -> None:
        self._manager = pluggy.PluginManager("rexray")
        self._manager.add_hookspecs(specs)
        self._modules: dict[str, ModuleType] = {}
        self._seconds: dict[tuple[str, str], float] = {}
        self._lock = threading.RLock()
        self._hears = False

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

    def driver_of(self, entry: catalog.Entry) -> type[Driver]:
        """The driver class that an entry of one of :data:`DRIVER_KINDS` stands for; ``PluginError``."""
        hook, theirs = CLASS_HOOKS[entry.kind], self.hooks_of(entry)
        if entry.kind == "storage" and hook not in theirs and CLASS_HOOKS["node"] in theirs:
            hook = CLASS_HOOKS["node"]  # a node driver alone, whose storage driver only other hosts use
        return self._class_of(entry, hook)

    def hooks_of(self, entry: catalog.Entry) -> tuple[str, ...]:
        """The hooks that a plug-in implements, sorted; ``PluginError`` where it cannot be loaded."""
        callers = self._manager.get_hookcallers(self._load(entry)) or []
        return tuple(sorted(caller.name for caller in callers))

    def seconds_of(self, entry: catalog.Entry) -> float:
        """How long the first import of a plug-in, and its first answer about an entry's kind, took."""
        wanted = ("", CLASS_HOOKS.get(entry.kind, "rexray_commands"))
        return sum(self._seconds.get((entry.module, part), 0.0) for part in wanted)

    def module_of(self, entry: catalog.Entry) -> ModuleType:
        """The module that an entry points at; ``PluginError`` where it cannot be loaded."""
        return self._load(entry)

    def commands(self) -> Sequence[CommandSpec]:
        """The commands of the installed plug-ins, all of which are loaded; a broken one is logged and left out."""
        found: list[CommandSpec] = []
        for entry, _ in self._load_all(["commands"]):
            with left_out(entry):
                found += self.commands_of(entry)
        return found

    def commands_of(self, entry: catalog.Entry) -> Sequence[CommandSpec]:
        """The commands that one plug-in brings; ``PluginError``."""
        return self._items(entry, "rexray_commands", _is_command, "a CommandSpec of texts")

    def settings(self) -> Sequence[type]:
        """Every settings dataclass of the installed plug-ins, each once; a broken plug-in is logged and left out."""
        found: dict[type, None] = {}
        for entry, _ in self._load_all(catalog.GROUPS):
            with left_out(entry):
                found.update(
                    dict.fromkeys(
                        self._items(entry, "rexray_settings", plugin_results.is_settings, "a dataclass of settings")
                    )
                )
        for entry in itertools.chain.from_iterable(map(catalog.entries, DRIVER_KINDS)):
            with contextlib.suppress(PluginError):  # it was told above, or is told where its driver is used
                driver = self.driver_of(entry)
                if driver.settings is not None:
                    found[driver.settings] = None
        return list(found)

    def load_observers(self) -> None:
        """Load the installed plug-ins with observer hooks, so that they hear what happens."""
        with self._lock:
            if not self._hears:
                self._hears = True
                for _ in self._load_all(catalog.GROUPS, _may_observe):
                    pass

    def tell(self, hook: str, **event: object) -> None:
        """Tell every observer; the error of one is logged with its name and disturbs nobody.

        An observer gets those of the event's arguments that it names. The first time, observers are loaded.
        """
        self.load_observers()
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            try:
                with tracing.timed(f"observer {implementation.plugin_name} hears {hook}"):
                    implementation.function(**{name: event[name] for name in implementation.argnames})
            except Exception:
                log.exception("observer %s failed in %s", implementation.plugin_name, hook)

    def _driver(self, kind: str, name: str, base: type[D], hook: str | None = None) -> type[D]:
        entry = catalog.find(kind, name)
        found = self._class_of(entry, CLASS_HOOKS[hook or kind])
        if not issubclass(found, base):
            raise BrokenPlugin(f"{_blame(entry)}: {found.__qualname__} is not a {base.__name__}")
        return found

    def _class_of(self, entry: catalog.Entry, hook: str) -> type[Driver]:
        items = self._items(entry, hook, lambda item: True, "")
        try:
            classes = plugin_results.drivers(hook, items)
        except PluginError as error:
            raise BrokenPlugin(f"{_blame(entry)}: {error}") from error
        for driver in classes:
            if entry.name in (driver.name, *driver.aliases):
                return driver
        names = ", ".join(driver.name for driver in classes) or "none"
        raise BrokenPlugin(f"{_blame(entry)}: {hook} returns {names}, not {entry.name!r}")

    def _load_all(
        self, kinds: Iterable[str], wanted: Any = lambda entry: True
    ) -> Iterator[tuple[catalog.Entry, ModuleType]]:
        """Each plug-in of those kinds once, by one of its entries; a broken one is logged and left out."""
        seen: set[str] = set()
        for entry in catalog.everything(kinds):
            if (entry.module or entry.name) in seen or not wanted(entry):
                continue
            seen.add(entry.module or entry.name)
            with left_out(entry):
                yield entry, self._load(entry)

    def _load(self, entry: catalog.Entry) -> ModuleType:
        with self._lock:
            if entry.module in self._modules:
                return self._modules[entry.module]
            with tracing.timed(f"contract of {entry.name!r} checked"):
                entry.check_contract()
            with self._clocked(entry):
                module = _imported(entry)
            self._register(entry, module)
            self._modules[entry.module] = module
            return module

    def _register(self, entry: catalog.Entry, module: ModuleType) -> None:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self._manager.register(module, entry.module)
            self._manager.check_pending()
            for caller in self._manager.get_hookcallers(module) or []:
                if any(one.plugin is module and (one.hookwrapper or one.wrapper) for one in caller.get_hookimpls()):
                    raise BrokenPlugin(f"{_blame(entry)}: {caller.name} is a wrapper: hooks of REX-Ray have none")
        except BaseException as error:
            if self._manager.is_registered(module):
                self._manager.unregister(module)
            if not isinstance(error, pluggy.PluginValidationError):
                raise
            raise BrokenPlugin(f"{_blame(entry)}: {' '.join(str(error).split())}") from error
        for warning in caught:
            log.warning("%s: %s", _blame(entry), " ".join(str(warning.message).split()))

    def _items(self, entry: catalog.Entry, hook: str, is_right: Any, what: str) -> list[Any]:
        """What one plug-in alone registers through a hook."""
        module = self._load(entry)
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin is not module:
                continue
            try:
                with (
                    self._clocked(entry, hook),
                    tracing.timed(f"hook {hook} of {entry.name!r}"),
                    plugin_results.quiet(),
                ):
                    return plugin_results.each(hook, implementation.function(), is_right, what)
            except (PluginError, KeyboardInterrupt) as error:
                if isinstance(error, BrokenPlugin):
                    raise BrokenPlugin(f"{_blame(entry)}: {error}") from error
                raise
            except BaseException as error:
                raise BrokenPlugin(f"{_blame(entry)}: {hook}: {plugin_results.said(error)}") from error
        return []

    @contextlib.contextmanager
    def _clocked(self, entry: catalog.Entry, part: str = "") -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds.setdefault((entry.module, part), time.perf_counter() - start)


def _is_command(item: object) -> bool:
    from rexray.cli.commands import CommandSpec

    return isinstance(item, CommandSpec) and all(isinstance(text, str) for text in (item.name, item.help, item.target))


def _imported(entry: catalog.Entry) -> ModuleType:
    """A plug-in's module; what it prints goes to standard error, for standard output is the user's."""
    try:
        with tracing.timed(f"imported {entry.module}"), plugin_results.quiet():
            return entry.file.load() if entry.file else importlib.import_module(entry.module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise BrokenPlugin(f"{_blame(entry)}: {plugin_results.said(error)}") from error


@contextlib.contextmanager
def left_out(entry: catalog.Entry) -> Iterator[None]:
    """Go on without a plug-in that turns out broken, and log it."""
    try:
        yield
    except PluginError as error:
        log.warning("plug-in %s left out: %s", entry.name, error)


def _may_observe(entry: catalog.Entry) -> bool:
    """Whether a plug-in has observer hooks, or it is not known that it has none."""
    facts = remembered().get(entry)
    return facts is None or not _REGISTERING.issuperset(facts.hooks)


def _blame(entry: catalog.Entry) -> str:
    return f"plug-in {entry.name!r} of {catalog.describe(entry.distribution())}"


@functools.cache
def registry() -> Registry:
    """The registry of this process."""
    return Registry()
