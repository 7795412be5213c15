"""What loading a plug-in taught, remembered on disk, so that listing drivers need not import them again.

A plug-in's facts hold while nothing has changed that they came from: Python's and the core's version, the stamps of
the distribution's metadata and of the folder that it is installed in, and path, stamp and size of every Python file
of its package. Facts of broken plug-ins are not kept. Nothing here can make anything fail: what cannot be read is
learned again, what cannot be written is not.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rexray._version import __version__
from rexray.catalog import Entry

_FORMAT = 1
_LARGEST = 8 << 20
"""Bytes; a larger file is none of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a loaded plug-in.

    ``viability`` is ``module:function`` where that alone says whether the driver can work here, ``always`` where it
    always can, and empty where its class has to be asked.
    """

    name: str
    aliases: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    milliseconds: float = 0.0
    distribution: str = ""
    version: str = ""
    contract: str = ""
    viability: str = ""
    commands: tuple[tuple[str, str, str, bool], ...] = ()
    """The name, help, target and hiding of each command that it brings."""


class Remembered:
    """The facts in one file, read when it is first asked."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._new: dict[str, dict[str, Any]] = {}
        self._packages: dict[str, list[Any] | None] = {}

    @functools.cached_property
    def _known(self) -> dict[str, dict[str, Any]]:
        return _read(self._file) if self._file else {}

    def get(self, entry: Entry) -> Facts | None:
        """The facts of a plug-in, None if they are not known or hold no longer."""
        kept = self._known.get(_key(entry))
        if kept is None or kept.get("fingerprint") != self._fingerprint(entry):
            return None
        return _facts(kept.get("facts"))

    def put(self, entry: Entry, facts: Facts) -> None:
        """Remember the facts of a plug-in; :meth:`save` writes them."""
        if fingerprint := self._fingerprint(entry):
            place = entry.metadata.folder if entry.metadata else str(entry.file.path) if entry.file else ""
            self._new[_key(entry)] = {"place": place, "fingerprint": fingerprint, "facts": asdict(facts)}

    def save(self) -> None:
        """Write what is new, beside what others have written meanwhile; what is gone is forgotten."""
        if not self._new or self._file is None:
            return
        kept = {key: item for key, item in _read(self._file).items() if os.path.exists(str(item.get("place")))}
        with contextlib.suppress(OSError, ValueError):
            _write(self._file, {"format": _FORMAT, "plugins": kept | self._new})
        self._new.clear()

    def _fingerprint(self, entry: Entry) -> str:
        """Stands for all that the facts came from; empty where that cannot be told."""
        place = entry.metadata.folder if entry.metadata else str(entry.file.path) if entry.file else ""
        if not place or entry.error:
            return ""
        package = entry.module.partition(".")[0] if entry.metadata else ""
        if package and package not in self._packages:
            self._packages[package] = _files_of(package)
        files = self._packages.get(package, [])
        if files is None:
            return ""
        stamps = [_stamp(path) for path in (place, os.path.dirname(place))]
        stamps += [_stamp(os.path.join(place, name)) for name in ("METADATA", "entry_points.txt")]
        whole = repr([_FORMAT, __version__, sys.version, place, stamps, files])
        return hashlib.blake2b(whole.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


@functools.cache
def remembered() -> Remembered:
    """What this user's processes have learned of the plug-ins of this installation of Python."""
    return Remembered(_place())


def _place() -> Path | None:
    """Where the file is, after the XDG Base Directory Specification; None where there is no home for it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.cache")
    if not os.path.isabs(base):
        return None
    which = hashlib.blake2b(f"{sys.executable}\0{sys.prefix}".encode("utf-8", "surrogateescape"), digest_size=8)
    return Path(base, "rexray", f"plugins-{which.hexdigest()}.json")


def _key(entry: Entry) -> str:
    place = entry.metadata.folder if entry.metadata else entry.file.path if entry.file else ""
    return f"{entry.kind} {entry.name} {entry.module} {place}"


def _files_of(package: str) -> list[Any] | None:
    """Path, stamp and size of every Python file of a package; None where it does not lie in files."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations is None:
        return [_stamp(spec.origin)] if spec.origin and os.path.isfile(spec.origin) else None
    found: list[Any] = []
    for folder in spec.submodule_search_locations:
        found += _below(folder)
    return sorted(found) or None


def _below(folder: str) -> Iterator[tuple[str, int, int]]:
    try:
        with os.scandir(folder) as items:
            for item in items:
                if item.name.endswith(".py"):
                    state = item.stat()
                    yield item.path, state.st_mtime_ns, state.st_size
                elif item.name != "__pycache__" and item.is_dir(follow_symlinks=False):
                    yield from _below(item.path)
    except OSError:
        yield folder, -1, -1


def _stamp(path: str) -> tuple[str, int, int]:
    try:
        state = os.stat(path)
    except OSError:
        return path, -1, -1
    return path, state.st_mtime_ns, 0 if stat.S_ISDIR(state.st_mode) else state.st_size


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """What is in the file; nothing if it is damaged, or somebody else could have written it."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return {}
    try:
        with open(descriptor, "rb") as opened:
            state = os.fstat(descriptor)
            ours = stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid() and not state.st_mode & 0o022
            content = json.loads(opened.read(_LARGEST)) if ours else {}
    except (OSError, ValueError, RecursionError):
        return {}
    plugins = content.get("plugins") if isinstance(content, dict) and content.get("format") == _FORMAT else None
    if not isinstance(plugins, dict):
        return {}
    return {key: item for key, item in plugins.items() if isinstance(item, dict)}


def _facts(kept: object) -> Facts | None:
    """Facts as they were kept; None if they are not what we write."""
    if not isinstance(kept, dict) or kept.keys() != {field.name for field in fields(Facts)}:
        return None
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in kept.items()}
    commands = values.pop("commands")
    defaults = Facts(name="")
    for key, value in values.items():
        if not isinstance(value, type(getattr(defaults, key))):
            return None
        if isinstance(value, tuple) and not all(isinstance(word, str) for word in value):
            return None
    if not isinstance(commands, tuple) or not all(isinstance(one, list) and len(one) == 4 for one in commands):
        return None
    return Facts(**values, commands=tuple((str(one[0]), str(one[1]), str(one[2]), bool(one[3])) for one in commands))


def _write(file: Path, content: object) -> None:
    """Put a new file in the place of the old one; its mode is 0600, as ``mkstemp`` makes it."""
    import tempfile  # rarely is there something to write

    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as opened:
            json.dump(content, opened, ensure_ascii=False, separators=(",", ":"))
        os.replace(temporary, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
