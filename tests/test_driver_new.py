"""A new author's first minute: outside of the checkout, in an empty folder, with the wheels and a fresh environment."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from author_parts import CONSTRAINTS, Author, new_author, uv
from rexray.scaffold.kinds import KINDS
from rexray.scaffold.naming import MAX_LENGTH


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], str]) -> Author:
    """An author before the first step."""
    return new_author(tmp_path_factory.mktemp("author"), tool("uv"))


def test_the_first_minute_of_a_new_author(author: Author, record_property: Callable[[str, object], None]) -> None:
    begin = time.monotonic()
    said = author.run("rexray", "driver", "new", "acme")
    assert "pip install -e . --group test" in said
    inside = "rexray-driver-acme"
    author.run("pip", "install", "--quiet", "-e", ".", inside=inside)
    tests = author.run("pytest", inside=inside)
    drivers = author.run("rexray", "driver", "ls")
    volumes = author.run("rexray", "volume", "ls", "-s", "acme")
    seconds = time.monotonic() - begin
    record_property("seconds", round(seconds, 1))
    print(f"the first minute took {seconds:.1f} s:", {key: round(value, 1) for key, value in author.seconds.items()})
    assert "| `acme` | storage | 0.1.0 |" in tests
    assert "| `acme` | node | 0.1.0 |" in tests
    assert "passed" in tests.splitlines()[-1]
    [line] = [line for line in drivers.splitlines() if line.startswith("acme ")]
    assert "rexray-driver-acme" in line
    assert "ready" in line
    assert volumes.split() == ["ID", "NAME", "STATUS", "SIZE"]
    assert "data" in author.run("rexray", "volume", "create", "data", "--size", "1", "-s", "acme")
    assert "available" in author.run("rexray", "volume", "ls", "-s", "acme")
    assert "failed" not in author.run("rexray", "driver", "check", "acme")
    said = author.run("rexray", "driver", "new", "acme", "--directory", "other", status=1)
    assert "rexray-driver-acme 0.1.0 has the storage plug-in of that name" in said


def test_what_is_built_of_it_is_one_typed_package_with_its_licence(author: Author, tool: Callable[[str], str]) -> None:
    author.run("rexray", "driver", "new", "built")
    out, project = author.folder / "dist", author.folder / "rexray-driver-built"
    uv(tool("uv"), "build", "--quiet", "--wheel", "-b", CONSTRAINTS, "--out-dir", out, project)
    listing = author.run("python", "-m", "zipfile", "-l", str(next(out.glob("*.whl"))))
    assert "rexray_driver_built/py.typed" in listing
    assert "licenses/LICENSE" in listing
    assert "tests/" not in listing


@pytest.mark.parametrize("name", ["acme", "x", "n" * MAX_LENGTH, "my-big-array2"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_typed_and_clean(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], str], kind: str, name: str
) -> None:
    """Whatever the name's length does to the lines."""
    new = [sys.executable, "-m", "rexray", "driver", "new", name, "--kind", kind, "--directory", "new"]
    commands = [new, [tool("ruff"), "format", "--check", "--no-cache", "."], [tool("ruff"), "check", "--no-cache", "."]]
    if name == "acme":
        cache = tmp_path_factory.getbasetemp() / "mypy"
        commands.append([tool("mypy"), "--cache-dir", str(cache)])
    for command in commands:
        where = tmp_path if command is new else tmp_path / "new"
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
