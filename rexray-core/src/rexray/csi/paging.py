"""Pages of sorted names."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence

from rexray.errors import InvalidRequest, StalePage

_LONGEST = 127
"""The longest name in bytes that fits into a token with its mark: CSI's strings have at most 128."""


def page(names: Sequence[str], token: str, count: int) -> tuple[Sequence[str], str]:
    """A page of sorted names, all that are left if ``count`` is 0, and the token of the next page, empty if none.

    A token is the last name of its page, so that the next page begins behind it whatever was made or deleted
    meanwhile; for a name too long it is the name's hash. ``StalePage`` for a token that is not ours.
    """
    if count < 0:
        raise InvalidRequest("max_entries is negative")
    start = _position_behind(names, token) if token else 0
    end = min(len(names), start + count) if count else len(names)
    return names[start:end], _token(names[end - 1]) if start < end < len(names) else ""


def _token(name: str) -> str:
    return f">{name}" if len(name.encode()) <= _LONGEST else f"={hashlib.sha256(name.encode()).hexdigest()}"


def _position_behind(names: Sequence[str], token: str) -> int:
    if token[0] == ">":
        return bisect_right(names, token[1:])
    for position, name in enumerate(names):
        if token[0] == "=" and _token(name) == token:
            return position + 1
    raise StalePage(f"starting_token {token!r} is not, or no longer, one of ours: list from the start")
