"""What commands print, in every format."""

from __future__ import annotations

import json

import click
import pytest
import yaml
from click.testing import CliRunner

from rexray.cli.app import App
from rexray.cli.output import apply_template, dump, emit, table
from rexray.errors import InvalidRequest

ROWS = [
    {"id": "vol-1", "size": 16, "mounted": True, "nodes": ["a", "b"], "labels": {"k": "v"}, "note": None},
    {"id": "Größe-音", "size": 1024, "mounted": False, "nodes": [], "labels": {}, "note": "two\nlines\x1b[31m"},
]
COLUMNS = ("id", "size", "mounted", "nodes", "labels", "note")


def emitted(fmt: str | None, app: App | None = None, *, quiet: bool = False, template: str = "") -> str:
    """What ``emit`` prints within a run of the program."""

    @click.command()
    def command() -> None:
        emit(ROWS, COLUMNS, fmt, quiet=quiet, template=template)

    result = CliRunner().invoke(command, obj=app or App(), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_table_is_aligned_two_spaces_apart_and_holds_a_row_to_a_line() -> None:
    assert emitted("table").splitlines() == [
        "ID        SIZE  MOUNTED  NODES  LABELS  NOTE",
        "vol-1     16    true     a,b    k=v",
        "Größe-音  1024  false                   two\\nlines\\x1b[31m",
    ]


def test_a_quiet_table_has_no_header() -> None:
    assert emitted("table", quiet=True).startswith("vol-1")


def test_a_table_without_rows_is_its_header() -> None:
    assert table([], ("id", "name")) == ["ID  NAME"]
    assert table([], ("id", "name"), header=False) == []


@pytest.mark.parametrize("fmt", ["json", "jsonp"])
def test_json_holds_everything(fmt: str) -> None:
    assert json.loads(emitted(fmt)) == ROWS
    assert len(emitted(fmt).splitlines()) == (1 if fmt == "json" else 23)


def test_yaml_is_a_list_of_mappings_whose_keys_keep_their_order() -> None:
    text = emitted("yaml")
    assert text.startswith("- id: vol-1\n  size: 16\n  mounted: true\n")
    assert yaml.safe_load(text) == ROWS
    assert dump([{"b": 1, "a": "x" * 300}], "yaml") == "- b: 1\n  a: " + "x" * 300


def test_the_format_is_the_one_that_the_user_asked_for() -> None:
    assert emitted(None) == emitted("table")
    assert emitted(None, App(format="json")) == emitted("json")
    assert emitted(None, App(template="{id}")) == "vol-1\nGröße-音\n"
    assert emitted(None, App(format="template", template=r"{id}\t{size:>5}\t{mounted}")).splitlines() == [
        "vol-1\t   16\ttrue",
        "Größe-音\t 1024\tfalse",
    ]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{name}", "there is no {name}, only {id} {size}"),
        ("{id.__class__}", "there is no {id.__class__}"),
        ("{id", "expected '}'"),
        ("{}", "there is no {}"),
        ("{size:q}", "Unknown format code"),
        ("", "needs --template TEXT, with {id} {size}"),
    ],
)
def test_a_template_that_does_not_work_says_why(template: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        apply_template(template, ROWS[0], ("id", "size"))
    assert message in str(raised.value)
