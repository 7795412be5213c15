"""The values of settings as JSON Schema: just what :meth:`rexray.settings.Option.parse` takes from a file.

A scalar is a text there, however it is written; an editor has it as what YAML makes of it. Both forms are described.
"""

from __future__ import annotations

from pathlib import Path

from rexray.settings import Option, Secret
from rexray.settings_files import VARIABLE
from rexray.settings_options import FALSE, TRUE

Schema = dict[str, object]

END = r"(?![\s\S])"
"""The end of a text; what ``$`` is differs between the languages in which validators are written."""

_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
"""What is a text, an empty one for null."""
_WHOLE = r"^\s*[-+]?\d+(_\d+)*\s*" + END
_NUMBER = (
    r"^\s*[-+]?((\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)([eE][-+]?\d+(_\d+)*)?|[iI][nN][fF]([iI][nN][iI][tT][yY])?"
    r"|[nN][aA][nN])\s*" + END
)
_DURATION = r"^\s*(\d+\.?\d*|\.\d+|(([0-9]+\.?[0-9]*|\.[0-9]+)(ms|s|m|h))+)\s*" + END
_PATH = rf"^[^\u0000]+{END}"
_SECRET = (
    rf"^(?:(?!file:|env:|command:)[\s\S]*|file:/[^\u0000]*|env:[A-Za-z_][A-Za-z0-9_]*"
    rf"|command:(?=\s*[^\s\u0000])[^\u0000]*){END}"
)
_OCTAL = "^(0o)?0*[0-7]{1,3}" + END


VARIABLE_NAME: Schema = {
    "type": "string",
    "pattern": f"^{VARIABLE.pattern.replace('(', '(?:').replace('(?:?:', '(?:')}{END}",
}
"""The name of a variable with the value; what that is, no schema can see."""


def any_case(text: str) -> str:
    """A pattern for a key or word of letters, digits, ``-``, ``_`` and dots in upper or lower case alike."""
    return "".join(f"[{char.lower()}{char.upper()}]" if char.isalpha() else char.replace(".", r"\.") for char in text)


_BOOL = rf"^\s*(?:{'|'.join(any_case(word) for word in sorted(TRUE | FALSE))})\s*{END}"


def value_of(option: Option) -> tuple[str, Schema]:
    """The values of a setting, with a name that all settings with the same values share."""
    if option.choices:
        words = {"enum": [*option.choices, *([None] if "" in option.choices else [])]}
        return f"one-of:{':'.join(option.choices)}", {"anyOf": [words, VARIABLE_NAME]}
    if option.type == tuple[str, ...]:
        return "words", {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}
    if option.octal:  # 0660 is a text to REX-Ray, and the number 660 to YAML 1.2
        numbers = sorted(int(f"{mode:o}") for mode in range(0o1000))
        return "mode", {"anyOf": [{"type": "string", "pattern": _OCTAL}, {"enum": numbers}, VARIABLE_NAME]}
    if option.duration:
        texts: Schema = {"type": "string", "pattern": _DURATION}
        return "duration", {"anyOf": [{"type": "number", "minimum": 0}, texts, VARIABLE_NAME]}
    if option.type is bool:
        texts = {"type": "string", "pattern": _BOOL}
        return "bool", {"anyOf": [{"type": "boolean"}, {"enum": [0, 1]}, texts, VARIABLE_NAME]}
    if option.type is int:
        return "int", {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": _WHOLE}, VARIABLE_NAME]}
    if option.type is float:
        return "float", {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _NUMBER}, VARIABLE_NAME]}
    if option.type is Path:
        return "path", {"anyOf": [{"type": ["number", "boolean"]}, {"type": "string", "pattern": _PATH}]}
    if option.secret:
        return "secret", {"anyOf": [{"type": ["number", "boolean", "null"]}, {"type": "string", "pattern": _SECRET}]}
    return "text", dict(_SCALAR)


def about(key: str, option: Option) -> Schema:
    """What an editor shows for a setting, by one of its keys."""
    if key != option.key:
        return {"deprecated": True, "description": f"Now {option.key}"}
    names = ", ".join([f"${option.env[0]}", *option.flags[:1]])
    found: Schema = {"description": f"{option.help} ({names})"}
    if not isinstance(option.default, Secret) and option.default != Path():
        found["default"] = option.show(option.default)
    return found
