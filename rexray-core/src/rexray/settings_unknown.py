"""What to say of a key or a variable that nobody has: its new name, why it is gone, or what may have been meant."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
from collections.abc import Mapping
from pathlib import Path

from rexray.errors import PluginError, SettingsError
from rexray.hints import nearest
from rexray.settings_options import options_of
from rexray.settings_renamed import ABSENT, SCOPES, reason, wrong_variables

log = logging.getLogger(__name__)

_KIT = "conformance"
SYSTEM_VARIABLES = Path("/etc/environment")
"""Where the original's first release looked for variables that were not set."""


def told(name: str, keys: Mapping[str, str], prefix: str = "") -> str:
    """What is wrong with a key, in lower case; ``keys`` are those there are, as documented, by their lower case.

    ``prefix`` is what the key is nested in. Empty where the key may be one of a plug-in that could not be asked.
    """
    if message := refused(name, keys, prefix):
        return message
    root = name.split(".")[0]
    roots = {key.split(".")[0] for key in keys}
    if root not in roots and root in ABSENT:
        told = f"no installed plug-in has it, and there is none for {root}: remove it"
        return f"unknown setting {prefix + name!r}; {told}"
    if root not in roots and f"{name}.".startswith(unknown_prefixes()):
        return ""
    return f"unknown setting {prefix + name!r}; {_hint(name, keys, prefix)}"


def refused(name: str, keys: Mapping[str, str], prefix: str = "") -> str:
    """What to say of a key of the original's, empty for any other; the arguments of :func:`told`."""
    if why := reason(name):
        return f"setting {prefix + name!r} is of the original and refused: {why}"
    for scope in SCOPES:
        rest = name.removeprefix(scope)
        if rest != name:
            for meant in (rest, f"libstorage.{rest}"):
                if meant in keys:
                    return f"setting {prefix + name!r} is refused: here one process is all: say {prefix + keys[meant]}"
                if why := reason(meant):
                    return f"setting {prefix + name!r} is of the original and refused: {why}"
    return ""


def _hint(name: str, keys: Mapping[str, str], prefix: str) -> str:
    root, dot, rest = name.partition(".")
    roots = {key.split(".")[0] for key in keys}
    if root not in roots and (near := nearest(root, roots, 0.75)):
        name = near + dot + rest
    elif root not in roots:
        return "remove it, or install the plug-in that has it"
    if name in keys:
        return f"did you mean {prefix + keys[name]!r}?"
    near = nearest(name, keys)
    return f"did you mean {prefix + keys[near]!r}?" if near else "remove it, or install the plug-in that has it"


def unknown_prefixes() -> tuple[str, ...]:
    """What keys begin with that others check: the conformance kit, and plug-ins that are broken or left out."""
    from rexray import catalog
    from rexray.registry import DRIVER_KINDS, registry

    words = {_KIT, *(entry.name for entry in catalog.left_out())}
    for kind in (*DRIVER_KINDS, catalog.FILE):
        for entry in catalog.entries(kind):
            try:
                registry().driver_of(entry)
            except (PluginError, KeyError):
                words.add(entry.name)
    return tuple(sorted(f"{word.lower()}." for word in words))


def refuse_variables(environ: Mapping[str, str]) -> None:
    """Refuse the first variable of the original that is set and not honoured: a service is not to start without it.

    What the system's file of variables sets, and the environment has not, is only warned of: no program has to read it.
    """
    for message in wrong_variables(environ).values():
        raise SettingsError(message)
    for message in unread_variables(environ):
        _warn(message)


def warn_of_variables(environ: Mapping[str, str]) -> None:
    """Say, once for each, which variables of the original are set and not honoured."""
    for message in wrong_variables(environ).values():
        _warn(message)


@functools.cache
def _warn(message: str) -> None:
    log.warning("%s", message)


def unread_variables(environ: Mapping[str, str], path: Path = SYSTEM_VARIABLES) -> tuple[str, ...]:
    """What to say of the settings that the system's file of variables has, and the environment has not."""
    from rexray.core_settings import CoreSettings
    from rexray.registry import registry

    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found = [re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=.", line) for line in lines]
    names = {each[1] for each in found if each}
    if not names:
        return ()
    known = {
        name for each in (CoreSettings, *registry().settings()) for option in options_of(each) for name in option.env
    }
    return tuple(
        f"{path}: {name} is there and not in the environment: it is not read from there; say EnvironmentFile={path} in "
        "the unit, or put it in a configuration file"
        for name in sorted(names & known)
        if not environ.get(name)
    )
