"""One JSON Schema (draft 2020-12) of the configuration files, from the settings of everything that is installed.

It describes a file as REX-Ray reads it, and as editors do: keys in any case, nested or with dots; scalars as texts
or as what YAML makes of them. A file that ``rexray config check`` accepts is valid, and one that it refuses is not,
save for what takes more than one place to see: a key that is written twice, and a service of which files speak in
several places; and for what takes the host to see: whether there is a user ``~name``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rexray import catalog, services
from rexray.core_settings import CoreSettings
from rexray.errors import PluginError
from rexray.registry import registry
from rexray.settings import options_of
from rexray.settings_values import END, Schema, about, any_case, value_of

Entries = Mapping[str, Schema]
"""What keys relative to some level lead to."""

_NAME = services.NAME.replace("a-z", "A-Za-z").replace("(", "(?:")
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
        "unsaid": {"anyOf": [_EMPTY, {"type": "object", "additionalProperties": _ref("unsaid")}]},
    }
    for key, option in options.items():
        name, value = value_of(option)
        defs[f"value:{name}"] = value
        defs[f"setting:{key}"] = _ref(f"value:{name}") | about(key, option)
    drivers = _drivers()
    nested = _define_services(defs, drivers)
    root = _define_tree(defs, options, drivers, nested)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The configuration of REX-Ray",
        **root,
        "$defs": defs,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


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


def _define_services(defs: dict[str, Schema], drivers: Sequence[_Driver]) -> Entries:
    """The definitions ``services`` and what they need; returned is all that may follow a service's name and a dot."""
    words = [word for driver in drivers for word in driver.words]
    defs["driver"] = {"description": "The storage driver of the service", "enum": words}
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
    return nested


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


def _define_tree(
    defs: dict[str, Schema], options: Collection[str], drivers: Sequence[_Driver], nested: Entries
) -> Schema:
    """The definitions of all levels; returned is that of the whole file."""
    roots = {key.split(".")[0].lower() for key in options}
    places = tuple(root.removesuffix(".") for root in services.ROOTS)
    leaves = _leaves(options) | dict.fromkeys(places, "services")
    more: dict[str, dict[str, object]] = {}
    for root in services.ROOTS:
        parts = root.split(".")[:-2]
        for count in range(len(parts) + 1):
            prefix = "".join(f"{part}." for part in parts[:count])
            more.setdefault(prefix, {}).update(_named_services(defs, root.removeprefix(prefix), drivers, nested))
    original, server = services.ORIGINALS.split(".")[:2]
    beside = rf"(?!{any_case('services')}(?:\.|{END}))"
    more[""][rf"^{any_case(services.ORIGINALS)}{beside}"] = _ref("unsaid")
    more[f"{original}."][rf"^{any_case(server)}\.{beside}"] = _ref("unsaid")
    known = "|".join(any_case(key) for key in _entries("", leaves, ""))
    apart = "|".join(any_case(root) for root in services.ROOTS)
    closed = "|".join(any_case(root) for root in sorted(roots))
    more[""][rf"^(?!(?:{known}){END})(?!{apart})(?:{closed})(?:\.|{END})"] = _ref("nothing")
    _define_levels(defs, "", leaves, more)
    below = defs[f"level:{services.ORIGINALS}"]
    defs[f"level:{services.ORIGINALS}"] = {"anyOf": [_EMPTY, below | {"additionalProperties": _ref("unsaid")}]}
    if original not in roots:  # what is below it otherwise is nobody's
        apart_level = defs[f"level:{original}."]
        del apart_level["type"], apart_level["additionalProperties"]
    whole = defs.pop("level:")
    del whole["additionalProperties"]
    return whole
