"""``rexray driver``: what is installed."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rexray.cli.base import Group, current_app
from rexray.cli.driver_table import shortened
from rexray.cli.output import Row, emit
from rexray.listing import Listed, listed

COLUMNS = ("name", "kind", "distribution", "version", "contract", "status", "whynot", "capabilities", "loadms")
"""The columns of the table, in which aliases are only shown where a driver has some."""


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def driver(ctx: click.Context) -> None:
    """The driver manager."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_drivers)


driver.add_target("info", "rexray.cli.driver_info:driver_info")
driver.add_target("new", "rexray.cli.driver_new:new_driver")
driver.add_target("check", "rexray.cli.driver_check:check_driver")


@driver.command("ls", aliases=("list", "types"))
def list_drivers() -> None:
    """List the installed drivers: ready, not viable on this host, or broken."""
    rows: list[Row] = [driver_row(item) for item in listed()]
    if current_app().format in ("", "table") and not current_app().template:
        rows = shortened(rows, _columns(rows), ("whynot", "capabilities"))
    emit(rows, _columns)
    tell_left_out()


def tell_left_out() -> None:
    """Say on standard error how many plug-ins the allow-list leaves out, if any."""
    from rexray import allowed, catalog

    if count := len(catalog.left_out()):
        click.echo(f"${allowed.VARIABLE} leaves out {count} plug-in{'s' if count > 1 else ''}", err=True)


def _columns(rows: Sequence[Row]) -> tuple[str, ...]:
    return (*COLUMNS[:1], "aliases", *COLUMNS[1:]) if any(row["aliases"] for row in rows) else COLUMNS


def driver_row(item: Listed) -> dict[str, object]:
    """What is known of a plug-in; ``loadms`` are the milliseconds that loading it took when it was last loaded."""
    facts = item.facts
    return {
        "name": item.entry.name,
        "aliases": list(facts.aliases),
        "kind": item.entry.kind,
        "distribution": facts.distribution,
        "version": facts.version,
        "contract": facts.contract,
        "status": item.status,
        "whynot": "; ".join(filter(None, (item.why, item.note))),
        "capabilities": list(facts.capabilities),
        "loadms": round(facts.milliseconds, 1),
    }
