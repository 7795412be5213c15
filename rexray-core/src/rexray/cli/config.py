"""``rexray config``: what the settings are, whether the files are right, and what can be written in them."""

from __future__ import annotations

import os
from pathlib import Path

import click

from rexray import modules, services
from rexray.cli.app import all_settings
from rexray.cli.base import Group, current_app
from rexray.cli.output import Row, emit, is_plain
from rexray.errors import AlreadyExists, NotFound
from rexray.settings import Effective

SHOWN = ("key", "value", "origin")
"""The columns of ``config show``; JSON and YAML also have the ``place`` in a file, the ``env`` and the ``flag``."""

WRONG = ("file", "line", "column", "key", "message")
"""The columns of ``config check``; ``line`` and ``column`` are null where they are not known."""


@click.group(cls=Group)
def config() -> None:
    """The settings and the files that they are in."""


@config.command()
@click.option("--all", "every", is_flag=True, help="Also the settings that nobody has set.")
@click.option("--module", help="As they hold for the module of the service that has this name.")
def show(every: bool, module: str | None) -> None:
    """Print the settings that are not left at their defaults, and where each is set; secret values are hidden."""
    sources = current_app().sources
    sources = services.scoped(modules.scoped(sources, module) if module else sources)
    rows = [
        _row(found)
        for settings in all_settings()
        for found in sources.effective(settings)
        if every or found.origin != "default"
    ]
    rows.sort(key=lambda row: str(row["key"]))
    emit(rows, SHOWN)


def _row(found: Effective) -> Row:
    option = found.option
    return {
        "key": option.key,
        "value": option.show(found.value),
        "origin": found.where if found.key else found.origin,
        "env": option.env[0],
        "flag": option.flags[0] if option.flags else "",
    }


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def check(file: Path | None) -> None:
    """Check the configuration files and the variables that are read, or one FILE by itself, and list all that is wrong.

    Nothing else is done. The exit status is 1 if anything is wrong.
    """
    from rexray.secret_sources import warn_if_readable
    from rexray.settings_check import check as check_files
    from rexray.settings_check import literal_secrets
    from rexray.settings_files import Finding, existing
    from rexray.settings_renamed import wrong_variables
    from rexray.settings_unknown import unread_variables

    app = current_app()
    paths = existing([], file) if file else existing(app.paths.config_files, app.config)
    variables = {} if file else wrong_variables(os.environ)
    if not paths and not variables:
        looked = ", ".join(str(path) for path in app.paths.config_files)
        raise NotFound(f"there is no configuration file; looked for {looked}")
    findings = check_files(paths)
    findings += [Finding(file="the environment", place=None, key=key, message=variables[key]) for key in variables]
    if is_plain():
        for finding in findings:
            click.echo(finding)
        for path in paths:
            if not any(finding.file == str(path) for finding in findings):
                click.echo(f"{path}: nothing is wrong")
    else:
        emit(
            (
                {
                    "file": finding.file,
                    "line": finding.place[0] if finding.place else None,
                    "column": finding.place[1] if finding.place else None,
                    "key": finding.key,
                    "message": finding.message,
                }
                for finding in findings
            ),
            WRONG,
        )
    for message in () if file else unread_variables(os.environ):
        click.echo(message, err=True)
    for path in literal_secrets(paths):
        warn_if_readable(str(path))
    if findings:
        raise click.exceptions.Exit(1)


@config.command()
def schema() -> None:
    """Print a JSON Schema (2020-12) of the configuration files, for editors."""
    import json

    from rexray.settings_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=1, ensure_ascii=False))


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def init(file: Path | None) -> None:
    """Write a FILE, else the system's config.yml, with every setting commented out; one that exists is left alone."""
    from rexray.settings_starter import starter

    path = file or current_app().paths.config_files[0]
    text = starter(all_settings())
    if not file:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise AlreadyExists(f"{path}: it exists, and is not written over: name another file") from None
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        os.fchmod(handle, 0o600)
        opened.write(text)
    click.echo(f"{path} is written")
