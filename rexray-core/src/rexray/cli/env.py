"""``rexray env``: the effective settings, as the environment variables that would set them."""

from __future__ import annotations

import shlex

import click

from rexray import services
from rexray.cli.app import all_settings
from rexray.cli.base import Command, current_app
from rexray.cli.output import emit


@click.command(cls=Command)
@click.option("--origin", is_flag=True, help="Also say where each value comes from.")
def env(origin: bool) -> None:
    """Print the effective settings, those of the chosen service where some are configured; secret values are hidden."""
    app = current_app()
    sources = services.scoped(app.sources)
    rows = [
        {
            "name": found.option.env[0],
            "value": found.option.show(found.value),
            "origin": found.origin,
            "key": found.option.key,
        }
        for settings in all_settings()
        for found in sources.effective(settings)
    ]
    rows.sort(key=lambda row: row["name"])
    if app.format in ("", "table") and not app.template:
        for row in rows:
            line = f"{row['name']}={shlex.quote(row['value']) if row['value'] else ''}"
            click.echo(f"{line}  # {row['origin']}" if origin else line)
    else:
        emit(rows, ("name", "value", "origin", "key") if origin else ("name", "value"))
