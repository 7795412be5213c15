"""How a settings dataclass declares its options, and how a value is read in the type of one.

What is public here is used by way of :mod:`rexray.settings`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_type_hints

from rexray import secret_sources
from rexray.errors import SettingsError
from rexray.hints import nearest
from rexray.settings_files import Unset

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

    __slots__ = ("_environ", "_fetched", "_origin")

    def __init__(self, source: str, origin: str, environ: Mapping[str, str], fetched: secret_sources.Fetched) -> None:
        super().__init__(source)
        self._origin = origin
        self._environ = environ
        self._fetched = fetched

    def reveal(self) -> str:
        """The secret itself; ``SettingsError`` where it cannot be had."""
        return self._fetched.get(self._value, self._origin, self._environ)


def variable_of(key: str) -> str:
    """The variable that follows from a key: ``acme.maxRetries`` is ``ACME_MAXRETRIES``."""
    return key.upper().replace(".", "_")


def flag_of(key: str) -> str:
    """The flag that follows from a key: ``acme.maxRetries`` is ``--acmeMaxRetries``."""
    first, *rest = key.split(".")
    return "--" + first + "".join(part[:1].upper() + part[1:] for part in rest)


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
    ``octal`` reads a file mode. ``older`` are further YAML keys, by which earlier releases knew the setting: the
    flags that follow from them are taken as well, and the variables that follow from those with a dot.
    """
    names = (env,) if isinstance(env, str) else env or (variable_of(key),)
    words = (flag_of(key),) if flags is None else flags
    metadata = {
        "key": key,
        "env": tuple(dict.fromkeys((*names, *(variable_of(name) for name in older if "." in name)))),
        "flags": tuple(dict.fromkeys((*words, *map(flag_of, older)))) if words else (),
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
        if isinstance(value, Unset):
            raise SettingsError(f"{origin}: {value.why}")
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
