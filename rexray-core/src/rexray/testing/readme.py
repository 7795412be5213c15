"""Tables of settings in a README: written from the declarations, and compared with them by a test.

::

    <!-- settings: rexray_driver_acme.settings:AcmeSettings -->
    | Key | Variable | Flag | Default | What it is |
    ...
    <!-- end of settings -->
"""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

from rexray.settings import options_of

TABLES = re.compile(r"<!-- settings: (.+?) -->\n(.*?)<!-- end of settings -->", re.DOTALL)
"""Each table of settings: its dataclasses, then the table."""


def named_table(names: str) -> str:
    """The table of settings dataclasses that are named ``module:class``, with blanks between."""
    return settings_table(*map(_class_of, names.split()))


def settings_table(*classes: type) -> str:
    """The table of settings dataclasses in Markdown, with a line end."""
    lines = ["| Key | Variable | Flag | Default | What it is |", "|---|---|---|---|---|"]
    for found in classes:
        for option in options_of(found):
            default = option.show(option.default)
            shown = f"`{default}`" if default else ""
            flag = f"`{option.flags[0]}`" if option.flags else ""
            older = f" (also {', '.join(f'`{key}`' for key in option.older)})" if option.older else ""
            lines.append(f"| `{option.key}`{older} | `{option.env[0]}` | {flag} | {shown} | {option.help} |")
    return "\n".join(lines) + "\n"


def with_tables(text: str) -> str:
    """The text with each table as the code declares it."""
    return TABLES.sub(
        lambda found: f"<!-- settings: {found[1]} -->\n{named_table(found[1])}<!-- end of settings -->", text
    )


def check_readme(path: Path) -> None:
    """Fail unless the file has a table of settings and each is what the code declares.

    With ``$REXRAY_WRITE_DOCS`` set, the file is written anew instead.
    """
    text = path.read_text(encoding="utf-8")
    fresh = with_tables(text)
    if os.environ.get("REXRAY_WRITE_DOCS"):
        path.write_text(fresh, encoding="utf-8")
        return
    if not TABLES.search(text):
        raise AssertionError(f"{path} has no table of settings: begin one by <!-- settings: MODULE:CLASS -->")
    if text != fresh:
        raise AssertionError(f"{path}: a settings table is not what the code declares: say REXRAY_WRITE_DOCS=1 pytest")


def _class_of(name: str) -> type:
    module, _, attribute = name.partition(":")
    found: type = getattr(importlib.import_module(module), attribute)
    return found
