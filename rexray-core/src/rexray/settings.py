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
An empty variable is one that is not set. What a file says for one service (:mod:`rexray.services`) is meant for that
one alone, and wins over all but a flag.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from rexray import secret_sources
from rexray.errors import SettingsError
from rexray.hints import nearest
from rexray.settings_files import Finding, where
from rexray.settings_files import read_files as read_files

T = TypeVar("T")

TRUE = frozenset({"true", "1", "t", "yes", "on"})
FALSE = frozenset({"false", "0", "f", "no", "off"})
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Secret:
    """A value that no log, repr or error shows; :meth:`reveal` gives it to whoever needs it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)" if self._value else "Secret()"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)


class KeptSecret(Secret):
    """A secret that is kept elsewhere (:mod:`rexray.secret_sources`), and is fetched by :meth:`reveal`."""

    __slots__ = ("_environ", "_origin")

    def __init__(self, source: str, origin: str, environ: Mapping[str, str]) -> None:
        super().__init__(source)
        self._origin = origin
        self._environ = environ

    def reveal(self) -> str:
        """The secret itself; ``SettingsError`` where it cannot be had."""
        return secret_sources.resolve(self._value, self._origin, self._environ)


def setting(
    default: T,
    *,
    key: str,
    help: str,
    env: str | tuple[str, ...] | None = None,
    flags: tuple[str, ...] | None = None,
    choices: tuple[str, ...] = (),
    duration: bool = False,
    octal: bool = False,
    older: tuple[str, ...] = (),
) -> T:
    """A settings field: its default, and everything by which a user meets it.

    ``env`` and ``flags`` replace the names that follow from the key; of several variables the first is the
    documented one. ``choices`` are the words allowed, ``duration`` reads ``3s``, ``500ms`` or ``1m`` into seconds,
    ``octal`` reads a file mode. ``older`` are further YAML keys, by which earlier releases knew the setting.
    """
    names = (env,) if isinstance(env, str) else env or (key.upper().replace(".", "_"),)
    first, *rest = key.split(".")
    metadata = {
        "key": key,
        "env": names,
        "flags": ("--" + first + "".join(part[:1].upper() + part[1:] for part in rest),) if flags is None else flags,
        "help": help,
        "choices": choices,
        "duration": duration,
        "octal": octal,
        "older": older,
    }
    field: T = dataclasses.field(default=default, metadata=metadata)
    return field


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A settings field as users meet it."""

    name: str
    type: object
    default: object
    key: str
    env: tuple[str, ...]
    flags: tuple[str, ...]
    help: str
    choices: tuple[str, ...]
    duration: bool
    octal: bool
    older: tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Every YAML key that sets it, the current one first."""
        return (self.key, *self.older)

    @property
    def secret(self) -> bool:
        """Whether the value must never show."""
        return self.type is Secret

    def parse(self, value: object, origin: str) -> object:
        """The value in the field's type; ``SettingsError`` says what ``origin`` should hold."""
        try:
            parsed = self._convert(value)
        except (ValueError, TypeError, RuntimeError):  # RuntimeError: a path in the home of nobody
            shown = "the value" if self.secret else repr(value)
            raise SettingsError(f"{origin}: {shown} is not {self._expected()}") from None
        if self.choices and parsed not in self.choices:
            near = nearest(str(parsed), self.choices)
            hint = f"; did you mean {near!r}?" if near else ""
            raise SettingsError(f"{origin}: {parsed!r} is not one of {', '.join(filter(None, self.choices))}{hint}")
        return parsed

    def show(self, value: object) -> str:
        """The value as an environment variable would hold it; a secret one is hidden."""
        match value:
            case Secret():
                return "***" if value else ""
            case bool():
                return "true" if value else "false"
            case tuple():
                return ",".join(str(part) for part in value)
            case int() if self.octal:
                return f"{value:04o}"
            case float() if self.duration:
                return f"{value:g}s"
        return str(value)

    def _expected(self) -> str:
        if self.duration:
            return "a duration such as 500ms, 3s or 1m"
        if self.octal:
            return "a file mode in octal such as 0660"
        words: dict[object, str] = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
        return words.get(self.type, "a list of words" if self.type == tuple[str, ...] else "a text")

    def _convert(self, value: object) -> object:
        if isinstance(value, (dict, type(None))):
            raise TypeError
        if self.type == tuple[str, ...]:
            parts = value if isinstance(value, (list, tuple)) else str(value).replace(",", " ").split()
            if any(isinstance(part, (list, tuple, dict)) for part in parts):
                raise TypeError
            return tuple(str(part) for part in parts)
        if isinstance(value, (list, tuple)):
            raise TypeError
        if self.octal:
            return _octal(value)
        if self.duration:
            return _seconds(value)
        if self.type is bool:
            return _boolean(value)
        if self.type is int:
            return value if isinstance(value, int) and not isinstance(value, bool) else int(str(value))
        if self.type is float:
            return float(str(value))
        if self.type is Path:
            return _path(str(value))
        if self.type is Secret:
            return value if isinstance(value, Secret) else Secret(str(value))
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise ValueError(word)


