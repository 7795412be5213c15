"""Commands and groups that know the global flags, aliases, settings flags, and how to help."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.exceptions import NoSuchOption

from rexray.cli.app import App, all_settings
from rexray.errors import BrokenPlugin
from rexray.hints import nearest

FORMATS = ("table", "yaml", "json", "jsonp", "template")

DEFAULT_FORMAT = "tmpl"
"""The original's word for what is printed without any: by the template if there is one."""

Callback = Callable[[click.Context, click.Parameter, Any], None]


def app_of(ctx: click.Context) -> App:
    """The state of this run."""
    return ctx.find_root().ensure_object(App)


def current_app() -> App:
    """The state of the run whose command is executing."""
    return app_of(click.get_current_context())


def global_options() -> list[click.Option]:
    """The flags that every command takes, before or after its name."""
    return [
        _option("-c", "--config", "The REX-Ray configuration file", type=click.Path(path_type=Path)),
        _option("-d", "--debug", "Enables verbose output", is_flag=True, flag="--debug"),
        _option("-h", "--host", "The REX-Ray service address", flag="--host"),
        _option("-s", "--service", "The name of the storage service to use", flag="--service"),
        _option("-l", "--logLevel", "The log level: debug, info, warn or error", flag="--logLevel"),
        _option(
            "-v", "--verbose", "Also lists the flag of every setting in the help text", is_flag=True, is_eager=True
        ),
        _option(
            "-f",
            "--format",
            "The output's format: " + ", ".join(FORMATS),
            type=click.Choice([*FORMATS, DEFAULT_FORMAT]),
        ),
        _option("--template", "Print each row by this text, with column names in braces: '{id} {name}'"),
    ]


def _option(*words: str, flag: str = "", **more: Any) -> click.Option:
    """A global flag: the last word is its help; ``flag`` is the settings flag that it stands for, if any."""
    *names, help_text = words
    attribute = names[-1].lstrip("-")
    callback = _remember_flag(flag) if flag else _remember_attribute(attribute)
    return click.Option([*names, f"global_{attribute}"], help=help_text, expose_value=False, callback=callback, **more)


def _remember_flag(flag: str) -> Callback:
    def remember(ctx: click.Context, _: click.Parameter, value: object) -> None:
        if value not in (None, False):
            app_of(ctx).flags[flag] = "true" if value is True else str(value)

    return remember


def _remember_attribute(name: str) -> Callback:
    def remember(ctx: click.Context, _: click.Parameter, value: object) -> None:
        if value not in (None, False, DEFAULT_FORMAT):
            # A daemon changes its working directory, and reads the file again later.
            setattr(app_of(ctx), name, value.absolute() if isinstance(value, Path) else value)

    return remember


def _fold(word: str) -> str:
    """Long flags are taken in any case, for the original's generations disagree; ``-C`` is not ``-c``."""
    return word if len(word) == 1 else word.lower()


_CONTEXT = {"help_option_names": ["-?", "--help"], "token_normalize_func": _fold}


class _Shared(click.Command):
    """What commands and groups have in common."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["context_settings"] = {**_CONTEXT, **kwargs.get("context_settings", {})}
        super().__init__(*args, **kwargs)
        own = {name for param in self.params for name in param.opts}
        self.global_params = [option for option in global_options() if option.opts[-1] not in own]
        for option in self.global_params:
            option.opts = [name for name in option.opts if name not in own]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, then the global flags."""
        params = [*self.params, *self.global_params]
        help_option = self.get_help_option(ctx)
        return [*params, help_option] if help_option else params

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, taking out the flags of settings (``--csiDriver NAME``) on the way."""
        while True:
            try:
                return super().parse_args(ctx, list(args))
            except NoSuchOption as error:
                args = _take_setting_flag(app_of(ctx), error, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own flags, then the global ones, then with ``-v`` those of every setting."""
        help_option = self.get_help_option(ctx)
        own = [*self.params, *([help_option] if help_option else [])]
        _write_options(ctx, formatter, "Flags", own)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        _write_options(ctx, formatter, "Global Flags", self.global_params)
        if app_of(ctx).verbose:
            write_settings_flags(formatter)


def _write_options(
    ctx: click.Context, formatter: click.HelpFormatter, title: str, params: Sequence[click.Parameter]
) -> None:
    records = [record for param in params if (record := param.get_help_record(ctx)) is not None]
    if records:
        with formatter.section(title):
            formatter.write_dl(records)


