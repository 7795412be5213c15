"""``rexray driver``: what is installed."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rexray.cli.base import Group
from rexray.cli.output import Row, emit
from rexray.registry import Installed, registry

COLUMNS = ("name", "kind", "distribution", "version", "status", "whynot", "capabilities")
"""The columns of the table, in which aliases are only shown where a driver has some."""


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def driver(ctx: click.Context) -> None:
    """The driver manager."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_drivers)


@driver.command("ls", aliases=("list", "types"))
def list_drivers() -> None:
    """List the installed drivers: ready, not viable on this host, or broken."""
    emit([_row(item) for item in registry().installed()], _columns)


def _columns(rows: Sequence[Row]) -> tuple[str, ...]:
    return (*COLUMNS[:1], "aliases", *COLUMNS[1:]) if any(row["aliases"] for row in rows) else COLUMNS


def _row(item: Installed) -> dict[str, object]:
    distribution = item.entry.distribution()
    status, why = "not viable" if item.lacking else "broken", item.error
    if item.driver is not None:
        viability = item.driver.viable()
        status, why = ("ready", "") if viability.ok else ("not viable", viability.reason)
    return {
        "name": item.entry.name,
        "aliases": list(item.driver.aliases) if item.driver is not None else [],
        "kind": item.entry.kind,
        "distribution": distribution.name if distribution else "",
        "version": distribution.version if distribution else "",
        "status": status,
        "whynot": why,
        "capabilities": list(capabilities(item)),
    }


def capabilities(item: Installed) -> tuple[str, ...]:
    """What a driver can do beyond its contract: its mixins, or what a CSI plug-in reports."""
    from rexray import mixins

    if item.driver is None:
        return ()
    declared: tuple[str, ...] = getattr(item.driver, "capabilities", ())
    return (*declared, *(base.__name__ for base in item.driver.__mro__ if base.__module__ == mixins.__name__))
