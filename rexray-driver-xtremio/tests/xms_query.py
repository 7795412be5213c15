"""What clients write into requests: sizes, references, properties of bodies, filters."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any

from xms_store import Refused, Store, T, Table

Query = Mapping[str, list[str]]
Body = dict[str, Any]

UNITS = {"": 1, "k": 1, "m": 1 << 10, "g": 1 << 20, "t": 1 << 30}
CLUSTER_KEYS = ("cluster-id", "sys-id")


def size_kib(value: Any) -> int:
    """A size in KB (of 1024 bytes): "10g", "10240m", or an integer of KB."""
    if isinstance(value, int) and not isinstance(value, bool):
        kib = value
    else:
        found = re.fullmatch(r"(\d+)([kmgt]?)b?", str(value).strip().lower())
        if not found:
            raise Refused("Command Syntax Error: Invalid value for property vol-size")
        kib = int(found[1]) * UNITS[found[2]]
    if kib <= 0:
        raise Refused("vol_size_is_invalid")
    return kib


def flag(value: Any) -> bool:
    return value is True or str(value).lower() in ("true", "yes", "1")


def check(store: Store, body: Body, required: Iterable[str], allowed: Iterable[str] = ()) -> None:
    """Refuse a body that lacks a property, or has one that the operation does not know."""
    needed = list(required)
    missing = [key for key in needed if body.get(key) in (None, "", [])]
    if missing:
        raise Refused(f"Command Syntax Error: Missing some of mandatory properties list: {missing}")
    unknown = sorted(body.keys() - {*needed, *allowed, *CLUSTER_KEYS})
    if unknown and store.switches.unknown_properties == "refuse":
        raise Refused(f"Command Syntax Error: Unknown properties: {unknown}")


def refer(store: Store, table: Table[T], value: Any, *, version: int, missing: str = "obj_not_found") -> T:
    """What a body refers to, by integer index or by name."""
    found: T | None = None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Refused("Command Syntax Error: Invalid object reference")
    if isinstance(value, int):
        if version == 1 and not store.switches.v1_post_by_index_ok:
            raise Refused("Command Syntax Error: Invalid object reference")
        found = table.get(value)
    elif value.isdigit() and store.switches.digit_strings == "index":
        found = table.get(int(value))
    else:
        found = table.named(value)
    if found is None:
        raise Refused(missing)
    return found


def address(table: Table[T], key: str | None, query: Query, *, version: int) -> T:
    """The object of a path: by its index, or by ``name=``; v3 takes the guid for the index too."""
    found: T | None = None
    if key is not None:
        if key.isdigit():
            found = table.get(int(key))
        elif version >= 3:
            found = table.with_guid(key)
    elif query.get("name"):
        found = table.named(query["name"][0])
    else:
        raise Refused("Command Syntax Error: Missing some of mandatory properties list: ['entity']")
    if found is None:
        raise Refused("obj_not_found")
    return found


def check_name(store: Store, name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise Refused("Command Syntax Error: Invalid value for property name")
    if store.switches.name_limit and len(name) > store.switches.name_limit:
        raise Refused("name_is_too_long")
    return name


class Filter:
    """``field:op:value``; alternatives of one parameter are separated by commas, from 4.2."""

    OPERATORS = ("eq", "ne", "gt", "ge", "lt", "le", "like")

    def __init__(self, word: str, *, alternatives: bool) -> None:
        joint = rf",(?=[\w-]+:(?:{'|'.join(self.OPERATORS)}):)"
        words = re.split(joint, word) if alternatives else [word]
        self.terms = [self._term(entry) for entry in words]

    def _term(self, word: str) -> tuple[str, str, str]:
        name, _, rest = word.partition(":")
        operator, colon, value = rest.partition(":")
        if not colon or operator not in self.OPERATORS:
            raise Refused(f"Command Syntax Error: Invalid filter {word}")
        return name, operator, value

    def match(self, content: Mapping[str, Any]) -> bool:
        return any(self._holds(content, *term) for term in self.terms)

    def _holds(self, content: Mapping[str, Any], name: str, operator: str, value: str) -> bool:
        if name not in content:
            raise Refused(f"Command Syntax Error: Unknown property {name} in filter")
        found = content[name]
        # a reference may be filtered by any of its parts
        facts = [str(fact) for fact in (found if isinstance(found, list) else [found])]
        if operator == "ne":
            return value not in facts
        return any(_compare(fact, operator, value) for fact in facts)


def _compare(fact: str, operator: str, value: str) -> bool:
    if operator == "eq":
        return fact == value
    if operator == "like":
        return fnmatch.fnmatchcase(fact, value.replace("%", "*"))
    left: Any = fact
    right: Any = value
    if fact.isdigit() and value.isdigit():
        left, right = int(fact), int(value)
    return bool({"gt": left > right, "ge": left >= right, "lt": left < right, "le": left <= right}[operator])


def filters(store: Store, query: Query) -> list[Filter]:
    """The filters of a list, all of which have to match; several only from 4.2."""
    words = query.get("filter", [])
    modern = store.numbers >= (4, 2)
    if len(words) > 1 and not modern:
        if store.switches.extra_filters == "refuse":
            raise Refused("Command Syntax Error: only one filter is supported")
        words = words[:1]
    return [Filter(word, alternatives=modern) for word in words]
