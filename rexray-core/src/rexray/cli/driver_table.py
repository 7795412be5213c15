"""A table that fits the terminal: what is long in it ends in ``...``; where output goes elsewhere nothing is cut."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from rexray.cli.output import Row, cell, clipped, table

_LEAST = 16
"""Columns of the terminal that a long text gets at least."""
_CUT = "..."


def shortened(rows: Sequence[Row], columns: Sequence[str], long: Sequence[str], width: int = 0) -> list[Row]:
    """The rows with the ``long`` columns cut so that the table is no wider than ``width``, by default the terminal.

    The columns share what the others leave; one that needs less than its share leaves the rest to those after it.
    """
    if not width and not sys.stdout.isatty():
        return list(rows)
    others = [name for name in columns if name not in long]
    taken = max(map(len, table([{**row, others[-1]: "x" * _widest(rows, others[-1])} for row in rows], others)))
    room = (width or shutil.get_terminal_size().columns) - taken - 2 * len(long)
    limits = {}
    for at, name in enumerate(sorted(long, key=lambda name: _widest(rows, name))):
        limits[name] = min(_widest(rows, name), max(room // (len(long) - at), _LEAST))
        room -= limits[name]
    return [{**row, **{name: _cut(cell(row[name]), limits[name]) for name in long}} for row in rows]


def _widest(rows: Sequence[Row], name: str) -> int:
    return max([len(name), *(len(cell(row[name])) for row in rows)])


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else clipped(text, width - len(_CUT)) + _CUT
