"""Configuration files: what they say, by dotted lower-case keys, and in which line and column it stands."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rexray.errors import SettingsError
from rexray.paths import CONFIG_NAMES

if TYPE_CHECKING:
    import yaml

Place = tuple[int, int]
"""A line and a column, both counted from 1."""


_NAME = "[A-Za-z_][A-Za-z0-9_]*"
VARIABLE = re.compile(rf"\$(?:({_NAME})|\{{({_NAME})\}})")
"""A value that is the name of a variable, ``$NAME`` or ``${NAME}``."""


class FromVariable(str):
    """A value of a variable, of which a file has the name."""

    __slots__ = ()


class Unset:
    """Stands for a value that names a variable which is not set: whoever uses it is refused, nobody else.

    It does not say which: what somebody took for a name may be a secret that begins with ``$``.
    """

    __slots__ = ()
    why = "it names a variable that is not set or empty: set that, or write $$ for a $ that is meant"

    def __repr__(self) -> str:
        return "Unset()"


class Content(dict[str, object]):
    """What one file says, with the place of each key.

    A value is a text, a list, or a mapping without entries: every scalar stays the text that was written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, Place] = {}


def place_of(content: Mapping[str, object], key: str) -> Place | None:
    """Where a file has a key, by its lower case, or where it has the first one below it; None if that is not known."""
    places = content.places if isinstance(content, Content) else {}
    return places.get(key) or next((place for name, place in places.items() if name.startswith(f"{key}.")), None)


def where(path: str, content: Mapping[str, object], key: str) -> str:
    """The file with the place of a key for an error message: ``FILE:LINE:COLUMN``."""
    place = place_of(content, key.lower())
    return f"{path}:{place[0]}:{place[1]}" if place else path


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong in a file."""

    file: str
    place: Place | None
    """None where it is not known."""
    key: str
    """The key that it is about, empty where it is the file as a whole."""
    message: str
    """What is wrong and what to do, with the key and without the file."""

    @classmethod
    def at(cls, path: str, content: Mapping[str, object], key: str, message: str) -> Finding:
        """A finding about a key of a file."""
        return cls(file=path, place=place_of(content, key.lower()), key=key, message=message)

    def __str__(self) -> str:
        place = f":{self.place[0]}:{self.place[1]}" if self.place else ""
        return f"{self.file}{place}: {self.message}"

    def error(self) -> WrongFile:
        """The finding as an error."""
        return WrongFile(self)


class WrongFile(SettingsError):
    """The error for something that is wrong in a file."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def read_files(
    paths: Sequence[Path], required: Path | None = None, environ: Mapping[str, str] | None = None
) -> tuple[tuple[str, Mapping[str, object]], ...]:
    """The configuration files that exist, each flattened to dotted lower-case keys, lowest precedence first.

    ``required`` is read last and must exist. A value ``$NAME`` is that variable's, by default the process's own. A file
    that is not YAML, or not a mapping, or has a key twice, is a ``SettingsError`` with its line and column.
    """
    return tuple((str(path), read_file(path, environ)) for path in existing(paths, required))


def existing(paths: Sequence[Path], required: Path | None = None) -> list[Path]:
    """Those of the files that exist; ``SettingsError`` if the required one does not, or two of a folder do."""
    found = [path for path in paths if path.is_file()]
    for first, second in itertools.pairwise(found):
        if first.parent == second.parent and {first.name, second.name} <= set(CONFIG_NAMES):
            raise SettingsError(f"{first} and {second} are both there: put all of it in one of them")
    if required is not None:
        if not required.is_file():
            raise SettingsError(f"{required}: no such configuration file")
        found = [*(path for path in found if not path.samefile(required)), required]
    return found


def read_file(path: Path, environ: Mapping[str, str] | None = None) -> Content:
    """What one file says; the errors of :func:`read_files`."""
    content, findings = scan_file(path, environ)
    for finding in findings:
        raise finding.error()
    return content


