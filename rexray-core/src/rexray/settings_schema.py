"""One JSON Schema (draft 2020-12) of the configuration files, from the settings of everything that is installed.

It describes a file as REX-Ray reads it, and as editors do: keys in any case, nested or with dots; scalars as texts
or as what YAML makes of them. A file that ``rexray config check`` accepts is valid, and one that it refuses is not,
save for what takes more than one place to see: a setting that is written twice, by one of its names or by two, and a
service of which files speak in several places; and for what takes the host to see: whether there is a user ``~name``,
and what a variable ``$NAME`` is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rexray import catalog, services, settings_unknown
from rexray.core_settings import CoreSettings
from rexray.errors import PluginError
from rexray.modules import ModuleSettings
from rexray.registry import registry
from rexray.scopes import MODULES, NAME
from rexray.settings import Option, options_of
from rexray.settings_values import END, VARIABLE_NAME, Schema, about, any_case, value_of

Entries = Mapping[str, Schema]
"""What keys relative to some level lead to."""

Named = Callable[[str], dict[str, object]]
"""Gives the patterns of keys that begin with a text, and then have a name of a service or module."""

_NAME = NAME.replace("a-z", "A-Za-z").replace("(", "(?:")
_EMPTY: Schema = {"enum": ["", None]}
_HAS_DRIVER: Schema = {"not": {"propertyNames": {"not": {"pattern": f"^{any_case(services.DRIVER)}{END}"}}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Driver:
    """A storage driver: the words for it, and the keys that its services may nest; None while it cannot be loaded."""

    words: tuple[str, ...]
    keys: tuple[str, ...] | None

    @property
    def scope(self) -> str:
        """What the names of its definitions begin with."""
        return f"service:{self.words[0]}:"


def json_schema() -> Schema:
    """The schema, with a definition for each setting and each level of keys."""
    classes = [CoreSettings, *registry().settings()]
    options = {key: option for found in classes for option in options_of(found) for key in option.keys}
    defs: dict[str, Schema] = {
        # Keys that nobody has are let be as long as they say nothing.
        "nothing": {"type": "object", "additionalProperties": _ref("nothing")},
    }
    for key, option in options.items():
        _define(defs, f"setting:{key}", option, about(key, option))
    drivers = _drivers()
    named = {**_named_modules(defs, options), **_named_services_of(defs, drivers)}
    root = _define_tree(defs, options, named)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The configuration of REX-Ray",
        **root,
        "$defs": defs,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _define(defs: dict[str, Schema], name: str, option: Option, shown: Schema) -> None:
    values, schema = value_of(option)
    defs[f"value:{values}"] = schema
    defs[name] = _ref(f"value:{values}") | shown


def _drivers() -> list[_Driver]:
    found: dict[tuple[str, ...] | None, list[str]] = {}
    for entry in catalog.entries("storage"):
        try:
            keys = tuple(services.nested_options(entry.name))
        except PluginError:
            keys = None
        found.setdefault(keys, []).append(entry.name)
    return [_Driver(words=tuple(words), keys=keys) for keys, words in found.items()]


def _leaves(keys: Iterable[str]) -> dict[str, str]:
    """The definition that each key leads to."""
    return {key: f"setting:{key}" for key in keys}


def _entries(scope: str, leaves: Mapping[str, str], prefix: str) -> Entries:
    """What can be written at a level: what is below the prefix, and every beginning of it that ends before a dot."""
    found: dict[str, list[Schema]] = {}
    for key, name in leaves.items():
        if not key.lower().startswith(prefix):
            continue
        parts = key[len(prefix) :].split(".")
        for count in range(1, len(parts)):
            level = ".".join(parts[:count])
            found.setdefault(level, []).append(_ref(f"{scope}level:{prefix}{level.lower()}."))
        found.setdefault(".".join(parts), []).append(_ref(name))
    unique = {
        key: [schema for at, schema in enumerate(several) if schema not in several[:at]]
        for key, several in found.items()
    }
    return {key: several[0] if len(several) == 1 else {"anyOf": several} for key, several in unique.items()}


def _define_levels(
    defs: dict[str, Schema], scope: str, leaves: Mapping[str, str], more: Mapping[str, Mapping[str, object]]
) -> None:
    """A definition for each level of keys; ``more`` are further patterns of a level, by its prefix."""
    prefixes = {
        "".join(f"{part}." for part in key.lower().split(".")[:count])
        for key in leaves
        for count in range(len(key.split(".")))
    }
    for prefix in sorted(prefixes):
        entries = _entries(scope, leaves, prefix)
        defs[f"{scope}level:{prefix}"] = {
            "type": "object",
            "properties": {key: schema for key, schema in entries.items() if "." not in key},
            "patternProperties": {
                **_patterns(defs, entries),
                **more.get(prefix, {}),
            },
            "additionalProperties": _ref("nothing"),
        }


def _named_services_of(defs: dict[str, Schema], drivers: Sequence[_Driver]) -> Mapping[str, Named]:
    """The definition ``services`` and what it needs; returned is what may follow each of the roots of services."""
    words = [word for driver in drivers for word in driver.words]
    defs["driver"] = {"description": "The storage driver of the service", "anyOf": [{"enum": words}, VARIABLE_NAME]}
    own = {services.DRIVER: "driver"}
    for driver in drivers:
        if driver.keys is None:
            defs[f"{driver.scope}level:"] = {"type": "object"}
        else:
            _define_levels(defs, driver.scope, own | _leaves(driver.keys), {})
    every = own | _leaves(key for driver in drivers for key in driver.keys or ())
    _define_levels(defs, "any:", every, {})
    named = f"^{any_case(services.DRIVER)}{END}"
    defs["service"] = {
        "type": "object",
        **_HAS_DRIVER,
        "patternProperties": {named: _ref("driver")},
        "allOf": [
            {"if": {"patternProperties": {named: {"enum": [*driver.words]}}}, "then": _ref(f"{driver.scope}level:")}
            for driver in drivers
        ],
    }
    for driver in drivers:
        defs[f"{driver.scope}named"] = {
            "anyOf": [
                _EMPTY,
                {"if": _HAS_DRIVER, "then": _ref("service"), "else": _ref(f"{driver.scope}level:")},
            ]
        }
    nested = _entries("any:", every, "")
    defs["services"] = {
        "anyOf": [
            _EMPTY,
            {
                "type": "object",
                "patternProperties": _named_services(defs, "", drivers, nested),
                "additionalProperties": _ref("nothing"),
            },
        ]
    }
    return {root: lambda before: _named_services(defs, before, drivers, nested) for root in services.ROOTS}


def _patterns(defs: Mapping[str, Schema], entries: Entries, first: str = "") -> dict[str, object]:
    """The patterns of keys in any case, those with the same values together; ``first`` is the pattern before them."""
    groups: dict[str, tuple[Schema, list[str]]] = {}
    for key, schema in entries.items():
        name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
        plain: Schema = {"$ref": defs[name]["$ref"]} if name.startswith("setting:") else schema
        groups.setdefault(str(plain), (plain, []))[1].append(any_case(key))
    return {rf"^{first}(?:{'|'.join(keys)}){END}": plain for plain, keys in groups.values()}


def _named_services(
    defs: Mapping[str, Schema], before: str, drivers: Sequence[_Driver], nested: Entries
) -> dict[str, object]:
    """The patterns for the names of services and what follows them, where ``before`` comes first in the key."""
    first = any_case(before)
    words = "|".join(any_case(word) for driver in drivers for word in driver.words)
    known = "|".join(any_case(key) for key in nested)
    found: dict[str, object] = {
        rf"^{first}(?!{_NAME}(?:\.|{END}))": False,
        rf"^{first}(?!(?:{words}){END}){_NAME}{END}": _ref("service"),
        rf"^{first}{_NAME}\.(?!(?:{known}){END})": _ref("nothing"),
    }
    for driver in drivers:
        found[rf"^{first}(?:{'|'.join(map(any_case, driver.words))}){END}"] = _ref(f"{driver.scope}named")
    return found | _patterns(defs, nested, rf"{first}{_NAME}\.")


def _named_modules(defs: dict[str, Schema], options: Mapping[str, Option]) -> Mapping[str, Named]:
    """The definition ``modules`` and what it needs; returned is what may follow the root of modules."""
    own = {option.key: option for option in options_of(ModuleSettings)}
    for key, option in own.items():
        _define(defs, f"module:setting:{key}", option, {"description": option.help})
    leaves = _leaves(options) | {key: f"module:setting:{key}" for key in own}
    _define_levels(defs, "module:", leaves, {"": _unknown("")})
    defs["module"] = {"anyOf": [_EMPTY, _ref("module:level:")]}
    nested = _entries("module:", leaves, "")
    known = "|".join([*map(any_case, nested)])
    unknown = "|".join([rf"(?:{known}){END}", *map(any_case, settings_unknown.unknown_prefixes())])

    def named(before: str) -> dict[str, object]:
        first = any_case(before)
        found: dict[str, object] = {
            rf"^{first}(?!{_NAME}(?:\.|{END}))": False,
            rf"^{first}{_NAME}{END}": _ref("module"),
            rf"^{first}{_NAME}\.(?!{unknown})": _ref("nothing"),
        }
        return found | _patterns(defs, nested, rf"{first}{_NAME}\.")

    patterns = {"type": "object", "patternProperties": named(""), "additionalProperties": _ref("nothing")}
    defs["modules"] = {"anyOf": [_EMPTY, patterns]}
    return {MODULES: named}


def _unknown(before: str) -> dict[str, object]:
    """The patterns of keys that belong to plug-ins which cannot say theirs: all of those are let be."""
    words = [prefix.removesuffix(".") for prefix in settings_unknown.unknown_prefixes()]
    return {rf"^{any_case(before)}(?:{'|'.join(map(any_case, words))})(?:\.|{END})": True} if words else {}


def _define_tree(defs: dict[str, Schema], options: Collection[str], named: Mapping[str, Named]) -> Schema:
    """The definitions of all levels; returned is that of the whole file."""
    places = {root.removesuffix("."): root.split(".")[-2] for root in named}
    more: dict[str, dict[str, object]] = {"": _unknown("")}
    for root, patterns in named.items():
        parts = root.split(".")[:-2]
        for count in range(len(parts) + 1):
            prefix = "".join(f"{part}." for part in parts[:count])
            more.setdefault(prefix, {}).update(patterns(root.removeprefix(prefix)))
    _define_levels(defs, "", _leaves(options) | places, more)
    return defs.pop("level:")
