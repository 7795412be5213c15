"""The flags of ``rexray csi`` that say whom to call, and the commands and groups that have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from rexray.cli.base import Command, Group, app_of
from rexray.cli.csi.values import duration, key_values
from rexray.csi.settings import CSISettings, parse_endpoint
from rexray.errors import SettingsError

DEFAULT_TIMEOUT = 60.0

_META = "rexray.csi."


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Whom to call and how; ``timeout`` is in seconds, for each call."""

    endpoint: str
    timeout: float
    metadata: tuple[tuple[str, str], ...]


def connection_of(ctx: click.Context) -> Connection:
    """What the flags of a run say, and the settings where there is no flag."""
    app = app_of(ctx)
    metadata: Mapping[str, str] = ctx.meta.get(_META + "metadata", {})
    return Connection(
        endpoint=ctx.meta.get(_META + "endpoint") or app.load(CSISettings).endpoint_or_default(app.paths),
        timeout=ctx.meta.get(_META + "timeout", DEFAULT_TIMEOUT),
        metadata=tuple(metadata.items()),
    )


def _options() -> list[click.Parameter]:
    """The flags, as every verb and group takes them: they may stand anywhere on the line."""
    return [
        click.Option(
            ["-e", "--endpoint"],
            metavar="ENDPOINT",
            help="The CSI endpoint [$CSI_ENDPOINT]",
            expose_value=False,
            callback=_remember_endpoint,
        ),
        click.Option(
            ["-t", "--timeout"],
            help="How long one call may take, such as 500ms, 30s or 1m30s [1m]",
            type=duration,
            metavar="DURATION",
            expose_value=False,
            callback=_remember,
        ),
        click.Option(
            ["-m", "--metadata"],
            help="gRPC metadata of every call, key=value,...; repeatable",
            type=key_values,
            metavar="KEY=VALUE,...",
            multiple=True,
            expose_value=False,
            callback=_remember_pairs,
        ),
    ]


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is not None:
        ctx.meta[f"{_META}{param.name}"] = value


def _remember_endpoint(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        try:
            parse_endpoint(value)
        except SettingsError as error:
            raise click.BadParameter(str(error), ctx, param) from None
    _remember(ctx, param, value)


def _remember_pairs(ctx: click.Context, param: click.Parameter, value: Sequence[Mapping[str, str]]) -> None:
    known = ctx.meta.setdefault(f"{_META}{param.name}", {})
    for pairs in value:
        known.update({key.lower(): item for key, item in pairs.items()})  # gRPC knows lower-case keys only


class Verb(Command):
    """A command that makes calls."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["params"] = [*(kwargs.get("params") or []), *_options()]
        super().__init__(*args, **kwargs)


class VerbGroup(Group):
    """A group of verbs, each under a name and any number of aliases that are this group's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["params"] = [*(kwargs.get("params") or []), *_options()]
        super().__init__(*args, **kwargs)

    def add(self, command: click.Command, name: str, *aliases: str) -> None:
        """Take a command into the group; another group may have the same one by other names."""
        self.add_command(command, name)
        self.aliases.update(dict.fromkeys(aliases, name))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order in which they were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their aliases."""
        records = []
        for name in self.list_commands(ctx):
            aliases = [alias for alias, target in self.aliases.items() if target == name]
            records.append((", ".join([name, *aliases]), self.commands[name].get_short_help_str(100)))
        with formatter.section("Available Commands"):
            formatter.write_dl(records)
