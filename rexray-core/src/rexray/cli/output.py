r"""What commands print: rows as a table, YAML, JSON, or by a template of the user's.

A template is a text with column names in braces, as in Python's ``str.format``: ``{id}`` or ``{name:<20}``;
``\t`` and ``\n`` stand for a tab and a new line. It is applied to each row.
"""

from __future__ import annotations

import json
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

import click

from rexray.cli.base import current_app
from rexray.errors import InvalidRequest

Row = Mapping[str, object]


Columns = Sequence[str] | Callable[[Sequence[Row]], Sequence[str]]
"""The columns of a table, or what tells them once the rows are known."""


def emit(
    rows: Iterable[Row],
    columns: Columns,
    fmt: str | None = None,
    *,
    template: str = "",
    quiet: bool = False,
    default: str = "table",
) -> None:
    """Print rows in a format of :data:`rexray.cli.base.FORMATS`: ``fmt``, else the user's, else the ``default``.

    Tables and templates have the ``columns``, JSON and YAML all that the rows hold; a template may also use what else
    the rows hold. ``quiet`` leaves out a table's header.
    """
    app = current_app()
    chosen = fmt or app.format or ("template" if app.template else default)
    held = list(rows)
    names = columns(held) if callable(columns) else columns
    if chosen == "table":
        lines = table(held, names, header=not quiet)
    elif chosen == "template":
        names = tuple(dict.fromkeys([*names, *(held[0] if held else ())]))
        lines = [apply_template(template or app.template, row, names) for row in held]
    else:
        lines = [dump(held, chosen)]
    for line in lines:
        click.echo(line)


class Printer:
    """Prints what a command did to one object after the other.

    Where the rows have a ``line`` of their own and no format was asked for, each is printed when it is added; else
    they are printed together by :meth:`finish`.
    """

    def __init__(self, columns: Columns, *, line: str = "", quiet: bool = False) -> None:
        self._columns = columns
        self._line = line if is_plain() else ""
        self._quiet = quiet
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Print a row, or keep it."""
        if self._line:
            if row[self._line]:
                click.echo(row[self._line])
        else:
            self._rows.append(row)

    def finish(self, *, failed: bool) -> None:
        """Print the rows that were kept; none at all after a failure are not worth a header."""
        if not self._line and (self._rows or not failed):
            emit(self._rows, self._columns, quiet=self._quiet)


def is_plain() -> bool:
    """Whether the user asked for no format of their own."""
    app = current_app()
    return not (app.format or app.template)


def dump(value: object, fmt: str) -> str:
    """A value as ``json`` (one line), ``jsonp`` (indented) or ``yaml``, keys in their order, no line end."""
    if fmt == "yaml":
        return _yaml(value)
    if fmt == "jsonp":
        return json.dumps(value, ensure_ascii=False, indent=2)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _yaml(value: object) -> str:
    import yaml  # most runs print no YAML

    class Dumper(yaml.SafeDumper):
        """Writes an empty text as the original did: ``""``."""

    Dumper.add_representer(
        str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text else '"')
    )
    text: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.rstrip("\n")


def table(rows: Iterable[Row], columns: Sequence[str], *, header: bool = True) -> list[str]:
    """The lines of a table: columns two spaces apart, as wide as their widest cell."""
    lines = [[name.upper() for name in columns]] if header else []
    lines += [[cell(row.get(name)) for name in columns] for row in rows]
    widths = [max((_width(line[index]) for line in lines), default=0) for index in range(len(columns))]
    return [
        "  ".join(text + " " * (width - _width(text)) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def check_template(template: str, columns: Sequence[str]) -> None:
    """Refuse a template that is empty, is malformed or names a column that there is not: ``InvalidRequest``."""
    if not template:
        raise InvalidRequest(f"--format template needs --template TEXT, with {_braced(columns)}")
    if re.search(r"\{\{-?\s*[.a-z]", template):
        raise InvalidRequest(f"template {template!r}: a column is written {{name}} here, not as in Go")
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise InvalidRequest(f"template {template!r}: {error}") from None
    for name in names:
        if name not in columns:
            raise InvalidRequest(f"template: there is no {{{name}}}, only {_braced(columns)}")


def apply_template(template: str, row: Row, columns: Sequence[str]) -> str:
    """A row by a template; ``InvalidRequest`` names what is wrong with the template."""
    check_template(template, columns)
    text = template.replace("\\t", "\t").replace("\\n", "\n")
    try:
        return text.format_map({name: plain(row.get(name)) for name in columns})
    except (ValueError, TypeError, LookupError) as error:
        raise InvalidRequest(f"template {template!r}: {error}") from None


def cell(value: object) -> str:
    """A value on one line that no terminal takes for a command."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(plain(value)))


def plain(value: object) -> str | int | float:
    """A value as a person reads it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return value
        case Mapping():
            return ",".join(f"{key}={plain(item)}" for key, item in value.items())
        case list() | tuple():
            return ",".join(str(plain(item)) for item in value)
    return str(value)


def clipped(text: str, width: int) -> str:
    """As much of a text as fits into the columns of a terminal."""
    while text and _width(text) > width:
        text = text[:-1]
    return text


def _width(text: str) -> int:
    """The columns that a text takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    combining = sum(unicodedata.category(char) in ("Mn", "Me", "Cf") for char in text)
    return len(text) + wide - combining


def _braced(columns: Sequence[str]) -> str:
    return " ".join(f"{{{name}}}" for name in columns)
