"""Docstrings as Markdown: they are written for readers of the code, with Sphinx's roles and literal blocks."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|meth|mod|data|func|attr):`(~?)([\w.]+)`")


class Prose(griffe.Extension):
    """Turns roles into code and ``::`` into a colon, or into nothing where it is alone on its line."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            text = _ROLE.sub(_as_code, obj.docstring.value)
            text = re.sub(r"^::$", "", text, flags=re.MULTILINE)
            obj.docstring.value = re.sub(r"::$", ":", text, flags=re.MULTILINE)


def _as_code(role: re.Match[str]) -> str:
    """A tilde leaves only the last part of a name."""
    return f"`{role[2].rpartition('.')[2] if role[1] else role[2]}`"