def _octal(value: object) -> int:
    digits = str(value).removeprefix("0o")
    if not (digits.isascii() and digits.isdigit()) or int(digits, 8) > 0o777:
        raise ValueError(digits)
    return int(digits, 8)


def _path(text: str) -> Path:
    """Absolute from the start: a daemon changes its working directory."""
    if not text or "\0" in text:
        raise ValueError(text)
    return Path(text).expanduser().absolute()


def _seconds(value: object) -> float:
    text = str(value).strip()
    if not text:
        raise ValueError(text)
    if text.replace(".", "", 1).isdigit():
        return float(text)
    total = 0.0
    rest = text
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = next((unit for unit in ("ms", "s", "m", "h") if rest[digits:].startswith(unit)), None)
        if not digits or unit is None:
            raise ValueError(text)
        total += float(rest[:digits]) * _UNITS[unit]
        rest = rest[digits + len(unit) :]
    return total


def options_of(settings: type) -> tuple[Option, ...]:
    """The options that a settings dataclass declares, in its order."""
    hints = get_type_hints(settings)
    return tuple(
        Option(name=field.name, type=hints[field.name], default=field.default, **field.metadata)
        for field in dataclasses.fields(settings)
    )


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

    @property
    def where(self) -> str:
        """The origin for an error message: a file with the key in it."""
        if self.origin.startswith(("$", "-")):
            return self.origin
        return f"{self.place or self.origin}: {self.key or self.option.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where values come from: parsed files (lowest first), the environment, and the flags that were given.

    ``scopes`` are prefixes of keys in files, such as ``rexray.services.fast.``: what is below them wins over the
    environment, and over the same keys without a prefix. A repr shows none of the values: there are secrets among them.
    """

    files: tuple[tuple[str, Mapping[str, object]], ...] = dataclasses.field(default=(), repr=False)
    environ: Mapping[str, str] = dataclasses.field(default_factory=lambda: dict(os.environ), repr=False)
    flags: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    scopes: tuple[str, ...] = ()

    def effective(self, settings: type) -> tuple[Effective, ...]:
        """What holds for each option of a settings dataclass; a secret that is kept elsewhere is not fetched yet."""
        return tuple(self._kept(self._resolve(option)) for option in options_of(settings))

    def load(self, settings: type[T]) -> T:
        """An instance of a settings dataclass, with its secrets fetched.

        ``SettingsError`` names the source of a wrong value.
        """
        values: dict[str, Any] = {found.option.name: _fetched(found) for found in self.effective(settings)}
        return settings(**values)

    def given(self, option: Option) -> bool:
        """Whether a user set the option, by whatever means."""
        return self._resolve(option).origin != "default"

    def _kept(self, found: Effective) -> Effective:
        value = found.value
        if not isinstance(value, Secret) or not secret_sources.is_source(value.reveal()):
            return found
        return dataclasses.replace(found, value=KeptSecret(value.reveal(), found.where, self.environ))

    def _resolve(self, option: Option) -> Effective:
        for flag in option.flags:
            if flag in self.flags:
                return Effective(option=option, value=option.parse(self.flags[flag], flag), origin=flag)
        if scoped := self._written(option, self.scopes):
            return scoped
        for name in option.env:
            if self.environ.get(name):
                origin = f"${name}"
                return Effective(option=option, value=option.parse(self.environ[name], origin), origin=origin)
        return self._written(option, ("",)) or Effective(option=option, value=option.default, origin="default")

    def _written(self, option: Option, prefixes: Sequence[str]) -> Effective | None:
        """What the files say for an option below one of the prefixes, the last file first."""
        keys = [prefix + key for prefix in prefixes for key in option.keys]
        for path, content in reversed(self.files):
            for key in keys:
                if key.lower() in content:
                    place = where(path, content, key)
                    value = option.parse(content[key.lower()], f"{place}: {key}")
                    return Effective(option=option, value=value, origin=path, key=key, place=place)
        return None


def _fetched(found: Effective) -> object:
    value = found.value
    if isinstance(value, KeptSecret):
        return Secret(value.reveal())
    if isinstance(value, Secret) and value and found.key:
        secret_sources.warn_if_readable(found.origin)
    return value


def unknown_keys(sources: Sources, known: Iterable[type], *, elsewhere: tuple[str, ...] = ()) -> Iterator[Finding]:
    """The keys in the files that no installed settings class declares, under a root that one of them declares.

    ``elsewhere`` are prefixes of keys that somebody else checks.
    """
    keys = {key.lower(): key for settings in known for option in options_of(settings) for key in option.keys}
    roots = {key.split(".")[0] for key in keys}
    for path, content in sources.files:
        for name, value in content.items():
            if value == {} or f"{name}.".startswith(elsewhere):
                continue
            if name.split(".")[0] in roots and name not in keys:
                near = nearest(name, keys)
                hint = f"did you mean {keys[near]!r}?" if near else "remove it, or install the plug-in that has it"
                yield Finding.at(path, content, name, f"unknown setting {name!r}; {hint}")


def check_files(sources: Sources, known: Iterable[type], *, elsewhere: tuple[str, ...] = ()) -> None:
    """Refuse the first of :func:`unknown_keys`."""
    for finding in unknown_keys(sources, known, elsewhere=elsewhere):
        raise finding.error()
