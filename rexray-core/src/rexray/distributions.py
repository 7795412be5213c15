"""Which installed distributions declare plug-ins, read from their folders as text; nothing is imported.

The libraries that read metadata properly take longer to import than all else that ``rexray --help`` does, and one
damaged distribution ends their reading of all. This reads what lies in the folders of ``sys.path``, where
installers put it, and sets what is damaged apart.

Facts: "Recording installed projects" and "Entry points specification" of the Python Packaging User Guide.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rexray import tracing

GROUPS = {
    "storage": "rexray.storage",
    "os": "rexray.os",
    "volume": "rexray.volume",
    "csi": "rexray.csi",
    "commands": "rexray.commands",
}
"""The entry-point group of each kind of plug-in."""

_KINDS = {group: kind for kind, group in GROUPS.items()}
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A distribution by what its metadata says; ``error`` is why that cannot be read."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A line of a distribution's entry points; ``error`` is why it is none."""

    kind: str
    name: str
    module: str
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The folder of a distribution's metadata, and the plug-ins that it declares."""

    folder: str
    declared: tuple[Declared, ...] = ()
    stem: str = field(default="")
    """The distribution's name by the folder's name, the same for all spellings of it."""

    def read(self) -> Distribution:
        """The distribution; read once."""
        return _read(self.folder)


def installed() -> tuple[Metadata, ...]:
    """The distributions on ``sys.path`` that declare plug-ins of REX-Ray; what comes first hides its namesakes."""
    return _installed(tuple(sys.path))


@functools.lru_cache(maxsize=8)
def _installed(path: tuple[str, ...]) -> tuple[Metadata, ...]:
    found: dict[str, Metadata | None] = {}
    for place in path:
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue  # a part of the path that is not there, or an archive
        for name in sorted(names):
            if name.endswith((".dist-info", ".egg-info")) and (stem := stem_of(name)) not in found:
                found[stem] = _declaring(os.path.join(place or ".", name), stem)
    held = tuple(item for item in found.values() if item is not None)
    if tracing.ON:
        for item in held:
            for line in item.declared:
                tracing.trace(f"found {line.kind} {line.name!r} = {line.module or line.error} in {item.folder}")
    return held


def _declaring(folder: str, stem: str) -> Metadata | None:
    try:
        with open(os.path.join(folder, "entry_points.txt"), "rb") as file:
            content = file.read()
    except OSError:
        return None
    if b"[rexray." not in content:
        return None
    declared = tuple(_lines(content.decode("utf-8", "replace"), folder))
    return Metadata(folder=folder, declared=declared, stem=stem) if declared else None


def _lines(text: str, folder: str) -> list[Declared]:
    found, kind = [], None
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            kind = _KINDS.get(line.strip("[] "))
        elif kind is not None:
            name, equals, module = (part.strip() for part in line.partition("="))
            wrong = not (equals and name and _MODULE.fullmatch(module))
            error = f"{folder}/entry_points.txt:{number}: {line!r} is not 'word = module'" if wrong else ""
            found.append(Declared(kind=kind, name=name or line, module="" if wrong else module, error=error))
    return found


def stem_of(folder: str) -> str:
    """A distribution's name in one spelling, by the name of its metadata's folder."""
    return canonical(os.path.splitext(os.path.basename(folder))[0].partition("-")[0])


def canonical(name: str) -> str:
    """A distribution's name in one spelling ("Names and normalization" of the same guide)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.lru_cache(maxsize=1024)
def _read(folder: str) -> Distribution:
    stem = stem_of(folder)
    for name in ("METADATA", "PKG-INFO"):
        try:
            text = Path(folder, name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        return _parsed(text, stem, folder)
    error = f"{folder} has no METADATA: pip install --force-reinstall {stem}"
    return Distribution(name=stem, version="", error=error)


def _parsed(text: str, stem: str, folder: str) -> Distribution:
    """What the head of a metadata file says; the description that follows is not looked at."""
    head: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line:
            break
        key, _, value = line.partition(":")
        head.setdefault(key.lower(), []).append(value.strip())
    name, version = (head.get(key, [""])[0] for key in ("name", "version"))
    error = ""
    if not name or not version:
        lacking = "name" if not name else "version"
        error = f"{folder}: the metadata has no {lacking}: pip install --force-reinstall {name or stem}"
    return Distribution(name=name or stem, version=version, requires=tuple(head.get("requires-dist", ())), error=error)
