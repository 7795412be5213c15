"""What is installed: the entry points of every distribution and the files of the plug-ins' folder; nothing is imported.

stevedore finds entry points wherever Python finds distributions, and remembers them on disk. What lies in folders is
read from there each time as well, for two reasons: the stamps that stevedore's cache goes by are two minutes coarse,
and one distribution with damaged metadata ends its reading of all.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stevedore.named import NamedExtensionManager

from rexray import allowed, distributions
from rexray._version import __version__
from rexray.distributions import GROUPS, Distribution, Metadata
from rexray.errors import BrokenPlugin, NotInstalled, PluginConflict
from rexray.plugin_files import KIND as FILE
from rexray.plugin_files import PluginFile, plugin_files

log = logging.getLogger(__name__)

__all__ = [
    "CORE",
    "FILE",
    "GROUPS",
    "Entry",
    "conflict",
    "describe",
    "entries",
    "everything",
    "find",
    "left_out",
    "likely_distribution",
    "plainly_fits",
]

CORE = "rexray-core"
_REQUIREMENT = re.compile(r"rexray[-_.]+core\s*(?:\[[^\]]*\])?\s*\(?([^;()]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One installed plug-in: the word that users type, and the module that it points at.

    ``error`` is why it cannot be one, if that is known before it is loaded.
    """

    kind: str
    name: str
    module: str
    metadata: Metadata | None = None
    file: PluginFile | None = None
    elsewhere: Distribution | None = None
    """The distribution where its metadata lies in no folder, but in an archive."""
    error: str = ""

    def distribution(self) -> Distribution | None:
        """The distribution that brought it, or its file under the name of its path; None if neither is known."""
        if self.file is not None:
            return Distribution(name=str(self.file.path), version="", requires=self.file.requires)
        return self.metadata.read() if self.metadata else self.elsewhere

    def contract(self) -> str:
        """The versions of rexray-core that it says it supports, such as ``<0.2,>=0.1``; empty where it says none."""
        distribution = self.distribution()
        for line in distribution.requires if distribution else ():
            found = _REQUIREMENT.match(line)
            if found and ";" not in line:
                return "".join(found[1].split())
        return ""

    def check_contract(self) -> None:
        """Raise ``BrokenPlugin`` unless it can be told that the plug-in supports this version of the contracts.

        The contracts bear rexray-core's version; a driver states the range that it supports where pip reads it,
        in its requirement on rexray-core.
        """
        distribution = self.distribution()
        if wrong := self.error or (distribution.error if distribution else ""):
            raise BrokenPlugin(wrong)
        if distribution is None:
            return
        lines = [line for line in distribution.requires if not plainly_fits(line)]
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
                remedy = f"pip install --upgrade {distribution.name}" if self.file is None else "get a newer one"
                raise BrokenPlugin(
                    f"{describe(distribution)} supports {CORE} {requirement.specifier}, this is {__version__}: {remedy}"
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


def describe(distribution: Distribution | None) -> str:
    """A distribution's name and version for a message."""
    if distribution is None:
        return "an unknown distribution"
    return f"{distribution.name} {distribution.version}".rstrip()


def entries(kind: str) -> Iterator[Entry]:
    """The installed plug-ins of a kind that the allow-list has, sorted by name."""
    return iter(_split(kind)[0])


def everything(kinds: Iterable[str]) -> Iterator[Entry]:
    """The same for several kinds, and the files of which not even the kind could be told."""
    for kind in kinds:
        yield from entries(kind)
    yield from entries(FILE)


def left_out() -> tuple[Entry, ...]:
    """The installed plug-ins that the allow-list does not have."""
    return tuple(entry for kind in (*GROUPS, FILE) for entry in _split(kind)[1])


def conflict(kind: str, name: str) -> PluginConflict | None:
    """The error that several installed plug-ins claim a name, None if they do not."""
    found = [entry for entry in entries(kind) if entry.name == name]
    if len(found) < 2:
        return None
    claims = " and ".join(_claim(entry) for entry in found)
    return PluginConflict(f"{kind} driver {name!r} is claimed by {claims}: uninstall one of them")


def find(kind: str, name: str) -> Entry:
    """The one plug-in of that name; ``NotInstalled`` says what to install, ``PluginConflict`` who claims it."""
    found = [entry for entry in entries(kind) if entry.name == name]
    if clash := conflict(kind, name):
        raise clash
    if found:
        return found[0]
    if any(entry.name == name for entry in _split(kind)[1]):
        raise NotInstalled(f"driver {name!r} is left out by ${allowed.VARIABLE}: put {name} there to use it")
    for entry in entries(FILE):
        if entry.name == name:
            raise BrokenPlugin(entry.error)
    raise NotInstalled(f"driver {name!r} is not installed: pip install {likely_distribution(kind, name)}")


def likely_distribution(kind: str, name: str) -> str:
    """What a distribution with that driver would be called."""
    return f"rexray-os-{name}" if kind == "os" else f"rexray-driver-{name}"


def _claim(entry: Entry) -> str:
    return f"{describe(entry.distribution())} ({entry.module})" if entry.file is None else str(entry.file.path)


def _split(kind: str) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """The entries of a kind: those that the allow-list has, and those that it has not."""
    listed, found = allowed.words(), _all(tuple(sys.path), plugin_files())
    held = tuple(entry for entry in found if entry.kind == kind)
    if listed is None:
        return held, ()
    names: defaultdict[str, set[str]] = defaultdict(set)
    for entry in found:  # a module is one plug-in, whatever the words for what it brings
        distribution = entry.distribution()
        names[entry.module or entry.error].update([entry.name, *([distribution.name] if distribution else [])])
    kept = tuple(entry for entry in held if allowed.allows(listed, names[entry.module or entry.error]))
    return kept, tuple(entry for entry in held if entry not in kept)


@functools.lru_cache(maxsize=8)
def _all(path: tuple[str, ...], files: tuple[PluginFile, ...]) -> tuple[Entry, ...]:
    """Every entry of every kind, sorted by name; ``path`` is ``sys.path``."""
    found = [
        Entry(kind=line.kind, name=line.name, module=line.module, metadata=metadata, error=line.error)
        for metadata in distributions.installed()
        for line in metadata.declared
    ]
    known = {(entry.kind, entry.name, entry.module) for entry in found}
    found += _by_stevedore(known)
    found += [
        Entry(kind=kind, name=file.name, module=file.module, file=file, error=file.error)
        for file in files
        for kind in file.kinds
    ]
    return tuple(sorted(found, key=lambda entry: (entry.name, entry.module)))


def _by_stevedore(known: set[tuple[str, str, str]]) -> list[Entry]:
    """The entries that stevedore finds beyond those that are known, such as in archives; not what it remembers wrongly.

    Damaged metadata, with which it finds nothing, is told by those who read the folders.
    """
    found = []
    try:
        for kind, group in GROUPS.items():
            for point in NamedExtensionManager(group, names=[]).list_entry_points():
                if (kind, point.name, point.value) not in known and (brought := _who_brings(point)):
                    found.append(Entry(kind=kind, name=point.name, module=point.value, elsewhere=brought))
    except (TypeError, ValueError, AttributeError, KeyError, OSError) as error:
        log.debug("stevedore cannot read the entry points: %s: %s", type(error).__name__, error)
    return found


def _who_brings(point: importlib.metadata.EntryPoint) -> Distribution | None:
    """The distribution that declares an entry point, by the library that knows every way to install one."""
    wanted = (point.group, point.name, point.value)
    for found in importlib.metadata.distributions():
        if any((one.group, one.name, one.value) == wanted for one in found.entry_points):
            return Distribution(name=found.name, version=found.version, requires=tuple(found.requires or ()))
    return None
