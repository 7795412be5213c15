"""Which plug-ins bring commands, read from what is installed as text.

The libraries that read entry points properly (:mod:`rexray.catalog`) take longer to import than all else that
``rexray --help`` does. Nearly always the answer is that nobody but rexray-server brings any, and then the help
needs to import no plug-in.
"""

from __future__ import annotations

import os

from rexray import allowed, distributions


def command_plugins() -> set[str]:
    """The words of the plug-ins that may bring commands; those that the allow-list leaves out are not among them."""
    listed = allowed.words()
    found: set[str] = set()
    for metadata in distributions.installed():
        for line in metadata.declared:
            names = (line.name, metadata.stem)  # the words of all that a module brings are a matter for the catalog
            if line.kind == "commands" and (line.error or allowed.allows(listed, names)):
                found.add(line.name)
    return found | _in_files(listed)


def _in_files(listed: frozenset[str] | None) -> set[str]:
    if not os.environ.get("REXRAY_PLUGINS_DIR"):
        return set()
    from rexray.plugin_files import plugin_files  # off unless it is set

    return {
        file.name
        for file in plugin_files()
        if "rexray_commands" in file.hooks and not file.error and allowed.allows(listed, (file.name, str(file.path)))
    }
