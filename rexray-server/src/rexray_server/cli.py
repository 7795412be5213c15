"""``rexray service`` and its verbs; what they need is imported when they run."""

from __future__ import annotations

import sys

import click

from rexray.cli.app import App
from rexray.cli.base import Command, Group, current_app


@click.group(cls=Group)
def service() -> None:
    """The service controller."""


service.add_target("initsys", "rexray_server.hosts.cli:initsys")


@service.command("start", cls=Command)
@click.option("-f", "--foreground", is_flag=True, help="Run in the foreground and log to standard error.")
@click.option("--nopid", is_flag=True, help="Write no PID file.")
@click.option("--ready-fd", type=int, hidden=True, help="The file descriptor to tell readiness at.")
def start(foreground: bool, nopid: bool, ready_fd: int | None) -> None:
    """Start the service; in the background unless told otherwise."""
    app = current_app()
    if foreground:
        _serve(app, pid_file=not nopid, ready_fd=ready_fd)
        return
    from rexray_server import daemon

    arguments = _arguments(app)
    click.echo(daemon.start_in_background([*arguments, *(["--nopid"] if nopid else [])], app.paths))


def _arguments(app: App) -> list[str]:
    """The global flags and the settings flags of this run, for another one."""
    app.sources  # noqa: B018 a wrong configuration file is told here, not by the daemon
    words = [f"--config={app.config}"] if app.config else []
    return words + [flag if flag == "--debug" else f"{flag}={value}" for flag, value in app.flags.items()]


def _serve(app: App, *, pid_file: bool, ready_fd: int | None) -> None:
    from rexray_server.daemon import serve

    serve(app.sources, app.paths, reread=app.read_sources, pid_file=pid_file, ready_fd=ready_fd)


@service.command("stop", cls=Command)
def stop() -> None:
    """Stop the service: calls under way are finished, mounts stay."""
    from rexray_server import daemon

    click.echo(daemon.stop(current_app().paths))


@service.command("reload", cls=Command)
def reload() -> None:
    """Have the service read its settings anew; a wrong one changes nothing and is told here."""
    from rexray_server import daemon

    click.echo(daemon.reload(current_app().paths))


@service.command("restart", cls=Command, aliases=("force-reload",))
def restart() -> None:
    """Stop the service if it runs, and start it."""
    from rexray_server import daemon

    app = current_app()
    arguments = _arguments(app)
    click.echo(daemon.stop(app.paths))
    click.echo(daemon.start_in_background(arguments, app.paths))


@service.command("status", cls=Command)
def status() -> None:
    """Print whether the service runs, and its modules; exit status 0 running, 1 dead with a PID file, 3 stopped."""
    from rexray_server import daemon

    code, line = daemon.status(current_app().paths)
    click.echo(line)
    sys.exit(code)
