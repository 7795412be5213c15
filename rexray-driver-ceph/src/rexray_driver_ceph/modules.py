"""Whether the kernel could load a module, told without loading it.

Facts: depmod(8): ``modules.dep`` has a line for every module's file, ``modules.builtin`` one for each that is built in.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from rexray import child

_LISTS = ("modules.dep", "modules.builtin")


def is_loadable(name: str, folder: Path | None = None) -> bool:
    """Whether there is a file of that module for this kernel, and a program to load it."""
    folder = Path("/lib/modules") / os.uname().release if folder is None else folder
    line = re.compile(rf"^\S*/{re.escape(name)}\.ko", re.MULTILINE)
    return child.find("modprobe") is not None and any(line.search(_text(folder / file)) for file in _LISTS)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
