"""``rexray version``."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import click

from rexray import __version__
from rexray.cli.base import Command, current_app


@click.command(cls=Command)
def version() -> None:
    """Print the version."""
    facts = {
        "Binary": str(Path(sys.argv[0]).absolute()),
        "SemVer": __version__,
        "OsArch": f"{platform.system()}-{platform.machine()}",
        "Python": platform.python_version(),
    }
    chosen = current_app().format
    if chosen in ("", "table"):
        click.echo("REX-Ray\n-------")
        for name, value in facts.items():
            click.echo(f"{name}: {value}")
    else:
        from rexray.cli.output import emit

        emit([{name.lower(): value for name, value in facts.items()}], ["binary", "semver", "osarch", "python"])
