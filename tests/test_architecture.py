"""The rooms of the house and the arrows between them, read from the imports of every module (AST)."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ARROWS = {"core": (), "driver": ("core",), "os": ("core",), "server": ("core",)}
"""What each kind of room may import, beside itself."""

LONGEST_MODULE = 400
LONGEST_FUNCTION = 80

PLATFORMS = {
    "azure",
    "azuread",
    "azureud",
    "ceph",
    "cinder",
    "csi-nfs",
    "csi-vfs",
    "dobs",
    "ebs",
    "ec2",
    "efs",
    "fittedcloud",
    "gce",
    "gcepd",
    "isilon",
    "loop",
    "openstack",
    "rackspace",
    "rbd",
    "s3fs",
    "scaleio",
    "vbox",
    "vfs",
    "virtualbox",
    "vmax",
    "xtremio",
}
"""Platforms' names: code outside of drivers that asks for one lacks a capability."""

OF_THE_SYSTEM = {"rexray_driver_ceph.session": ("rados", "rbd")}
"""Packages that no index has and only a system's own Python brings, by the program that is run with that."""


@dataclass(frozen=True)
class Room:
    """A distribution of the workspace."""

    name: str

    @property
    def kind(self) -> str:
        return self.name.split("-")[1]

    @functools.cached_property
    def project(self) -> dict[str, object]:
        table: dict[str, object] = tomllib.loads((ROOT / self.name / "pyproject.toml").read_text())
        return table

    @functools.cached_property
    def package(self) -> str:
        (package,) = (path for path in (ROOT / self.name / "src").iterdir() if path.is_dir())
        return package.name

    def modules(self) -> list[Module]:
        paths = sorted((ROOT / self.name / "src").rglob("*.py"))
        return [Module(self, path) for path in paths if "_pb" not in path.parts]


@dataclass(frozen=True)
class Module:
    """A module of a room that a person wrote."""

    room: Room
    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def name(self) -> str:
        parts = self.path.relative_to(ROOT / self.room.name / "src").with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text())

    def imports(self) -> Iterator[str]:
        """The dotted name of everything that it imports, wherever in it; relative ones stay in the room."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module


ROOMS = [Room(path.parent.name) for path in sorted(ROOT.glob("rexray-*/pyproject.toml"))]
MODULES = [module for room in ROOMS for module in room.modules()]
PACKAGES = {room.package: room for room in ROOMS}


def top(name: str) -> str:
    return name.partition(".")[0]


def forbid(faults: list[str]) -> None:
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_arrows_between_rooms(room: Room) -> None:
    allowed = {package for package, other in PACKAGES.items() if other.kind in ARROWS[room.kind]} | {room.package}
    forbid(
        [
            f"{module} imports {name}"
            for module in room.modules()
            for name in module.imports()
            if (top(name) in PACKAGES and top(name) not in allowed) or top(name) in ("tests", "conftest")
        ]
    )


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_no_module_of_another_room_is_named_in_a_string(room: Room) -> None:
    """What is loaded by name is loaded through an entry point, so the arrows hold there too."""
    others = [package for package in PACKAGES if package != room.package and package != "rexray"]
    if room.kind != "core":
        others = [package for package in others if PACKAGES[package].kind not in ARROWS[room.kind]]
    named = re.compile(rf"({'|'.join(map(re.escape, others))})([.:]\w+)*") if others else re.compile(r"(?!)")
    forbid(
        [
            f"{module}:{node.lineno} names {node.value!r}"
            for module in room.modules()
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and named.fullmatch(node.value)
        ]
    )


def test_core_and_drivers_are_synchronous() -> None:
    coroutines = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    faults = []
    for module in MODULES:
        if module.room.kind == "server":
            continue
        faults += [f"{module} imports {name}" for name in module.imports() if top(name) == "asyncio"]
        faults += [
            f"{module}:{node.lineno} is asynchronous" for node in ast.walk(module.tree) if isinstance(node, coroutines)
        ]
    forbid(faults)


def canonical(requirement: str) -> str:
    """The distribution that a requirement names, as metadata spells it."""
    name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def distributions_of(package: str) -> frozenset[str]:
    """The distributions that bring a top-level package."""
    if package in PACKAGES:  # an editable installation does not list its packages
        return frozenset({PACKAGES[package].name})
    return frozenset(canonical(name) for name in importlib.metadata.packages_distributions().get(package, ()))


def foreign_imports(module: Module) -> Iterator[str]:
    """What a module imports of others; not the stubs ``types_…``, which are only there while types are checked."""
    return (
        package
        for package in sorted({top(name) for name in module.imports()})
        if package not in sys.stdlib_module_names
        and package != module.room.package
        and not package.startswith("types_")
        and package not in OF_THE_SYSTEM.get(module.name, ())
    )


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_what_is_imported_is_declared(room: Room) -> None:
    """Only modules named after an extra import what the extra brings: ``rexray.csi``, ``rexray.cli.csi``."""
    project = room.project["project"]
    assert isinstance(project, dict)
    declared = {canonical(line) for line in project.get("dependencies", ())}
    extras = {
        extra: {canonical(line) for line in lines} for extra, lines in project.get("optional-dependencies", {}).items()
    }
    faults = []
    for module in room.modules():
        words = [word for part in module.name.split(".") for word in (part, part.partition("_")[0])]
        allowed = declared.union(*(extras[word] for word in words if word in extras))
        faults += [
            f"{module} imports {package}, which {room.name}/pyproject.toml does not declare for it"
            for package in foreign_imports(module)
            if not distributions_of(package) & allowed
        ]
    forbid(faults)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_what_is_declared_is_imported(room: Room) -> None:
    project = room.project["project"]
    assert isinstance(project, dict)
    imported = {
        dist for module in room.modules() for name in foreign_imports(module) for dist in distributions_of(name)
    }
    optional = [line for lines in project.get("optional-dependencies", {}).values() for line in lines]
    declared = {canonical(line) for line in (*project.get("dependencies", ()), *optional)}
    forbid([f"{room.name} declares {name} and imports nothing of it" for name in sorted(declared - imported)])


def compared_strings(node: ast.AST) -> Iterator[str]:
    """The literal strings that a comparison or a ``match`` compares with."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        items = [
            item
            for side in sides
            for item in (side.elts if isinstance(side, ast.Tuple | ast.Set | ast.List) else [side])
        ]
    elif isinstance(node, ast.MatchValue):
        items = [node.value]
    else:
        return
    yield from (item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str))


def test_no_room_asks_for_a_platform_by_name() -> None:
    forbid(
        [
            f"{module}:{getattr(node, 'lineno', 0)} asks for {word!r}: which capability is it about?"
            for module in MODULES
            if module.room.kind != "driver"
            for node in ast.walk(module.tree)
            for word in compared_strings(node)
            if word in PLATFORMS
        ]
    )


def test_modules_and_functions_are_short() -> None:
    faults = []
    for module in MODULES:
        lines = len(module.path.read_text().splitlines())
        if lines > LONGEST_MODULE:
            faults.append(f"{module}: {lines} lines, {LONGEST_MODULE} at most: look for the second thing in it")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    faults.append(f"{module}:{node.lineno} {node.name}: {length} lines, {LONGEST_FUNCTION} at most")
    forbid(faults)
