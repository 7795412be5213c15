"""Markers in pages, and what writes the text that each stands for.

A marker is an HTML comment ``<!-- NAME -->`` or ``<!-- NAME: WORDS -->`` on a line of its own, whose name is a key of
:data:`GENERATORS`. Any other comment but those of :data:`INERT` fails the build, so that a misspelt one is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mkdocs.exceptions import PluginError

import site_cli
import site_code
import site_readmes
import site_tables
from rexray.testing.readme import named_table
from rexray_server.monitoring import families

MARKER = re.compile(r"^<!-- ([a-z ]+?)(?:: (.+?))? -->$", re.MULTILINE)

GENERATORS: dict[str, Callable[[str], str]] = {
    "capabilities": site_tables.capabilities_of,
    "cli": site_cli.reference,
    "conformance": site_tables.conformance,
    "create options": site_tables.create_options,
    "csi capabilities": site_tables.csi_capabilities,
    "distributions": site_tables.distributions,
    "errors": site_code.errors_table,
    "groups": site_tables.groups,
    "hook": site_code.hook,
    "hooks": site_code.hooks_table,
    "matrix": site_tables.matrix,
    "metrics": lambda _: families.table(),
    "policy": site_code.policy,
    "settings": named_table,
    "settings of": site_readmes.settings_of,
}
"""What writes the text that a marker stands for, from the words behind its colon."""

INERT = ("tested", "end of settings")
"""Comments that mean something to tests, or that a README has around its table."""


def generate(markdown: str, where: str) -> str:
    """The text with every marker replaced; ``where`` names the page in an error."""

    def replace(found: re.Match[str]) -> str:
        name, words = found[1], found[2] or ""
        if name in INERT:
            return found[0]
        if name not in GENERATORS:
            raise PluginError(f"{where}: nothing generates {found[0]!r}; there are: {', '.join(sorted(GENERATORS))}")
        return GENERATORS[name](words)

    return MARKER.sub(replace, site_readmes.without_tables(markdown))
