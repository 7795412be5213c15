"""What volumes and snapshots are called on the array.

A name there has 1 to 31 printable ASCII characters without a blank, and volumes and snapshots share one name space.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode

LONGEST = 31
SNAPSHOT = ".snap"
"""How the names of snapshots end, which are volumes of the array's like any other, and may have a volume's name."""

_HASH = 15
"""Characters of the hash, five bits each."""
_FITS = re.compile(r"[!-~]+")


def volume_name(name: str) -> str:
    """The array's name for a volume: the name itself, or as much of it as fits with a hash of it.

    One that ends as a snapshot's is hashed as well.
    """
    return name if _fits(name, LONGEST) and not name.endswith(SNAPSHOT) else _hashed(name, LONGEST)


def candidates(name: str) -> tuple[str, ...]:
    """The array's names that a volume of that name may have; another tool may have ended its name as a snapshot's."""
    ours = volume_name(name)
    return (ours, name) if name != ours and _fits(name, LONGEST) else (ours,)


def snapshot_name(name: str) -> str:
    """The array's name for a snapshot."""
    room = LONGEST - len(SNAPSHOT)
    plain = _fits(name, room) and not is_member(name + SNAPSHOT)
    return (name if plain else _hashed(name, room)) + SNAPSHOT


def group_stem(name: str) -> str:
    """What the names of a group's snapshots begin with; each goes on with its volume's :func:`member`."""
    room = LONGEST - len(SNAPSHOT) - len(member("0" * 16))
    return name if _fits(name, room) else _hashed(name, room, hash_length=10)


def member(volume_id: str) -> str:
    """How the snapshot of a volume goes on within its group: the half of the id that counts the array's volumes."""
    return f"-{volume_id[-8:]}"


def is_member(array_name: str) -> bool:
    """Whether a snapshot of that name is one of a group: any snapshot has a group's id on the array."""
    return re.search(rf"-[0-9a-f]{{8}}{re.escape(SNAPSHOT)}$", array_name) is not None


def _fits(name: str, room: int) -> bool:
    return 0 < len(name) <= room and _FITS.fullmatch(name) is not None


def _hashed(name: str, room: int, hash_length: int = _HASH) -> str:
    code = b32encode(hashlib.sha256(name.encode(errors="surrogatepass")).digest()).decode().lower()[:hash_length]
    start = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[: room - hash_length - 1]
    return f"{start}-{code}"
