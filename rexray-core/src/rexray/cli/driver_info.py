"""``rexray driver info``: all that is known of one driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from rexray import allowed, catalog
from rexray.cli.base import Command
from rexray.cli.driver import driver_row
from rexray.cli.output import cell, emit, is_plain, table
from rexray.errors import BrokenPlugin, NotInstalled, PluginError
from rexray.hints import nearest
from rexray.listing import Listed, listed
from rexray.registry import CLASS_HOOKS, DRIVER_KINDS, registry

if TYPE_CHECKING:
    from rexray.drivers import Driver

SETTING = ("key", "env", "flag", "default", "help")


@click.command("info", cls=Command)
@click.argument("name")
@click.option("--kind", type=click.Choice(DRIVER_KINDS), help="The kind of driver, where several have that name.")
def driver_info(name: str, kind: str | None) -> None:
    """Show all that is known of one driver: its settings, hooks, create options and where it comes from."""
    kinds = (kind,) if kind else (*DRIVER_KINDS, "commands", catalog.FILE)
    known = [entry for entry in catalog.everything((*DRIVER_KINDS, "commands")) if entry.kind in kinds]
    words = {(entry.kind, entry.module) for entry in known if entry.name == name}
    own = [entry for entry in known if (entry.kind, entry.module) in words]
    found = [item for item in listed(lambda entry: entry in own) if name in (item.entry.name, *item.facts.aliases)]
    if not found:
        raise NotInstalled(_unknown(name, kind, [entry.name for entry in known]))
    rows = [driver_row(item) | _details(item) for item in found]
    if not is_plain():
        emit(rows, tuple(rows[0]))
        return
    for at, row in enumerate(rows):
        click.echo("\n" * (at > 0) + "\n".join(_lines(row)))


def _unknown(name: str, kind: str | None, known: list[str]) -> str:
    what = f"{kind} driver" if kind else "driver"
    if any(entry.name == name for entry in catalog.left_out()):
        return f"{what} {name!r} is left out by ${allowed.VARIABLE}: put {name} there to use it"
    near = nearest(name, known)
    hint = f"did you mean {near!r}? If not: " if near else ""
    return f"{what} {name!r} is not installed: {hint}pip install {catalog.likely_distribution(kind or '', name)}"


def _details(item: Listed) -> dict[str, object]:
    """What the list has no room for."""
    entry = item.entry
    details: dict[str, object] = {
        "module": entry.module,
        "location": str(entry.file.path) if entry.file else "",
        "hooks": [hook for hook in item.facts.hooks if hook not in _observing(item)],
        "observers": list(_observing(item)),
        "createoptions": {},
        "settings": [],
    }
    try:
        details["location"] = registry().module_of(entry).__file__ or ""
        if entry.kind in DRIVER_KINDS:
            driver = registry().driver_of(entry)
            details["class"] = f"{driver.__module__}.{driver.__qualname__}"
            details["createoptions"] = dict(getattr(driver, "create_options", {}))
            details["settings"] = list(_settings(driver))
    except PluginError:
        pass  # the row says that it is broken, and why
    except (TypeError, ValueError, NameError) as error:
        raise BrokenPlugin(f"driver {entry.name!r}: its settings or create options: {error}") from error
    return details


def _observing(item: Listed) -> tuple[str, ...]:
    registering = {*CLASS_HOOKS.values(), "rexray_commands", "rexray_settings"}
    return tuple(hook for hook in item.facts.hooks if hook not in registering)


def _settings(driver: type[Driver]) -> Iterator[dict[str, str]]:
    """The settings of a driver as users meet them; the default of a secret one is hidden."""
    from rexray.settings import options_of

    for option in options_of(driver.settings) if driver.settings is not None else ():
        yield {
            "key": option.key,
            "env": option.env[0],
            "flag": option.flags[0] if option.flags else "",
            "default": option.show(option.default),
            "help": option.help,
        }


def _lines(row: dict[str, object]) -> Iterator[str]:
    """A driver for people: a line for each fact, then its create options and its settings as tables."""
    options, settings = row.pop("createoptions"), row.pop("settings")
    width = max(map(len, row)) + 1
    for name, value in row.items():
        text = cell(", ".join(map(str, value)) if isinstance(value, list) else value)
        yield f"{name + ':':{width}} {text}".rstrip()
    if isinstance(options, dict) and options:
        yield ""
        rows = [{"createoption": key, "help": text} for key, text in options.items()]
        yield from table(rows, ("createoption", "help"))
    if isinstance(settings, list) and settings:
        yield ""
        yield from table(settings, SETTING)
