"""``rexray install``, ``rexray uninstall`` and ``rexray service initsys``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rexray.cli.base import Command, current_app
from rexray.paths import Paths, system_paths
from rexray_server.hosts.initsys import NAMES, UNKNOWN, detect

_root = click.option(
    "--root",
    type=click.Path(path_type=Path),
    default=Path("/"),
    help="Another tree to work in, such as a package's; nothing is run then.",
)
_init = click.option("--init", "init", type=click.Choice(NAMES), help="The init system, instead of the one found.")
_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@click.command("install", cls=Command)
@_root
@_init
@click.option("--program", default="", help="The command line of rexray for the unit or script; this one if not given.")
@click.option("--now", is_flag=True, help="Also start the service.")
@click.option("--force", is_flag=True, help="Replace files that somebody changed, but for rexray.env.")
@_dry_run
def install(root: Path, init: str | None, program: str, now: bool, force: bool, dry_run: bool) -> None:
    """Install REX-Ray as a service that starts at boot."""
    from rexray_server.hosts import install as work

    host = work.find_host(root, init or "", program, _paths(root))
    if now and not host.is_live:
        raise click.UsageError("--now and --root exclude each other: nothing runs in another tree")
    for line in work.install(host, now=now, force=force, dry_run=dry_run):
        click.echo(line)


@click.command("uninstall", cls=Command)
@_root
@_init
@_dry_run
def uninstall(root: Path, init: str | None, dry_run: bool) -> None:
    """Stop the service and remove what install wrote; volumes, mounts and the configuration stay."""
    from rexray_server.hosts import install as work

    host = work.find_host(root, init or work.installed_for(root), "", _paths(root))
    for line in work.uninstall(host, dry_run=dry_run):
        click.echo(line)


@click.command("initsys", cls=Command)
def initsys() -> None:
    """Print the init system of this host: systemd, update-rc.d or chkconfig; exit status 1 for any other."""
    found = detect()
    click.echo(found)
    sys.exit(found == UNKNOWN)


def _paths(root: Path) -> Paths:
    """The directories of the service: another tree has the system's, whoever writes it."""
    return current_app().paths if root.absolute() == Path("/") else system_paths()
