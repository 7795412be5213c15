"""What volumes, snapshots and groups of snapshots are called on the array.

The array has one name space for volumes and snapshots, and no place for a second name: what REX-Ray calls a snapshot
has an ending of its own there, and a name that the array may not have becomes a readable part of it and a hash.
"""

from __future__ import annotations

import base64
import hashlib
import re

from rexray.errors import InvalidRequest

SNAPSHOT = ".snap"
"""How the names of snapshots end on the array."""
GROUP = ".group"
"""How the names of the snapshot sets end that are groups of snapshots."""
GONE = "rexray-gone-"
"""How the names begin of what is being deleted; the rest is its guid, so that nothing else ever has that name."""
LONGEST = 45
"""Characters of a name. 64 is taken for the array's own limit; the others are for the ending of a snapshot, and for
what the array appends to that when it names a copy: a dot, and what it is told to or milliseconds, of 13 digits."""
HASH = 15
"""Characters of a hash in a name: 75 bits."""
MARK = 10
"""Characters of a hash that the array is to append to the name of a copy."""

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*")


def array_name(name: str, ending: str = "") -> str:
    """The name on the array, with that ending: the same one each time; ``InvalidRequest`` for what is no text.

    What is only digits could be taken for an index, what ends as snapshots or groups do for one of them.
    """
    plain = _PLAIN.fullmatch(name) and len(name) <= LONGEST
    if plain and not name.isdigit() and not name.endswith((SNAPSHOT, GROUP)):
        return name + ending
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", name)[: LONGEST - HASH - 1].strip("-") or "rexray"
    return f"{readable}-{digest(name)[:HASH]}{ending}"


def gone_name(guid: str, *, snapshot: bool) -> str:
    """What a volume or a snapshot is called while it is deleted."""
    return f"{GONE}{guid}{SNAPSHOT if snapshot else ''}"


def digest(*words: str) -> str:
    """A hash of the words, in lower-case letters and digits; ``InvalidRequest`` for what is no text."""
    try:
        whole = hashlib.sha256("\0".join(words).encode()).digest()
    except UnicodeEncodeError:
        raise InvalidRequest(f"name {words[0][:40]!r} is no text: it has half a surrogate pair") from None
    return base64.b32encode(whole).decode().rstrip("=").lower()


def own_name(name: str, ending: str) -> str:
    """The name for people of what is called so on the array."""
    return name.removesuffix(ending)
