"""What the command line knows of a command before it imports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """A command of the ``rexray`` program.

    ``target`` is ``module:attribute`` of a click command, imported when the command runs; ``hidden`` leaves the
    command out of ``rexray --help``.
    """

    name: str
    help: str
    target: str
    hidden: bool = False
