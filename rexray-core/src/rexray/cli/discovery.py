"""Which distributions bring commands, read from their entry points as text.

The libraries that read entry points properly (:mod:`rexray.catalog`) take longer to import than all else that
``rexray --help`` does. Nearly always the answer is that nobody but rexray-server brings any, and then the help
needs to import no plug-in.
"""

from __future__ import annotations

import glob
import os
import sys


def command_plugins() -> set[str]:
    """The names of the entry points that installed distributions have in the group ``rexray.commands``."""
    found: set[str] = set()
    for folder in sys.path:
        for kind in ("dist-info", "egg-info"):
            for file in glob.iglob(os.path.join(glob.escape(folder or "."), f"*.{kind}", "entry_points.txt")):
                found.update(_declared(file))
    return found


def _declared(file: str) -> set[str]:
    try:
        with open(file, encoding="utf-8") as lines:
            text = lines.read()
    except (OSError, UnicodeDecodeError):
        return set()
    _, heading, rest = text.partition("[rexray.commands]")
    section = rest.partition("[")[0] if heading else ""
    return {line.partition("=")[0].strip() for line in section.splitlines() if "=" in line}
