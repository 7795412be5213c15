"""The root of the command line: which commands there are, each imported only when it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from rexray.cli.base import Group, app_of, load_command, write_settings_flags
from rexray.cli.commands import CommandSpec
from rexray.cli.discovery import command_plugins
from rexray.errors import NotInstalled

CORE_COMMANDS = (
    CommandSpec(name="volume", help="The volume manager", target="rexray.cli.volume:volume"),
    CommandSpec(name="snapshot", help="The snapshot manager", target="rexray.cli.snapshot:snapshot"),
    CommandSpec(name="device", help="The device manager", target="rexray.cli.device:device"),
    CommandSpec(name="driver", help="The driver manager", target="rexray.cli.driver:driver"),
    CommandSpec(name="policy", help="What a driver's credentials need", target="rexray.cli.policy:policy"),
    CommandSpec(name="csi", help="A client for any CSI endpoint", target="rexray.cli.csi:csi"),
    CommandSpec(name="config", help="The settings and their files", target="rexray.cli.config:config"),
    CommandSpec(name="env", help="Print the effective settings", target="rexray.cli.env:env"),
    CommandSpec(name="version", help="Print the version", target="rexray.cli.version:version"),
    CommandSpec(name="help", help="Help about any command", target="rexray.cli.root:help_command"),
)
"""The commands of the core itself."""

SERVER_COMMANDS = (
    CommandSpec(name="service", help="The service controller", target=""),
    CommandSpec(name="deploy", help="What runs REX-Ray elsewhere", target=""),
    CommandSpec(name="install", help="Install the service on this host", target=""),
    CommandSpec(name="uninstall", help="Remove the service from this host", target=""),
    CommandSpec(name="start", help="Start the service", target="", hidden=True),
    CommandSpec(name="stop", help="Stop the service", target="", hidden=True),
    CommandSpec(name="restart", help="Restart the service", target="", hidden=True),
    CommandSpec(name="status", help="Print whether the service runs", target="", hidden=True),
)
"""The commands that rexray-server brings, known here to say what to install when it is missing."""

SERVER_PLUGIN = "server"
"""The entry point that brings them."""

_ORDER = (
    "volume",
    "snapshot",
    "device",
    "driver",
    "service",
    "install",
    "uninstall",
    "deploy",
    "csi",
    "policy",
    "config",
    "env",
    "version",
    "help",
)


class Root(Group):
    """The ``rexray`` program with the commands of every installed distribution."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every visible command: the seed's first, others after them by name."""
        names = [spec.name for spec in self._specs().values() if not spec.hidden]
        return sorted(names, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name."""
        spec = _named(CORE_COMMANDS, cmd_name) or _named(_plugged(), cmd_name)
        if spec is None:
            if _named(SERVER_COMMANDS, cmd_name):
                _refuse_left_out(cmd_name)
                raise NotInstalled(f"'rexray {cmd_name}' is not installed: pip install rexray-server")
            return None
        return load_command(cmd_name, spec.target)

    def _specs(self) -> Mapping[str, CommandSpec]:
        """The commands for the help: the plug-ins are loaded only if one of them may bring others than these."""
        plugged: Sequence[CommandSpec] = ()
        if command_plugins() - {SERVER_PLUGIN}:
            plugged = _plugged()
        return {spec.name: spec for spec in (*SERVER_COMMANDS, *plugged, *CORE_COMMANDS)}

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help of the whole program."""
        formatter.write("REX-Ray:\n")
        formatter.write("  A guest-based storage introspection tool that enables local\n")
        formatter.write("  visibility and management from cloud and storage platforms.\n\n")
        formatter.write("Usage:\n  rexray [flags]\n  rexray [command]\n")
        specs = self._specs()
        with formatter.section("Available Commands"):
            formatter.write_dl([(name, specs[name].help) for name in self.list_commands(ctx)])
        with formatter.section("Flags"):
            formatter.write_dl(
                [
                    ('-c, --config="$HOME/.rexray/config.yaml"', "The REX-Ray configuration file"),
                    ("-d, --debug=false", "Enables verbose output"),
                    ("-?, --help=false", "Help for rexray"),
                    ('-h, --host="tcp://127.0.0.1:7979"', "The REX-Ray service address"),
                    ('-s, --service=""', "The name of the storage service to use"),
                    ('-l, --logLevel="info"', "The log level: debug, info, warn or error"),
                    ("-v, --verbose=false", "Also lists the flag of every setting"),
                    ('-f, --format="table"', "The output's format: table, yaml, json, jsonp or template"),
                    ('--template=""', "The text to print each row by, such as '{id} {name}'"),
                ]
            )
        if app_of(ctx).verbose:
            write_settings_flags(formatter)
        formatter.write('\nUse "rexray [command] --help" for more information about a command.\n')


def _plugged() -> Sequence[CommandSpec]:
    from rexray.listing import commands

    return commands()


def _refuse_left_out(command: str) -> None:
    """``NotInstalled`` if what brings the server's commands is installed, and only the allow-list leaves it out."""
    from rexray import allowed, catalog

    if any(entry.kind == "commands" and entry.name == SERVER_PLUGIN for entry in catalog.left_out()):
        remedy = f"put {SERVER_PLUGIN} there to use it"
        raise NotInstalled(f"'rexray {command}' is left out by ${allowed.VARIABLE}: {remedy}")


def _named(specs: Sequence[CommandSpec], name: str) -> CommandSpec | None:
    return next((spec for spec in specs if spec.name == name), None)


@click.group(cls=Root, invoke_without_command=True)
@click.pass_context
def root(ctx: click.Context) -> None:
    """REX-Ray."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@click.command("help")
@click.argument("words", nargs=-1)
@click.pass_context
def help_command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Help about any command."""
    context = ctx.find_root()
    for word in words:
        command = context.command
        found = command.get_command(context, word) if isinstance(command, click.Group) else None
        if found is None:
            raise click.UsageError(f"unknown command {' '.join(words)!r}")
        context = click.Context(found, info_name=word, parent=context)
    click.echo(context.get_help())
