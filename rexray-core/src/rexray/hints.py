"""What somebody who mistyped a name probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word most like ``word``; None where none is at least ``cutoff`` (0 to 1) like it."""
    import difflib  # most commands meet no mistake

    return next(iter(difflib.get_close_matches(word, known, 1, cutoff)), None)