def write_settings_flags(formatter: click.HelpFormatter) -> None:
    """List the flag and the variable of every setting of every installed distribution."""
    from rexray.settings import options_of

    for settings in all_settings():
        records = [
            (option.flags[0], f"{option.help} (${option.env[0]})") for option in options_of(settings) if option.flags
        ]
        if records:
            with formatter.section(f"Settings of {settings.__module__.split('.')[0]}"):
                formatter.write_dl(records)


def _take_setting_flag(app: App, error: NoSuchOption, args: list[str]) -> list[str]:
    """Move a settings flag and its value from the arguments to the app; raise the error if it is none."""
    from rexray.settings import options_of

    flags = {
        flag.lower(): option for settings in all_settings() for option in options_of(settings) for flag in option.flags
    }
    asked = error.option_name.lower()
    option = flags.get(asked)
    if option is None:
        known = [*(option.flags[0] for option in flags.values()), *_flags_of(error.ctx)]
        near = nearest(asked, (flag.lower() for flag in known), 0.75)
        raise NoSuchOption(
            error.option_name, possibilities=[flag for flag in known if flag.lower() == near][:1], ctx=error.ctx
        )
    for index, word in enumerate(args):
        if word.split("=", 1)[0].lower() != asked:
            continue
        name, equals, value = word.partition("=")
        rest = args[index + 1 :]
        if not equals:
            if option.type is bool:
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise click.BadOptionUsage(name, f"Option {name!r} requires an argument.", ctx=error.ctx)
        app.flags[option.flags[0]] = value
        if option.secret:
            _warn_of_secret(name, option.env[0], value)
        return args[:index] + rest
    raise error


def _warn_of_secret(flag: str, variable: str, value: str) -> None:
    """Say that a secret on the command line is none; where it is, is no secret."""
    import logging

    from rexray.secret_sources import is_source

    if not is_source(value):
        logging.getLogger(__name__).warning(
            "%s: every user of this host can read it on the command line: say file:/path, or set $%s", flag, variable
        )


def _flags_of(ctx: click.Context | None) -> list[str]:
    """The long flags of the command that is being parsed, as they are documented."""
    params = ctx.command.get_params(ctx) if ctx else []
    return [name for param in params for name in param.opts if name.startswith("--")]


class Command(_Shared):
    """A command with the global flags."""


def load_command(name: str, target: str) -> click.Command:
    """Import the command that ``target``, ``module:attribute``, is; ``BrokenPlugin`` if it is none."""
    module, _, attribute = target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    if not isinstance(command, click.Command):
        raise BrokenPlugin(f"command {name!r}: {target} is not a click command")
    return command


class Group(_Shared, click.Group):
    """A group with the global flags, whose commands may have aliases: ``@group.command("rm", aliases=("del",))``."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.aliases: dict[str, str] = {}
        self._targets: dict[str, str] = {}

    def command(  # type: ignore[override] # not as a bare decorator, which click's also is
        self, *args: Any, aliases: Sequence[str] = (), **kwargs: Any
    ) -> Callable[[Callable[..., Any]], click.Command]:
        """Click's decorator, and the other names of the command."""
        decorate = super().command(*args, **kwargs)

        def register(function: Callable[..., Any]) -> click.Command:
            command: click.Command = decorate(function)
            self.add_aliases(command, aliases)
            return command

        return register

    def add_aliases(self, command: click.Command, aliases: Sequence[str]) -> None:
        """Give a command of this group other names."""
        if command.name is not None:
            self.aliases.update(dict.fromkeys(aliases, command.name))

    def add_target(self, name: str, target: str, aliases: Sequence[str] = ()) -> None:
        """Give the group the command that ``target``, ``module:attribute``, is: imported when it is first needed."""
        self._targets[name] = target
        self.aliases.update(dict.fromkeys(aliases, name))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, sorted."""
        return sorted({*super().list_commands(ctx), *self._targets})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name or alias."""
        name = self.aliases.get(cmd_name, cmd_name)
        if name in self._targets:
            return load_command(name, self._targets[name])
        return super().get_command(ctx, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion for an unknown command (exit status 2)."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            names = [*self.list_commands(ctx), *self.aliases]
            near = nearest(args[0], names)
            hint = f" Did you mean {near!r}?" if near else ""
            raise click.UsageError(f"unknown command {args[0]!r} for {ctx.command_path!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


Group.group_class = Group
