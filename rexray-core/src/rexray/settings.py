"""Settings: a dataclass field is the one declaration of a YAML key, an environment variable, a flag and a help text.

::

    @dataclass(frozen=True, slots=True, kw_only=True)
    class AcmeSettings:
        endpoint: str = setting("", key="acme.endpoint", help="Where the array's API is")
        password: Secret = setting(Secret(""), key="acme.password", help="The password of that account")

A field's type is one of ``str``, ``bool``, ``int``, ``float`` (a duration in seconds where ``duration=True``),
``Path``, ``Secret`` and ``tuple[str, ...]``. Its variable is the key in capitals with ``_`` for ``.``; its flag is
the key's parts joined, each but the first with a capital (``acme.endpoint`` → ``--acmeEndpoint``). A flag wins over
the environment, that over the ``-c`` file, that over ``~/.rexray/config.yml``, that over ``/etc/rexray/config.yml``.
An empty variable is one that is not set. What a file says for one module of the daemon (:mod:`rexray.modules`) or for
one service (:mod:`rexray.services`) is meant for that one alone, and wins over all but a flag: the module's first.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rexray import redaction, secret_sources
from rexray.hints import nearest
from rexray.scopes import spellings
from rexray.settings_files import Finding, FromVariable, where
from rexray.settings_files import read_files as read_files
from rexray.settings_options import KeptSecret
from rexray.settings_options import Option as Option
from rexray.settings_options import Secret as Secret
from rexray.settings_options import options_of as options_of
from rexray.settings_options import setting as setting

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """An option with the value that holds, and where that came from (``default``, ``$NAME``, ``--flag``, a file)."""

    option: Option
    value: object
    origin: str
    key: str = ""
    """The key that was written, where the origin is a file."""
    place: str = ""
    """That file with the line and the column of the key, where they are known."""
    variable: bool = False
    """Whether the file has only the name of a variable with the value."""

    @property
    def where(self) -> str:
        """The origin for an error message: a file with the key in it."""
        if self.origin.startswith(("$", "-")):
            return self.origin
        return f"{self.place or self.origin}: {self.key or self.option.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where values come from: parsed files (lowest first), the environment, and the flags that were given.

    ``scopes`` are prefixes of keys in files, such as ``rexray.modules.web.`` and ``rexray.services.fast.``: what is
    below them wins over the environment, and over the same keys without a prefix, and what is below the first wins over
    what is below the next. A secret that is kept elsewhere is fetched once for the sources and all that are made of
    them by ``dataclasses.replace``. A repr shows none of the values: there are secrets among them.
    """

    files: tuple[tuple[str, Mapping[str, object]], ...] = dataclasses.field(default=(), repr=False)
    environ: Mapping[str, str] = dataclasses.field(default_factory=lambda: dict(os.environ), repr=False)
    flags: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    scopes: tuple[str, ...] = ()
    fetched: secret_sources.Fetched = dataclasses.field(
        default_factory=secret_sources.Fetched, repr=False, compare=False
    )

    def effective(self, settings: type) -> tuple[Effective, ...]:
        """What holds for each option of a settings dataclass; a secret that is kept elsewhere is not fetched yet."""
        return tuple(self._kept(self._resolve(option)) for option in options_of(settings))

    def load(self, settings: type[T]) -> T:
        """An instance of a settings dataclass, with its secrets fetched.

        ``SettingsError`` names the source of a wrong value.
        """
        values: dict[str, Any] = {found.option.name: _fetched(found) for found in self.effective(settings)}
        return settings(**values)

    def load_own(self, settings: type[T], scope: str) -> T:
        """What files say below a scope for a settings class whose keys mean nothing anywhere else."""
        values: dict[str, Any] = {
            option.name: found.value if (found := self._below(option, scope)) else option.default
            for option in options_of(settings)
        }
        return settings(**values)

    def given(self, option: Option) -> bool:
        """Whether a user set the option, by whatever means."""
        return self._resolve(option).origin != "default"

    def _kept(self, found: Effective) -> Effective:
        value = found.value
        if not isinstance(value, Secret) or not secret_sources.is_source(value.reveal()):
            return found
        return dataclasses.replace(found, value=KeptSecret(value.reveal(), found.where, self.environ, self.fetched))

    def _resolve(self, option: Option) -> Effective:
        for flag in option.flags:
            if flag in self.flags:
                return Effective(option=option, value=option.parse(self.flags[flag], flag), origin=flag)
        for scope in self.scopes:
            if scoped := self._below(option, scope):
                return scoped
        for name in option.env:
            if self.environ.get(name):
                origin = f"${name}"
                return Effective(option=option, value=option.parse(self.environ[name], origin), origin=origin)
        return self._below(option, "") or Effective(option=option, value=option.default, origin="default")

    def _below(self, option: Option, scope: str) -> Effective | None:
        """What the files say for an option below a scope, however that is spelt, the last file first."""
        keys = [prefix + key for prefix in spellings(scope) for key in option.keys]
        for path, content in reversed(self.files):
            for key in keys:
                if key.lower() in content:
                    place, written = where(path, content, key), content[key.lower()]
                    return Effective(
                        option=option,
                        value=option.parse(written, f"{place}: {key}"),
                        origin=path,
                        key=key,
                        place=place,
                        variable=isinstance(written, FromVariable),
                    )
        return None


def _fetched(found: Effective) -> object:
    value = found.value
    if isinstance(value, KeptSecret):
        return Secret(redaction.register(value.reveal()))
    if isinstance(value, Secret):
        redaction.register(value.reveal())
    if isinstance(value, Secret) and value and found.key and not found.variable:
        secret_sources.warn_if_readable(found.origin)
    return value


def keys_of(known: Iterable[type]) -> Mapping[str, str]:
    """Every key of settings classes as it is documented, by its lower case."""
    return {key.lower(): key for settings in known for option in options_of(settings) for key in option.keys}


def unknown_keys(
    sources: Sources,
    known: Iterable[type],
    *,
    elsewhere: tuple[str, ...] = (),
    told: Callable[[str, Mapping[str, str]], str] | None = None,
) -> Iterator[Finding]:
    """The keys in the files that no installed settings class declares.

    ``elsewhere`` are prefixes of keys that somebody else checks. ``told`` is asked what to say of a key, by that and
    the :func:`keys_of` the classes, empty for nothing; without it keys are let be whose root nobody has.
    """
    keys = keys_of(known)
    for path, content in sources.files:
        for name, value in content.items():
            if value == {} or name in keys or f"{name}.".startswith(elsewhere):
                continue
            if message := (told or _told)(name, keys):
                yield Finding.at(path, content, name, message)


def _told(name: str, keys: Mapping[str, str]) -> str:
    if name.split(".")[0] not in {key.split(".")[0] for key in keys}:
        return ""
    near = nearest(name, keys)
    hint = f"did you mean {keys[near]!r}?" if near else "remove it, or install the plug-in that has it"
    return f"unknown setting {name!r}; {hint}"


def check_files(sources: Sources, known: Iterable[type], *, elsewhere: tuple[str, ...] = ()) -> None:
    """Refuse the first of :func:`unknown_keys`."""
    for finding in unknown_keys(sources, known, elsewhere=elsewhere):
        raise finding.error()
