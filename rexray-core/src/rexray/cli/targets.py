"""Verbs over volumes: which ones the user named, and what happens to each, one after the other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from rexray.cli.output import Columns, Printer
from rexray.cli.progress import progress
from rexray.cli.rows import Row, volume_columns, volume_row
from rexray.cli.verbs import F, Manner, each
from rexray.drivers import VolumeDriver
from rexray.errors import NotFound, RexrayError
from rexray.hints import nearest
from rexray.types import Volume


@dataclass(frozen=True, slots=True)
class Target:
    """A volume as the user named it: by its ``id``, by its ``name``, or by either (empty)."""

    word: str
    by: str = ""


def volume_targets(*, required: bool = True, several: bool = True) -> Callable[[F], F]:
    """Give a command ``targets``: its arguments, or what ``--volumename`` or ``--volumeid`` says."""

    def decorate(function: F) -> F:
        @click.argument("names", nargs=-1, metavar="[VOLUME]..." if several else "[VOLUME]")
        @click.option("--volumename", metavar="NAME", help="A volume by its exact name.")
        @click.option("--volumeid", metavar="ID", help="A volume by its id.")
        @functools.wraps(function)
        def command(*args: Any, names: tuple[str, ...], volumename: str, volumeid: str, **kwargs: Any) -> None:
            function(*args, targets=_read_targets(names, volumename, volumeid, required, several), **kwargs)

        return command

    return decorate


def _read_targets(
    names: Sequence[str], volumename: str | None, volumeid: str | None, required: bool, several: bool
) -> tuple[Target, ...]:
    if volumename and volumeid:
        raise click.UsageError("--volumename and --volumeid say the same thing: give one of them")
    found = [Target(name) for name in names]
    if volumename:
        found.append(Target(volumename, "name"))
    if volumeid:
        found.append(Target(volumeid, "id"))
    if required and not found:
        raise click.UsageError("say which volume: its name, --volumename or --volumeid")
    if len(found) > 1 and not several:
        raise click.UsageError("this is done to one volume at a time")
    return tuple(dict.fromkeys(found))


def find(driver: VolumeDriver, target: Target) -> Volume:
    """The volume; ``NotFound`` says what it may have been meant to be."""
    try:
        volume = driver.get(target.word)
    except NotFound as error:
        raise hinted(error, target.word, driver) from None
    if target.by == "id" and volume.id != target.word:
        raise NotFound(f"no volume has the id {target.word!r}: that is the name of volume {volume.id!r}")
    if target.by == "name" and volume.name != target.word:
        raise NotFound(f"no volume is named {target.word!r}: that is the id of volume {volume.name!r}")
    return volume


def hinted(error: NotFound, word: str, driver: VolumeDriver) -> NotFound:
    """The error with the name of a volume that is nearly the unknown word, which is only ever a hint."""
    if repr(word) not in str(error):
        return error
    try:
        known = {name.lower(): name for volume in driver.list() for name in (volume.id, volume.name)}
    except RexrayError:
        return error
    if word in known.values():
        return error
    near = nearest(word.lower(), known) or next((name for name in known if name.startswith(word.lower())), None)
    return NotFound(f"{error}; did you mean {known[near]!r}?") if near else error


@dataclass(frozen=True, kw_only=True)
class Verb:
    """Something that is done to volumes, with what it prints about each.

    ``doing`` is what a terminal shows meanwhile. ``line`` is the column that is printed on a line of its own where
    no format was asked for. ``dry`` makes the row of a dry run from the volume's name, by default that of the volume.
    """

    driver: VolumeDriver
    manner: Manner
    doing: str
    columns: Columns
    line: str = ""
    dry: Callable[[str], Row] | None = None
    checked: bool = True
    """Whether all volumes have to be known before anything is done to the first."""

    def run(self, targets: Sequence[Target], act: Callable[[str], Row]) -> None:
        """Do it to one after the other, and nothing at all if one of several is unknown; exit status 1 on failure."""
        printer = Printer(self.columns, line=self.line, quiet=self.manner.quiet)
        if self.manner.dry_run:
            act = self.dry or (lambda name: volume_row(self.driver.get(name)))
            printer = Printer(volume_columns, quiet=self.manner.quiet)
        elif len(targets) > 1 and self.checked and not self.manner.continue_on_error:
            for target in targets:
                self._one(target, self.driver.volume_id)
        each(targets, lambda target: self._one(target, act), printer, self.manner)

    def _one(self, target: Target, act: Callable[[str], Any]) -> Any:
        with progress(f"{self.doing} {target.word!r}"):
            if target.by:
                find(self.driver, target)
            try:
                return act(target.word)
            except NotFound as error:
                raise hinted(error, target.word, self.driver) from None
