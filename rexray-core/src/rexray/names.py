"""What a volume, snapshot or holder may be called when the word comes from outside."""

from __future__ import annotations

import hashlib
import unicodedata

from rexray.errors import InvalidRequest

MAX_NAME_BYTES = 128
"""The longest name in bytes of UTF-8: CSI's limit for strings, kept for every protocol."""


def check_name(name: str, what: str = "volume name") -> str:
    """The name itself if it can be a file name and shows what it is; ``InvalidRequest`` says what is wrong."""
    if not name:
        raise InvalidRequest(f"{what} is empty")
    if name in (".", ".."):
        raise InvalidRequest(f"{what} {name!r} is not a name")
    bad = next((char for char in name if char == "/" or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")), None)
    if bad is not None:
        raise InvalidRequest(f"{what} {_short(name)} contains {bad!r}: use letters, digits, '.', '_' and '-'")
    size = len(name.encode())
    if size > MAX_NAME_BYTES:
        raise InvalidRequest(f"{what} {_short(name)} is {size} bytes long: at most {MAX_NAME_BYTES} are allowed")
    return name


def file_key(volume_id: str) -> str:
    """A file name for an identifier of the platform's; one that can be a file name itself is kept."""
    try:
        return check_name(volume_id)
    except InvalidRequest:
        return "id-" + hashlib.sha256(volume_id.encode()).hexdigest()


def _short(name: str) -> str:
    return repr(name if len(name) <= 40 else name[:37] + "...")
