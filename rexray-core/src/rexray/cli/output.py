r"""What commands print: rows as a table, YAML, JSON, or by a template of the user's.

A template is a text with column names in braces, as in Python's ``str.format``: ``{id}`` or ``{name:<20}``;
``\t`` and ``\n`` stand for a tab and a new line. It is applied to each row.
"""

from __future__ import annotations

import json
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import click

from rexray.cli.base import current_app
from rexray.errors import InvalidRequest

Row = Mapping[str, object]


def emit(
    rows: Iterable[Row],
    columns: Sequence[str],
    fmt: str | None = None,
    *,
    template: str = "",
    quiet: bool = False,
) -> None:
    """Print rows in a format of :data:`rexray.cli.base.FORMATS`, by default the one that the user asked for.

    Tables and templates have the ``columns``, JSON and YAML all that the rows hold. ``quiet`` leaves out a
    table's header.
    """
    app = current_app()
    chosen = fmt or app.format or ("template" if app.template else "table")
    if chosen == "table":
        lines = table(rows, columns, header=not quiet)
    elif chosen == "template":
        lines = [apply_template(template or app.template, row, columns) for row in rows]
    else:
        lines = [dump(list(rows), chosen)]
    for line in lines:
        click.echo(line)


def dump(value: object, fmt: str) -> str:
    """A value as ``json`` (one line), ``jsonp`` (indented) or ``yaml``, keys in their order, no line end."""
    if fmt == "yaml":
        import yaml  # most runs print no YAML

        text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=float("inf"))
        return text.rstrip("\n")
    if fmt == "jsonp":
        return json.dumps(value, ensure_ascii=False, indent=2)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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


def _width(text: str) -> int:
    """The columns that a text takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    combining = sum(unicodedata.category(char) in ("Mn", "Me", "Cf") for char in text)
    return len(text) + wide - combining


def _braced(columns: Sequence[str]) -> str:
    return " ".join(f"{{{name}}}" for name in columns)
