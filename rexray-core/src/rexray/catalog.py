"""What is installed: the entry points of every distribution, read as metadata; nothing is imported."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass

from stevedore.named import NamedExtensionManager

from rexray._version import __version__
from rexray.errors import BrokenPlugin, NotInstalled, PluginConflict

CORE = "rexray-core"

GROUPS = {
    "storage": "rexray.storage",
    "os": "rexray.os",
    "volume": "rexray.volume",
    "csi": "rexray.csi",
    "commands": "rexray.commands",
}
"""The entry-point group of each kind of plug-in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One installed plug-in: the word that users type, and the module that it points at."""

    kind: str
    name: str
    module: str

    def distribution(self) -> importlib.metadata.Distribution | None:
        """The distribution that brought it, None if its metadata is gone."""
        found = self.distributions()
        return found[0] if found else None

    def distributions(self) -> tuple[importlib.metadata.Distribution, ...]:
        """Every distribution that declares just this entry point; the likely one is looked at first."""
        guess = self.module.split(".")[0]
        try:
            likely = importlib.metadata.distribution(guess)
        except importlib.metadata.PackageNotFoundError:
            pass
        else:
            if self._declared_by(likely):
                return (likely,)
        return tuple(dist for dist in importlib.metadata.distributions() if self._declared_by(dist))

    def _declared_by(self, distribution: importlib.metadata.Distribution) -> bool:
        return any(
            point.group == GROUPS[self.kind] and point.name == self.name and point.value == self.module
            for point in distribution.entry_points
        )

    def check_contract(self) -> None:
        """Raise ``BrokenPlugin`` unless the distribution supports this version of the contracts.

        The contracts bear rexray-core's version; a driver states the range that it supports where pip reads it,
        in its requirement on rexray-core.
        """
        distribution = self.distribution()
        if distribution is None:
            return
        lines = [line for line in distribution.requires or () if not plainly_fits(line)]
        if not any(line.lower().startswith("rexray") for line in lines):
            return
        from packaging.requirements import InvalidRequirement, Requirement  # takes longer than all else here

        for line in lines:
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                continue
            if requirement.name.lower().replace("_", "-") != CORE or requirement.marker is not None:
                continue
            if not requirement.specifier.contains(__version__, prereleases=True):
                raise BrokenPlugin(
                    f"{describe(distribution)} supports {CORE} {requirement.specifier}, this is {__version__}: "
                    f"pip install --upgrade {distribution.name}"
                )


_CLAUSE = r"(?:>=|<)\d+(?:\.\d+){0,2}"
_PLAIN = re.compile(rf"{CORE}(?:\[[\w,-]*\])?((?:{_CLAUSE}(?:,{_CLAUSE})*)?)", re.IGNORECASE)


def plainly_fits(requirement: str) -> bool:
    """Whether a requirement is one on the core, by plain numbers such as ``>=0.1,<0.2``, that this version meets.

    False says nothing: whatever is not that plain is for the library that knows all of it.
    """
    found, own = _PLAIN.fullmatch(requirement.replace(" ", "")), __version__.split(".")
    if found is None or len(own) != 3 or not all(part.isdigit() for part in own):
        return False
    version = [int(part) for part in own]
    for clause in filter(None, found[1].split(",")):
        bound = [int(part) for part in clause.lstrip("><=").split(".")]
        if version < bound if clause.startswith(">=") else version >= bound:
            return False
    return True


def describe(distribution: importlib.metadata.Distribution | None) -> str:
    """A distribution's name and version for a message."""
    return f"{distribution.name} {distribution.version}" if distribution else "an unknown distribution"


def entries(kind: str) -> Iterator[Entry]:
    """The installed plug-ins of a kind, sorted by name."""
    points = NamedExtensionManager(GROUPS[kind], names=[]).list_entry_points()
    for point in sorted(points, key=lambda point: (point.name, point.value)):
        yield Entry(kind=kind, name=point.name, module=point.value)


def find(kind: str, name: str) -> Entry:
    """The one plug-in of that name; ``NotInstalled`` says what to install, ``PluginConflict`` who claims it."""
    found = [entry for entry in entries(kind) if entry.name == name]
    if not found:
        raise NotInstalled(f"driver {name!r} is not installed: pip install {_likely_distribution(kind, name)}")
    if len(found) > 1:
        claims = " and ".join(f"{describe(entry.distribution())} ({entry.module})" for entry in found)
        raise PluginConflict(f"{kind} driver {name!r} is claimed by {claims}: uninstall one of them")
    return found[0]


def _likely_distribution(kind: str, name: str) -> str:
    return f"rexray-os-{name}" if kind == "os" else f"rexray-driver-{name}"
