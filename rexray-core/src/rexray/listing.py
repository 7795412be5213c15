"""Every installed plug-in with all that is known of it: from memory where that holds, else by loading it."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rexray import catalog, plugin_results, tracing
from rexray.errors import BrokenPlugin, NotInstalled, PluginError
from rexray.plugin_facts import Facts, remembered
from rexray.registry import DRIVER_KINDS, left_out, registry

if TYPE_CHECKING:
    from rexray.cli.commands import CommandSpec
    from rexray.drivers import Driver

SLOW_MILLISECONDS = 1000.0
"""A plug-in that takes longer to load is told so."""

_ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A plug-in as ``driver ls`` shows it; ``status`` is ``ready``, ``not viable`` or ``broken``, ``why`` says why."""

    entry: catalog.Entry
    facts: Facts
    status: str
    why: str = ""

    @property
    def note(self) -> str:
        """What else its user may want to know."""
        took = self.facts.milliseconds
        return f"took {took / 1000:.1f} s to load" if took > SLOW_MILLISECONDS else ""


def listed(wanted: Callable[[catalog.Entry], bool] = lambda entry: True) -> Iterator[Listed]:
    """The drivers of every kind by their own names, and each entry of a plug-in that is broken."""
    entries = [*catalog.everything((*DRIVER_KINDS, "commands"))]
    claims = Counter((entry.kind, entry.name) for entry in entries)
    for entry in filter(wanted, entries):
        clash = catalog.conflict(entry.kind, entry.name) if claims[entry.kind, entry.name] > 1 else None
        found = _broken(entry, clash) if clash else _looked_at(entry)
        if found.facts.name != entry.name and (entry.kind, found.facts.name) not in claims:
            found = _broken(entry, BrokenPlugin(_without_own_name(entry, found.facts.name)))
        is_own = entry.kind in DRIVER_KINDS and found.facts.name == entry.name
        if is_own or found.status == "broken":
            yield found
    remembered().save()


def commands() -> list[CommandSpec]:
    """The commands of the installed plug-ins; a broken plug-in is logged and left out."""
    from rexray.cli.commands import CommandSpec

    found: list[CommandSpec] = []
    for entry in catalog.everything(["commands"]):
        with left_out(entry):
            facts = remembered().get(entry) if entry.file is None else None  # a file's commands are in the file itself
            if facts is None:
                facts = _learned(entry)
                remembered().put(entry, facts)
            found += [
                CommandSpec(name=name, help=text, target=target, hidden=hidden)
                for name, text, target, hidden in facts.commands
            ]
    remembered().save()
    return found


def _looked_at(entry: catalog.Entry) -> Listed:
    """One plug-in; loaded unless that was done before and nothing has changed since."""
    facts = remembered().get(entry)
    try:
        if facts is None:
            facts = _learned(entry)
            remembered().put(entry, facts)
    except PluginError as error:
        return _broken(entry, error)
    if entry.kind not in DRIVER_KINDS or facts.name != entry.name:
        return Listed(entry=entry, facts=facts, status="ready")  # nobody asks whether an alias is viable
    try:
        return _asked(entry, facts)
    except PluginError as error:
        return Listed(entry=entry, facts=facts, status="broken", why=_blamed(entry, error))


def _asked(entry: catalog.Entry, facts: Facts) -> Listed:
    """Whether the driver can work here, told by what is light if there is such a thing."""
    if facts.viability == _ALWAYS:
        return Listed(entry=entry, facts=facts, status="ready")
    with tracing.timed(f"viability of {entry.name!r} asked"), plugin_results.quiet():
        viable = _function(facts.viability) if facts.viability else registry().driver_of(entry).viable
        found = plugin_results.viability(viable)
    return Listed(entry=entry, facts=facts, status="ready" if found.ok else "not viable", why=found.reason)


def _function(target: str) -> Callable[[], object]:
    """The function that ``module:name`` is; ``BrokenPlugin`` where it cannot be imported."""
    module, _, name = target.partition(":")
    try:
        found: Callable[[], object] = getattr(importlib.import_module(module), name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise BrokenPlugin(f"{target}: {plugin_results.said(error)}") from error
    return found


def _learned(entry: catalog.Entry) -> Facts:
    """The facts of a plug-in that has to be loaded for them; ``PluginError``."""
    own: dict[str, Any] = {"name": entry.name}
    if entry.kind in DRIVER_KINDS:
        driver = registry().driver_of(entry)
        own = {
            "name": driver.name,
            "aliases": driver.aliases,
            "capabilities": capabilities(driver),
            "viability": _viability_of(driver),
        }
    else:
        brought = registry().commands_of(entry)
        own["commands"] = tuple((spec.name, spec.help, spec.target, spec.hidden) for spec in brought)
    distribution = entry.distribution()
    return Facts(
        **own,
        hooks=registry().hooks_of(entry),
        milliseconds=registry().seconds_of(entry) * 1000,
        distribution=distribution.name if distribution else "",
        version=distribution.version if distribution else "",
        contract=entry.contract(),
    )


def capabilities(driver: type[Driver]) -> tuple[str, ...]:
    """What a driver can do beyond its contract: its mixins, or what a CSI plug-in reports."""
    from rexray import mixins

    declared = getattr(driver, "capabilities", ())  # of a CSI plug-in; another driver may mean anything by it
    words = map(str, declared) if isinstance(declared, tuple | list) else ()
    return (*words, *(base.__name__ for base in driver.__mro__ if base.__module__ == mixins.__name__))


def _viability_of(driver: type[Driver]) -> str:
    """How to learn whether the driver can work here without importing it: see :class:`~rexray.plugin_facts.Facts`."""
    from rexray.drivers import Driver

    viable = driver.viable
    if getattr(viable, "__func__", None) is Driver.viable.__func__:  # type: ignore[attr-defined]
        return _ALWAYS
    module, name = getattr(viable, "__module__", ""), getattr(viable, "__qualname__", "")
    is_function = isinstance(name, str) and getattr(sys.modules.get(module), name, None) is viable
    return f"{module}:{name}" if is_function and _is_of_same_package(module, driver.__module__) else ""


def _is_of_same_package(module: str, driver: str) -> bool:
    """Whether a module is another one than the driver's, in the package whose files the facts go by."""
    return module != driver and module.partition(".")[0] == driver.partition(".")[0]


def _broken(entry: catalog.Entry, error: PluginError) -> Listed:
    """A plug-in that cannot be used; one that only lacks another distribution is as good as not viable."""
    distribution = entry.distribution()
    facts = Facts(
        name=entry.name,
        milliseconds=registry().seconds_of(entry) * 1000,
        distribution=distribution.name if distribution else "",
        version=distribution.version if distribution else "",
        contract=entry.contract(),
    )
    lacking = isinstance(error, NotInstalled)
    return Listed(entry=entry, facts=facts, status="not viable" if lacking else "broken", why=str(error))


def _without_own_name(entry: catalog.Entry, name: str) -> str:
    error = f"{entry.name!r} is another name of {name!r}, which has no entry point: add '{name} = {entry.module}'"
    return _blamed(entry, BrokenPlugin(error))


def _blamed(entry: catalog.Entry, error: PluginError) -> str:
    return f"plug-in {entry.name!r} of {catalog.describe(entry.distribution())}: {error}"
