"""``REXRAY_PLUGINS``: which of the installed plug-ins there are for this process.

The variable holds words with commas or blanks between them, each a plug-in's word such as ``loop`` or the name of a
distribution. Not set, all are there; set to nothing, none is, not even those of the core.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from rexray.distributions import canonical

VARIABLE = "REXRAY_PLUGINS"


def words() -> frozenset[str] | None:
    """What is on the list, in one spelling; None where there is no list."""
    text = os.environ.get(VARIABLE)
    return None if text is None else frozenset(map(canonical, text.replace(",", " ").split()))


def allows(listed: frozenset[str] | None, names: Iterable[str]) -> bool:
    """Whether a plug-in is there that goes by those names: its words, and its distribution's."""
    return listed is None or not listed.isdisjoint(map(canonical, names))
