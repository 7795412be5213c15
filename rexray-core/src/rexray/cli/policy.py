"""``rexray policy``: what a driver's credentials have to be allowed to do."""

from __future__ import annotations

import click

from rexray.cli.base import Command, current_app
from rexray.cli.output import dump
from rexray.errors import InvalidRequest, Unsupported
from rexray.mixins import HasPolicy
from rexray.registry import registry


@click.command("policy", cls=Command)
@click.argument("driver", metavar="DRIVER")
def policy(driver: str) -> None:
    """Print the least policy that a storage driver's credentials need, in the platform's own form.

    What the settings switch off, such as rexray.volume.remove.disable, is left out. No credentials are needed.
    """
    app = current_app()
    if app.template or app.format == "template":
        raise InvalidRequest("a policy has no columns for a template: leave it out")
    found = registry().storage_driver(driver)
    if not issubclass(found, HasPolicy):
        raise Unsupported(f"storage driver {found.name!r} does not say what its credentials need: it has no HasPolicy")
    click.echo(dump(found.policy(app.sources), app.format if app.format in ("yaml", "json") else "jsonp"))
