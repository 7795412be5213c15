"""Writing a new distribution: all of it, or nothing."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import types
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from rexray._version import __version__
from rexray.errors import AlreadyExists, NotFound
from rexray.scaffold.kinds import Kind
from rexray.scaffold.naming import Names
from rexray.testing.readme import settings_table

_ENDING = ".tmpl"
_DOT = "dot-"
_PACKAGE = "package"


def write(kind: Kind, names: Names, folder: Path) -> tuple[str, ...]:
    """Write the distribution into a folder that is missing or empty; the paths of its files, sorted.

    ``AlreadyExists`` if something is there. A new folder gets its name when all of it is written, so that a process
    that is killed leaves none. One that is there stays the one that it is, for somebody may be working in it.
    """
    refuse_existing(folder)
    if not folder.parent.is_dir():
        raise NotFound(f"{folder.parent} is no directory: make it first")
    rendered = render(kind, names)
    try:
        _write(rendered, folder)
    except OSError as error:
        raise OSError(error.errno, error.strerror, error.filename or str(folder)) from error
    return tuple(sorted(rendered))


def _write(rendered: Mapping[str, str], folder: Path) -> None:
    is_there = folder.is_dir()
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=folder if is_there else folder.parent))
    try:
        for path, text in rendered.items():
            target = scratch / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        if is_there:
            _move(scratch, folder)
            return
        scratch.chmod(0o777 & ~_umask())
        try:
            os.rename(scratch, folder)  # rename(2) replaces an empty directory, and no other
        except OSError:
            refuse_existing(folder)
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _move(scratch: Path, folder: Path) -> None:
    """Move what is in the one into the other; nothing if something is there besides."""
    if any(item != scratch for item in folder.iterdir()):
        raise AlreadyExists(f"{folder} is not empty: nothing was written; choose another by --directory")
    for item in sorted(scratch.iterdir()):
        item.rename(folder / item.name)


def refuse_existing(folder: Path) -> None:
    """``AlreadyExists`` if there is something at the path, other than an empty directory."""
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() and not folder.is_symlink() else "exists and is no directory"
        raise AlreadyExists(f"{folder} {what}: nothing was written; choose another by --directory")


def render(kind: Kind, names: Names) -> dict[str, str]:
    """The distribution's files by their paths."""
    values = {
        "name": names.name,
        "kind": kind.name,
        "distribution": names.distribution,
        "package": names.package,
        "Class": names.class_prefix,
        "key": names.key,
        "ENV": names.key.upper(),
        "group": kind.group,
        "extra": kind.extra,
        "contract": contract(),
        "stubs": "".join(f', "{word}"' for word in kind.stubs),
    }
    for field in ("summary", "about", "usage", "where", "live"):
        values[field] = Template(getattr(kind, field)).substitute(values)
    templates = dict(_templates(kind))
    settings = f"src/{_PACKAGE}/settings.py"
    source = Template(templates[settings]).substitute(values)
    values["settings_table"] = _table_of(source, f"{names.class_prefix}Settings")
    return {
        path.replace(f"/{_PACKAGE}/", f"/{names.package}/"): Template(text).substitute(values)
        for path, text in templates.items()
    }


def contract(version: str = __version__) -> str:
    """The range of contracts that a driver written for this version keeps to: to the next that may break it."""
    major, minor = (int(part) for part in version.split(".")[:2])
    following = f"{major}.{minor + 1}" if major == 0 else f"{major + 1}"
    return f">={major}.{minor},<{following}"


def _templates(kind: Kind) -> Iterator[tuple[str, str]]:
    root = files("rexray.scaffold") / "templates"
    for folder in ("common", kind.name):
        yield from _below(root / folder, "")


def _below(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for item in folder.iterdir():
        name = "." + item.name.removeprefix(_DOT) if item.name.startswith(_DOT) else item.name
        if item.is_dir():
            yield from _below(item, f"{path}{name}/")
        elif name.endswith(_ENDING):
            yield path + name.removesuffix(_ENDING), item.read_text(encoding="utf-8")


def _table_of(source: str, name: str) -> str:
    """The table of a settings class that is not installed yet: its module is run, and forgotten again."""
    module = types.ModuleType("rexray_scaffold_settings")
    sys.modules[module.__name__] = module  # where dataclasses and annotations look things up
    try:
        exec(compile(source, "settings.py", "exec"), vars(module))
        return settings_table(vars(module)[name])
    finally:
        del sys.modules[module.__name__]


def _umask() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):  # proc_pid_status(5); umask(2) cannot be read without being set
            return int(line.split()[1], 8)
    return 0o022
