"""What a new driver may be called, and what follows from its name."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from rexray import catalog
from rexray.errors import AlreadyExists, InvalidRequest
from rexray.registry import registry
from rexray.settings import options_of

MAX_LENGTH = 24
"""The longest name in characters: it is a part of the names of classes, settings and variables."""
_FORM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """A driver's name in every spelling that its files need."""

    name: str
    prefix: str
    """How its distribution's name begins: ``rexray-driver`` or ``rexray-os``."""

    @property
    def distribution(self) -> str:
        """What pip installs."""
        return f"{self.prefix}-{self.name}"

    @property
    def package(self) -> str:
        """What Python imports."""
        return self.distribution.replace("-", "_")

    @property
    def class_prefix(self) -> str:
        """How its classes' names begin."""
        return "".join(part.capitalize() for part in self.name.split("-"))

    @property
    def key(self) -> str:
        """The first part of its settings' keys, which has no dash: it is a part of a variable's name as well."""
        return self.class_prefix[0].lower() + self.class_prefix[1:]


def checked(name: str, prefix: str) -> Names:
    """The names of a new driver.

    ``InvalidRequest`` for a word that cannot be one's name, ``AlreadyExists`` says which distribution has it.
    """
    if not _FORM.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")[:MAX_LENGTH].strip("-")
        hint = f": what about {near!r}?" if _FORM.fullmatch(near) and not keyword.iskeyword(near) else ""
        raise InvalidRequest(
            f"driver name {name!r}: small letters, digits and single dashes are allowed, a letter first{hint}"
        )
    if len(name) > MAX_LENGTH:
        raise InvalidRequest(f"driver name {name!r}: {len(name)} characters, at most {MAX_LENGTH} are allowed")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise InvalidRequest(f"driver name {name!r}: it is a word of Python's own, and cannot name a module")
    if name.startswith("test"):
        raise InvalidRequest(f"driver name {name!r}: pytest would take its classes for tests: begin it otherwise")
    names = Names(name=name, prefix=prefix)
    _refuse_installed(names)
    _refuse_settings(names)
    return names


def _refuse_installed(names: Names) -> None:
    for kind in catalog.GROUPS:
        for entry in catalog.entries(kind):
            if entry.name == names.name:
                raise AlreadyExists(
                    f"driver name {names.name!r} is taken: {catalog.describe(entry.distribution())} has "
                    f"the {kind} plug-in of that name: choose another, or uninstall that"
                )


def _refuse_settings(names: Names) -> None:
    """Settings of two distributions below one key would be one another's unknown ones."""
    from rexray.core_settings import CoreSettings

    for settings in [CoreSettings, *registry().settings()]:
        for option in options_of(settings):
            if any(key.split(".")[0].lower() == names.key.lower() for key in option.keys):
                raise AlreadyExists(
                    f"driver name {names.name!r}: {settings.__module__.split('.')[0]} has the setting "
                    f"{option.key!r}, which begins like those of the new driver would: choose another"
                )
