"""What keys in files can be nested in: a module of the daemon, or a service. Its settings hold for that one alone."""

from __future__ import annotations

SERVICES = ("rexray.services.", "libstorage.server.services.")
"""The prefixes of the keys of services, ours first: the original's means the same."""
MODULES = "rexray.modules."
"""The prefix of the keys of modules."""
NAME = r"[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?"
"""What is a directory's name, a part of a key, and with dots for underscores a part of a CSI plug-in's name."""
NAME_RULE = "up to 40 letters, digits, '-' and '_', with a letter or digit at both ends"


def root_of(key: str, roots: tuple[str, ...] = (*SERVICES, MODULES)) -> str:
    """The one of the roots that a key begins with, empty for none."""
    return next((root for root in roots if key.startswith(root)), "")


def split(key: str) -> tuple[str, str]:
    """A key without what it is nested in, a service or a module, and that."""
    root = root_of(key)
    name, _, rest = key.removeprefix(root).partition(".")
    return (f"{root}{name}.", rest) if root else ("", key)


def name_of(key: str, root: str) -> str:
    """The name after a root, of the service or module that a key is about."""
    return key.removeprefix(root).partition(".")[0]


def spellings(scope: str) -> tuple[str, ...]:
    """The prefixes that mean a scope, ours first."""
    ours, theirs = SERVICES
    return (scope, theirs + scope.removeprefix(ours)) if scope.startswith(ours) else (scope,)
