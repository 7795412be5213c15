"""What people ask for most often must not wait for heavy libraries: which modules each command imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SDKS = ("grpc", "werkzeug", "h11", "asyncio", "boto3", "botocore")
HEAVY = (*SDKS, "google.protobuf", "yaml", "rexray.csi.volumes")

RUN_AND_LIST_MODULES = """
import pathlib, sys
from rexray.cli import main
try:
    main(sys.argv[2:])
finally:
    pathlib.Path(sys.argv[1]).write_text(" ".join(sys.modules))
"""


def modules_after(words: list[str], home: Path) -> set[str]:
    """The modules in memory when ``rexray WORDS`` is through, in a home without any configuration."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("REXRAY_", "X_CSI_"))}
    environment |= {"HOME": str(home), "REXRAY_HOME": str(home)}
    listing = home / "modules"
    command = [sys.executable, "-c", RUN_AND_LIST_MODULES, str(listing), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(listing.read_text().split())


@pytest.mark.parametrize(
    "words",
    [["--help"], ["version"], ["version", "--help"]],
    ids=lambda words: " ".join(words),
)
def test_light_commands_import_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    loaded = modules_after(words, tmp_path)
    assert "rexray.cli.root" in loaded
    assert not sorted(name for name in HEAVY if name in loaded)


def test_listing_the_drivers_imports_their_classes_and_no_sdk(tmp_path: Path) -> None:
    loaded = modules_after(["driver", "ls"], tmp_path)
    assert "rexray.registry" in loaded
    assert not sorted(name for name in SDKS if name in loaded)


def test_the_core_knows_the_servers_commands_by_the_servers_own_words() -> None:
    from rexray import catalog
    from rexray.cli.root import SERVER_COMMANDS, SERVER_PLUGIN
    from rexray_server import plugin

    assert catalog.find("commands", SERVER_PLUGIN).module == plugin.__name__
    theirs = {(spec.name, spec.help, spec.hidden) for spec in plugin.rexray_commands()}
    assert {(spec.name, spec.help, spec.hidden) for spec in SERVER_COMMANDS} == theirs
