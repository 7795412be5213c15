"""Tables of what is installed: settings, drivers and what they can do, and how they did in the conformance kit."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mkdocs.exceptions import PluginError

from rexray import catalog, mixins
from rexray.drivers import Driver, StorageDriver
from rexray.listing import capabilities
from rexray.registry import DRIVER_KINDS, registry
from rexray.volumes.options import OPTIONS

ROOT = Path(__file__).resolve().parents[2]
CONFORMANCE = ROOT / "docs" / "conformance"
"""A JSON file for each driver that the conformance kit was run with."""
_REPORTED = ("run", "passed", "skipped", "failed")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; a bar in a cell is escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A driver of this checkout."""

    name: str
    kind: str
    distribution: str
    driver: type[Driver]

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it can do beyond its contract."""
        return capabilities(self.driver)


def ours() -> list[Own]:
    """The drivers of this checkout's distributions by their own names; ``PluginError`` for a broken one."""
    distributions = {path.parent.name for path in ROOT.glob("rexray-*/pyproject.toml")}
    found = []
    for entry in (entry for kind in DRIVER_KINDS for entry in catalog.entries(kind)):
        distribution = entry.distribution()
        if distribution is None or distribution.name not in distributions:
            continue
        driver = registry().driver_of(entry)
        if driver.name == entry.name:
            found.append(Own(name=entry.name, kind=entry.kind, distribution=distribution.name, driver=driver))
    return found


def named(name: str) -> Own:
    """One of the drivers."""
    for item in ours():
        if item.name == name:
            return item
    raise PluginError(f"no driver {name!r} is installed: it is one of {', '.join(item.name for item in ours())}")


def distributions(_: str) -> str:
    """Every distribution of the checkout, with its drivers and what it is in its own words."""
    brought: dict[str, list[str]] = {}
    for item in ours():
        shown = ", ".join(f"`{word}`" for word in (item.name, *item.driver.aliases))
        brought.setdefault(item.distribution, []).append(f"{shown} ({item.kind})")
    rows = []
    for path in sorted(ROOT.glob("rexray-*/pyproject.toml")):
        name = path.parent.name
        summary = importlib.metadata.metadata(name)["Summary"]
        rows.append((f"`{name}`", "; ".join(brought.get(name, [])), summary))
    return table(("Distribution", "Drivers", "What it is"), rows)


def groups(_: str) -> str:
    """The entry-point groups."""
    return table(("Kind", "Group"), ((kind, f"`{group}`") for kind, group in catalog.GROUPS.items()))


def _mixins() -> list[type]:
    return [kind for kind in vars(mixins).values() if isinstance(kind, type) and kind.__module__ == mixins.__name__]


def _summary(kind: type) -> str:
    """The first paragraph of a class's docstring as Markdown."""
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split()).replace("``", "`")


def capabilities_of(name: str) -> str:
    """What a driver can do beyond its contract, each with what that means."""
    item = named(name)
    able = set(item.capabilities)
    known = {kind.__name__ for kind in _mixins()}
    rows = [(f"`{kind.__name__}`", _summary(kind)) for kind in _mixins() if kind.__name__ in able]
    rows += [(f"`{word}`", "as the CSI specification says") for word in item.capabilities if word not in known]
    return table(("It can", "which means"), rows)


def matrix(kind: str) -> str:
    """The drivers of a kind, a column each, and the capabilities, a row each.

    A driver whose class declares none is left out: the bridge ``libstorage`` has those of the storage driver behind it.
    """
    items = [item for item in ours() if item.kind == kind and item.capabilities]
    declared = list(dict.fromkeys(word for item in items for word in item.capabilities))
    words = [found.__name__ for found in _mixins()] if kind == "storage" else declared
    heads = ("Capability", *(f"`{item.name}`" for item in items))
    return table(heads, ((f"`{word}`", *("yes" if word in i.capabilities else "no" for i in items)) for word in words))


def csi_capabilities(_: str) -> str:
    """What the bridge reports over CSI, by the storage driver behind it."""
    from rexray.csi.bridge.abilities import of_controller, of_plugin

    reported: dict[str, tuple[str, ...]] = {}
    for item in ours():
        if issubclass(item.driver, StorageDriver):
            found = (*of_plugin(item.driver, controller=True), *of_controller(item.driver))
            reported[item.name] = found
    words = list(dict.fromkeys(word for found in reported.values() for word in found))
    heads = ("Reported over CSI", *(f"`{name}`" for name in reported))
    return table(heads, ((f"`{w}`", *("yes" if w in found else "no" for found in reported.values())) for w in words))


def conformance(_: str) -> str:
    """How each driver did in the conformance kit."""
    return conformance_of(CONFORMANCE)


def conformance_of(folder: Path) -> str:
    """The same from the reports in a folder; a driver without one was not yet run."""
    reports = {}
    for path in sorted(folder.glob("*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        reports[report["kind"], report["driver"]] = report
    rows = []
    for kind, name in _conforming():
        report = reports.pop((kind, name), None)
        if report is None:
            rows.append((f"`{name}`", kind, *[""] * (len(_REPORTED) + 1), "not yet run"))
        else:
            told = "; ".join(_deviations(report["deviations"])) or "none"
            contract = f"`{report['contract']}`" if report["contract"] else ""
            rows.append((f"`{name}`", kind, report["version"], contract, *(report[key] for key in _REPORTED), told))
    if reports:
        raise PluginError(f"{folder}: there are reports of drivers that are not installed: {sorted(reports)}")
    heads = ("Driver", "Kind", "Version", "Contract", "Run", "Passed", "Skipped", "Failed", "Deviations")
    return table(heads, rows)


def _conforming() -> Iterator[tuple[str, str]]:
    """The kind and the name of everything that the kit can be run with; a platform has two sides."""
    for item in ours():
        yield item.kind, item.name
        if item.kind == "storage":
            yield "node", item.name


def _deviations(stated: Mapping[str, str] | Sequence[object]) -> list[str]:
    """The deviations in a line each: reasons by the names of the checks, or mere texts."""
    if isinstance(stated, Mapping):
        return [f"`{name}`: {reason}" for name, reason in stated.items()]
    return [str(item) for item in stated]


def create_options(driver: str) -> str:
    """The options of a new volume: those that every driver has or, where one is named, those that it adds."""
    if not driver:
        return table(("Option", "What it says"), ((f"`{name}`", text) for name, text in OPTIONS.items()))
    found = named(driver).driver
    if not issubclass(found, StorageDriver) or not found.create_options:
        raise PluginError(f"driver {driver!r} has no options of its own for a new volume")
    return table(("Option", "What it says"), ((f"`{name}`", text) for name, text in found.create_options.items()))
