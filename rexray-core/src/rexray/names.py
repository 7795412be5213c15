"""What a volume, snapshot or holder may be called when the word comes from outside."""

from __future__ import annotations

import hashlib
import unicodedata

from rexray.errors import InvalidRequest

MAX_NAME_BYTES = 128
"""The longest name in bytes of UTF-8: CSI's limit for strings."""

MAX_VOLUME_NAME = 255
"""The longest name in characters that volumes have on a platform; :func:`file_key` makes a file's name of it."""


def check_name(name: str, what: str = "volume name") -> str:
    """The name itself if it can be a file name and shows what it is; ``InvalidRequest`` says what is wrong."""
    _check_characters(name, what)
    size = len(name.encode())
    if size > MAX_NAME_BYTES:
        raise InvalidRequest(f"{what} {_short(name)} is {size} bytes long: at most {MAX_NAME_BYTES} are allowed")
    return name


def check_volume_name(name: str) -> str:
    """The same for a volume of any platform, whose name may be longer than a file's."""
    _check_characters(name, "volume name")
    if len(name) > MAX_VOLUME_NAME:
        raise InvalidRequest(
            f"volume name {_short(name)} is {len(name)} characters long: at most {MAX_VOLUME_NAME} are allowed"
        )
    return name


def _check_characters(name: str, what: str) -> None:
    if not name:
        raise InvalidRequest(f"{what} is empty")
    if name in (".", ".."):
        raise InvalidRequest(f"{what} {name!r} is not a name")
    bad = next((char for char in name if char == "/" or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")), None)
    if bad is not None:
        raise InvalidRequest(f"{what} {_short(name)} contains {bad!r}: use letters, digits, '.', '_' and '-'")


def file_key(word: str) -> str:
    """A file name for a name or an identifier of the platform's; one that can be a file name itself is kept."""
    try:
        return check_name(word)
    except InvalidRequest:
        return "id-" + hashlib.sha256(word.encode()).hexdigest()


def _short(name: str) -> str:
    return repr(name if len(name) <= 40 else name[:37] + "...")
