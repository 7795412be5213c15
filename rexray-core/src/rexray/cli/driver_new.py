"""``rexray driver new``: a distribution for a new driver, which passes its own tests at once."""

from __future__ import annotations

import shlex
from pathlib import Path
from string import Template

import click

from rexray.cli.base import Command
from rexray.scaffold.kinds import KINDS
from rexray.scaffold.naming import checked
from rexray.scaffold.writing import write


@click.command("new", cls=Command)
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    default="storage",
    show_default=True,
    help="What the driver is a driver of",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="The folder to write, which is missing or empty; the distribution's name here if not given",
)
def new_driver(name: str, kind: str, directory: Path | None) -> None:
    """Write a distribution for a new driver: code, tests that run the conformance kit, README, workflow, licence."""
    chosen = KINDS[kind]
    names = checked(name, chosen.prefix)
    folder = directory or Path(names.distribution)
    written = write(chosen, names, folder.absolute())
    click.echo(f"{folder}/ has the {kind} driver {name!r} in {len(written)} files. What comes next:")
    usage = Template(chosen.usage).substitute(name=name).splitlines()
    steps = (f"cd {shlex.quote(str(folder))}", "pip install -e . --group test", "pytest", "rexray driver ls", *usage)
    for line in dict.fromkeys(steps):
        click.echo(f"  {line}")
    click.echo("README.md says what is to be replaced by your own.")
