"""The distributions as users get them: their wheels, and installing them with pip."""

from __future__ import annotations

import email
import functools
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
MEMBERS = sorted(path.parent.name for path in ROOT.glob("rexray-*/pyproject.toml"))

each_member = pytest.mark.parametrize("member", MEMBERS)


@dataclass(frozen=True)
class Wheel:
    """A built wheel."""

    path: Path

    @functools.cached_property
    def names(self) -> list[str]:
        with zipfile.ZipFile(self.path) as archive:
            return archive.namelist()

    def read(self, ending: str) -> str:
        (name,) = (name for name in self.names if name.endswith(ending))
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(name).decode()

    @functools.cached_property
    def metadata(self) -> Message:
        return email.message_from_string(self.read(".dist-info/METADATA"))

    def requirements(self) -> list[Requirement]:
        return [Requirement(line) for line in self.metadata.get_all("Requires-Dist") or ()]


def run(*command: str | Path) -> str:
    """Run a command in the checkout; what it printed, on both streams."""
    done = subprocess.run(command, check=False, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{command}:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str], str]) -> dict[str, Wheel]:
    """The wheel of every member, built by way of its source distribution."""
    built = {}
    for member in MEMBERS:
        directory = tmp_path_factory.mktemp(member)
        run(tool("uv"), "build", "--no-sources", "-b", CONSTRAINTS, "--out-dir", directory, member)
        (path,) = directory.glob("*.whl")
        built[member] = Wheel(path)
    return built


@each_member
def test_a_wheel_is_one_typed_package_with_its_licence(wheels: dict[str, Wheel], member: str) -> None:
    wheel = wheels[member]
    tops = {name.partition("/")[0] for name in wheel.names}
    (package,) = (top for top in tops if not top.endswith(".dist-info"))
    assert f"{package}/py.typed" in wheel.names
    assert wheel.metadata["License-Expression"] == "Apache-2.0"
    assert wheel.metadata["Summary"]
    assert wheel.metadata.get_payload()
    assert wheel.read(".dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_text()


@each_member
def test_a_wheel_holds_the_committed_package_and_nothing_else(wheels: dict[str, Wheel], member: str) -> None:
    source = ROOT / member / "src"
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    wanted = {name for name in files if "__pycache__" not in name}
    assert {name for name in wheels[member].names if ".dist-info/" not in name} == wanted


def test_the_protocol_of_csi_is_in_the_core(wheels: dict[str, Wheel]) -> None:
    assert "rexray/csi/csi.proto" in wheels["rexray-core"].names


@each_member
def test_entry_points_resolve(member: str) -> None:
    points = importlib.metadata.distribution(member).entry_points
    assert points
    for point in points:
        point.load()


def test_versions_are_in_step(wheels: dict[str, Wheel]) -> None:
    versions = {wheel.metadata["Version"] for wheel in wheels.values()}
    assert len(versions) == 1
    version = versions.pop()
    for member, wheel in wheels.items():
        siblings = [requirement for requirement in wheel.requirements() if requirement.name in MEMBERS]
        assert member == "rexray-core" or siblings
        for sibling in siblings:
            assert sibling.specifier.contains(version), f"{member} needs {sibling}, the workspace is at {version}"
    ranges = {
        str(requirement.specifier)
        for wheel in wheels.values()
        for requirement in wheel.requirements()
        if requirement.name in MEMBERS
    }
    assert len(ranges) == 1, "siblings are asked for in one range"


def test_the_same_python_everywhere() -> None:
    files = [ROOT / "pyproject.toml", *(ROOT / member / "pyproject.toml" for member in MEMBERS)]
    assert {tomllib.loads(path.read_text())["project"]["requires-python"] for path in files} == {">=3.11"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_runs_here_is_what_the_constraints_say() -> None:
    pinned = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#"))
    for distribution in importlib.metadata.distributions():
        name = canonical(distribution.name)
        if name not in MEMBERS:
            assert pinned.get(name) == distribution.version, f"{name}: say 'make constraints'"


@pytest.fixture
def environment(tmp_path: Path, tool: Callable[[str], str]) -> Path:
    """A fresh virtual environment with pip in it."""
    path = tmp_path / "venv"
    run(tool("uv"), "venv", "--quiet", "--python", sys.executable, path)
    run(tool("uv"), "pip", "install", "--quiet", "--python", path, "-c", CONSTRAINTS, "pip")
    return path


def pip_install(environment: Path, *members: str) -> None:
    pip = (environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--build-constraint", CONSTRAINTS, "-c", CONSTRAINTS, *(f"./{member}" for member in members))


def test_pip_installs_the_checkout(environment: Path) -> None:
    """The way of a user who has a checkout and pip."""
    pip_install(environment, *MEMBERS)
    rexray = environment / "bin" / "rexray"
    assert importlib.metadata.version("rexray-core") in run(rexray, "version")
    assert "service" in run(rexray, "--help")
    listing = run(rexray, "driver", "ls")
    assert "csi-vfs" in listing
    assert "broken" not in listing


def test_the_core_alone_is_a_program(environment: Path) -> None:
    """Without the server and without gRPC: it answers, and says what to install for the rest."""
    pip_install(environment, "rexray-core")
    rexray = environment / "bin" / "rexray"
    assert "volume" in run(rexray, "--help")
    run(rexray, "version")
    run(rexray, "driver", "ls")
    for words, missing in (("start",), "rexray-server"), (("csi", "ls"), "rexray-core[csi]"):
        environ = {**os.environ, "CSI_ENDPOINT": "csi.sock"}
        done = subprocess.run([rexray, *words], check=False, capture_output=True, text=True, env=environ)
        assert done.returncode != 0
        assert f"pip install {missing}" in done.stderr.replace("'", ""), done.stderr
        assert "Traceback" not in done.stderr
