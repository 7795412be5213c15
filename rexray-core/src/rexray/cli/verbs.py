"""Commands that do one thing to several objects: their common flags, and what an error stops."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from rexray.cli import message_of, tell
from rexray.cli.output import Printer
from rexray.cli.rows import Row
from rexray.errors import RexrayError

T = TypeVar("T")
F = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a verb goes about several objects."""

    continue_on_error: bool = False
    dry_run: bool = False
    quiet: bool = False


def manner(function: F) -> F:
    """Give a command that changes things its ``manner``, from the flags that all such commands have."""

    @click.option("--continueOnError", is_flag=True, help="Go on after an error; the exit status is 1 all the same.")
    @click.option("-n", "--dryRun", is_flag=True, help="Do nothing: print what it would be done to.")
    @click.option("-q", "--quiet", is_flag=True, help="Leave out the header of a table.")
    @functools.wraps(function)
    def command(*args: Any, continueonerror: bool, dryrun: bool, quiet: bool, **kwargs: Any) -> None:
        chosen = Manner(continue_on_error=continueonerror, dry_run=dryrun, quiet=quiet)
        function(*args, manner=chosen, **kwargs)

    return command


def accepted(*names: str, help: str) -> Callable[[F], F]:
    """A flag of the original's that changes nothing here, and says so in the help."""
    return click.option(*names, is_flag=True, expose_value=False, help=help)


idempotent = accepted("-i", "--idempotent", help="What is so already is success; that always holds, with or without.")
runasync = accepted("--runasync", help="Taken for the sake of old scripts: the command waits all the same.")


def each(items: Sequence[T], act: Callable[[T], Row], printer: Printer, manner: Manner) -> None:
    """Act on one after the other and print what came of it; an error is raised, or printed and remembered.

    Whatever was done before an error is printed first. The exit status is 1 where anything failed.
    """
    failed = True
    try:
        successes = [_tried(item, act, printer, manner) for item in items]
        failed = not all(successes)
    finally:
        printer.finish(failed=failed)
    if failed:
        click.get_current_context().exit(1)


def _tried(item: T, act: Callable[[T], Row], printer: Printer, manner: Manner) -> bool:
    try:
        row = act(item)
    except (RexrayError, OSError) as error:
        if not manner.continue_on_error:
            raise
        tell(message_of(error))
        return False
    printer.add(row)
    return True
