"""The reference of the command line: the help of every command as the program itself prints it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from rexray.cli.base import Group, load_command
from rexray.cli.root import CORE_COMMANDS, root
from rexray.registry import registry

WIDTH = 100
"""The columns that help is wrapped at."""


def reference(_: str) -> str:
    """A section for every command, in the order of ``rexray --help``, those it hides at the end."""
    width = {"terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(root, info_name="rexray", **{**root.context_settings, **width})
    return "\n".join([_section("rexray", root.get_help(context), 2, ()), *_of_root(context)])


def _of_root(context: click.Context) -> Iterator[str]:
    specs = {spec.name: spec for spec in (*registry().commands(), *CORE_COMMANDS)}
    shown = root.list_commands(context)
    for name in [*shown, *sorted(specs.keys() - set(shown))]:
        yield from _sections(load_command(name, specs[name].target), name, context, 2, ())


def _sections(
    command: click.Command, name: str, parent: click.Context, level: int, aliases: tuple[str, ...]
) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield _section(context.command_path, command.get_help(context), level, aliases)
    if not isinstance(command, click.Group):
        return
    others = command.aliases if isinstance(command, Group) else {}
    for word in command.list_commands(context):
        found = command.get_command(context, word)
        if found is not None and not found.hidden:
            also = tuple(sorted(alias for alias, target in others.items() if target == word))
            yield from _sections(found, word, context, min(level + 1, 4), also)


def _section(path: str, text: str, level: int, aliases: tuple[str, ...]) -> str:
    also = f"Also: {', '.join(f'`{alias}`' for alias in aliases)}\n\n" if aliases else ""
    return f"{'#' * level} {path}\n\n{also}```text\n{text.rstrip()}\n```\n"
