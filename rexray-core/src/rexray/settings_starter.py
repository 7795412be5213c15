"""A configuration file to start from: every setting, commented out, with its help, default, variable and flag."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from rexray.settings import Option, Secret, options_of

_HEAD = """\
The configuration of REX-Ray.

Every setting that is installed here stands below, with its default. To set one, take the # away from the line with
its key, and change the value. Keys may be nested instead, as in

  rexray:
    services:
      fast: {driver: rbd, rbd: {conf: /etc/ceph/fast.conf}}

A flag wins over what is set for a service, that over the variable, that over this file. A secret may be kept elsewhere:
file:/path (which only its owner can read), env:NAME, or command:PROGRAM WORDS. Say rexray config check after a change.
"""


def starter(known: Iterable[type]) -> str:
    """The text of the file; a line that sets something begins with ``#`` and its key, all others with ``# ``."""
    lines = [f"# {line}".rstrip() for line in _HEAD.splitlines()]
    done = set()
    for settings in known:
        for option in options_of(settings):
            if option.key not in done:
                done.add(option.key)
                lines += ["", *_about(option), f"#{option.key}: {_default(option)}"]
    return "\n".join(lines) + "\n"


def _about(option: Option) -> list[str]:
    names = ", ".join([f"${option.env[0]}", *option.flags[:1]])
    choices = f" One of: {', '.join(filter(None, option.choices))}." if option.choices else ""
    text = f"{option.help.rstrip('.')}.{choices} ({names})"
    return [f"# {line}" for line in textwrap.wrap(text, 110, break_on_hyphens=False, break_long_words=False)]


def _default(option: Option) -> str:
    """The default as YAML; for a path that has none by itself an example, for nothing else is a path."""
    if option.default == Path():
        return "/path/to/somewhere  # an example: there is no fixed default"
    if option.type == tuple[str, ...] and isinstance(option.default, tuple):
        return "[" + ", ".join(map(_quoted, option.default)) + "]"
    return '""' if isinstance(option.default, Secret) else _quoted(option.show(option.default))


def _quoted(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9/][\w./-]*(:[\w./-]+)*", text, re.ASCII):
        return text
    return "'" + text.replace("'", "''") + "'" if text else '""'
