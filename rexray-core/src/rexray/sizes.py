"""Sizes as people write them: a bare number is GiB, as in Docker's options and the original's flags."""

from __future__ import annotations

import re

from rexray.errors import InvalidRequest

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGTP])(?:iB|B|i)?|(B))?", re.IGNORECASE)


def parse_size(text: str, *, unit: str = "GiB") -> int:
    """The bytes that ``16``, ``16GiB``, ``512MiB`` or ``1.5T`` mean; ``unit`` is what a bare number counts."""
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise InvalidRequest(f"size {text!r} is not a size: write 16, 16GiB or 512MiB")
    number, letter, plain = form.groups()
    letter = letter.upper() if letter else "" if plain else unit[0].upper().replace("B", "")
    size = float(number) * _UNITS[letter]
    if size >= 2**63:
        raise InvalidRequest(f"size {text!r} is too large: at most {2**63 - 1} bytes can be said")
    return int(size)


def format_size(size_bytes: int) -> str:
    """Bytes for people: the largest binary unit that leaves a short number."""
    for letter in "PTGMK":
        if size_bytes >= _UNITS[letter]:
            return f"{size_bytes / _UNITS[letter]:.4g}{letter}iB"
    return f"{size_bytes}B"