def scan_file(path: Path, environ: Mapping[str, str] | None = None) -> tuple[Content, list[Finding]]:
    """What one file says, and all that keeps it from being read or is written twice in it."""
    content = Content()
    findings = []
    variables = os.environ if environ is None else environ
    try:
        for key, written, place in _entries(path):
            value = _with_variables(written, variables)
            if key in content:
                line, column = content.places[key]
                told = (
                    f"{key} is written twice, first at {line}:{column}: case makes no difference, nor nesting or dots"
                )
                findings.append(Finding(file=str(path), place=place, key=key, message=told))
            else:
                content[key] = value
                content.places[key] = place
    except WrongFile as error:
        findings.append(error.finding)
    return content, findings


def _with_variables(value: object, environ: Mapping[str, str]) -> object:
    """The value with that of the variable which it is the name of; ``$$`` at the beginning is one ``$``."""
    if isinstance(value, list):
        items = [_with_variables(item, environ) for item in value]
        return next((item for item in items if isinstance(item, Unset)), items)
    if not isinstance(value, str):
        return value
    if value.startswith("$$"):
        return value[1:]
    if not (named := VARIABLE.fullmatch(value)):
        return value
    given = environ.get(named[1] or named[2])
    return FromVariable(given) if given else Unset()


def _entries(path: Path) -> Iterator[tuple[str, object, Place]]:
    """The keys of a file with their values and places; ``WrongFile`` where it cannot be read."""
    import yaml  # costs more than everything else here, and most hosts have no file

    try:
        # Every scalar stays the text that was written: 0660 is no decimal number, and "on" no boolean, by itself.
        loader = yaml.BaseLoader(path.read_text(encoding="utf-8"))
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise _wrong(path, mark, f"not valid YAML: {_problem(error)}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise _wrong(path, None, f"cannot be read: {' '.join(str(error).split())}") from None
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        return
    if not isinstance(root, yaml.MappingNode):
        kind = "list" if isinstance(root, yaml.SequenceNode) else "text"
        raise _wrong(path, root.start_mark, f"a mapping of settings is expected, not a {kind}")
    yield from _flatten(path, root, "", ())


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What the parser says; the name of an alias, an anchor or a tag may be a password without quotation marks."""
    told = error.problem or error.context or ""
    if re.search(r"\b(alias|anchor|tag)\b", told):
        what, _, _ = told.partition(" '")
        return f"{what}: put quotation marks around what begins with *, & or !"
    return told


def _wrong(path: Path, mark: yaml.Mark | None, message: str) -> WrongFile:
    place = (mark.line + 1, mark.column + 1) if mark else None
    return Finding(file=str(path), place=place, key="", message=message).error()


def _flatten(
    path: Path, mapping: yaml.MappingNode, prefix: str, above: tuple[yaml.Node, ...]
) -> Iterator[tuple[str, object, Place]]:
    """The keys of a mapping and of those in it; ``above`` is what it is nested in."""
    import yaml

    for key, value in mapping.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _wrong(path, key.start_mark, "the name of a setting is expected")
        name = f"{prefix}{key.value}".lower()
        if value is mapping or value in above:
            raise _wrong(path, key.start_mark, f"{name} has itself for its value")
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _flatten(path, value, f"{name}.", (*above, mapping))
        else:
            yield name, _value(path, value, ()), (key.start_mark.line + 1, key.start_mark.column + 1)


def _value(path: Path, node: yaml.Node, above: tuple[yaml.Node, ...]) -> object:
    """A text, a list of values, or a mapping, whose entries only need to be there to be refused."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        if not node.tag.startswith("tag:yaml.org,2002:"):
            told = "a tag means nothing here: put quotation marks around what begins with !"
            raise _wrong(path, node.start_mark, told)
        return node.value
    if isinstance(node, yaml.MappingNode):
        return {str(number): "" for number, _ in enumerate(node.value)}
    if node in above:
        raise _wrong(path, node.start_mark, "a list has itself for an item")
    return [_value(path, item, (*above, node)) for item in node.value]
