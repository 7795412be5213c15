"""The log as people read it: ``INFO[0000] message  key=value``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def as_text(line: str) -> str:
    """A line of the log for people, whichever form it has."""
    try:
        content: dict[str, Any] = json.loads(line)
        level, message = content.pop("level"), content.pop("msg")
    except (ValueError, KeyError, AttributeError, TypeError):
        return line
    when, trace = content.pop("time", ""), content.pop("traceback", "")
    content.pop("logger", None)
    return line_of(str(level), str(when), str(message), content, str(trace))


def line_of(level: str, when: str, message: str, fields: Mapping[str, object], trace: str) -> str:
    """One record: the message in a column of its own, then the fields; a traceback on further lines."""
    shown = "".join(f" {key}={_quote(str(value))}" for key, value in fields.items())
    line = message if message.isprintable() else json.dumps(message, ensure_ascii=False)
    return f"{level.upper()[:4]}[{when}] {line:<44}{shown}" + (f"\n{trace}" if trace else "")


def _quote(text: str) -> str:
    plain = text.isprintable() and not set(text) & set(' "=')
    return text if plain and text else json.dumps(text, ensure_ascii=False)
