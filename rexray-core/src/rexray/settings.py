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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from rexray.errors import SettingsError
from rexray.hints import nearest

T = TypeVar("T")

_TRUE = frozenset({"true", "1", "t", "yes", "on"})
_FALSE = frozenset({"false", "0", "f", "no", "off"})
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
    if word in _TRUE:
        return True
    if word in _FALSE:
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

    @property
    def where(self) -> str:
        """The origin for an error message: a file with the key in it."""
        return self.origin if self.origin.startswith(("$", "-")) else f"{self.origin}: {self.key or self.option.key}"


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
        """What holds for each option of a settings dataclass."""
        return tuple(self._resolve(option) for option in options_of(settings))

    def load(self, settings: type[T]) -> T:
        """An instance of a settings dataclass; ``SettingsError`` names the source of a wrong value."""
        values: dict[str, Any] = {found.option.name: found.value for found in self.effective(settings)}
        return settings(**values)

    def given(self, option: Option) -> bool:
        """Whether a user set the option, by whatever means."""
        return self._resolve(option).origin != "default"

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
                    value = option.parse(content[key.lower()], f"{path}: {key}")
                    return Effective(option=option, value=value, origin=path, key=key)
        return None


def read_files(paths: Sequence[Path], required: Path | None = None) -> tuple[tuple[str, Mapping[str, object]], ...]:
    """The configuration files that exist, each flattened to dotted lower-case keys, lowest precedence first.

    ``required`` is read last and must exist. A file that is not YAML, or not a mapping, is a ``SettingsError`` with
    its line and column.
    """
    found = [path for path in paths if path.is_file()]
    if required is not None:
        if not required.is_file():
            raise SettingsError(f"{required}: no such configuration file")
        found.append(required)
    return tuple((str(path), _read_file(path)) for path in found)


def _read_file(path: Path) -> Mapping[str, object]:
    import yaml  # costs more than everything else here, and most hosts have no file

    try:
        # Every scalar stays the text that was written: 0660 is no decimal number, and "on" no boolean, by itself.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise SettingsError(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    if content is None or content == "":
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path}:1:1: a mapping of settings is expected, not a {type(content).__name__}")
    flat: dict[str, object] = {}
    for key, value in _flatten(content, ""):
        if key in flat:
            raise SettingsError(f"{path}: {key} is written twice: upper and lower case, and dots and nesting, are one")
        flat[key] = value
    return flat


def _flatten(content: Mapping[object, object], prefix: str) -> Iterable[tuple[str, object]]:
    for key, value in content.items():
        name = f"{prefix}{key}".lower()
        if isinstance(value, dict) and value:
            yield from _flatten(value, name + ".")
        else:
            yield name, value


def check_files(sources: Sources, known: Iterable[type], *, elsewhere: tuple[str, ...] = ()) -> None:
    """Refuse a key that no installed settings class declares, under a root that one of them declares.

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
                raise SettingsError(f"{path}: unknown setting {name!r}; {hint}")
