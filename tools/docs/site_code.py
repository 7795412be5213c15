"""What pages take from the code itself: errors, hooks and policies."""

from __future__ import annotations

import inspect
import json

from mkdocs.exceptions import PluginError

from rexray import errors, hookspecs
from rexray.csi.status import status_of
from rexray.mixins import HasPolicy
from rexray.registry import registry
from rexray.settings import Sources
from site_tables import table


def hook_names() -> list[str]:
    """Every hook, in the order of ``rexray.hookspecs``."""
    return [name for name in vars(hookspecs) if name.startswith("rexray_")]


def errors_table(_: str) -> str:
    """Every error with its parent, its meaning and the status that a CSI client gets for it."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RexrayError)]
    rows = []
    for kind in kinds:
        parent = "" if kind is errors.RexrayError else f"`{kind.__mro__[1].__name__}`"
        rows.append((f"`{kind.__name__}`", parent, _line(kind.__doc__), f"`{status_of(kind('')).name}`"))
    return table(("Error", "Is a", "What it says", "Over CSI"), rows)


def hook(name: str) -> str:
    """A hook's signature and what its docstring says."""
    if name not in hook_names():
        raise PluginError(f"there is no hook {name!r}: there are {', '.join(hook_names())}")
    specification = getattr(hookspecs, name)
    signature = str(inspect.signature(specification)).replace("'", "")  # annotations are texts there
    return f"```python\ndef {name}{signature}\n```\n\n{_line(specification.__doc__)}\n"


def hooks_table(_: str) -> str:
    """Every hook in a line."""
    rows = [(f"[`{name}`](#{name})", _line(getattr(hookspecs, name).__doc__)) for name in hook_names()]
    return table(("Hook", "What it is for"), rows)


def policy(driver: str) -> str:
    """The least policy that a storage driver says its credentials need, where no setting switches anything off."""
    found = registry().storage_driver(driver)
    if not issubclass(found, HasPolicy):
        raise PluginError(f"storage driver {driver!r} has no policy")
    return f"```json\n{json.dumps(found.policy(Sources(environ={})), indent=2, ensure_ascii=False)}\n```\n"


def _line(docstring: str | None) -> str:
    """A docstring as one line of Markdown."""
    return " ".join((docstring or "").split()).replace("``", "`").replace(":data:`", "`")
