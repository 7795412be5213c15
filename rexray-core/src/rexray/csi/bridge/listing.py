"""Pages of what a platform lists in one go: the platform is asked once a listing, not once a page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from rexray.csi.paging import page

T = TypeVar("T")

KEEP_SECONDS = 60.0
"""How long the rest of a listing is kept for the next page; later, the platform is asked again."""
_KEEP = 16


class Listing(Generic[T]):
    """Listings of one kind of thing, by their ids."""

    def __init__(self, id_of: Callable[[T], str]) -> None:
        self._id_of = id_of
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], tuple[float, Sequence[T]]] = {}

    def page(
        self, fetch: Callable[[], Iterable[T]], token: str, count: int, *, scope: str = ""
    ) -> tuple[Sequence[T], str]:
        """A page behind the token's, at most ``count`` things (0: all that are left), and the next token.

        ``scope`` says what is listed: tokens are ids, and the same one may stand in listings of different things.
        """
        found = (self._remembered((scope, token)) if token else None) or sorted(fetch(), key=self._id_of)
        names = [self._id_of(item) for item in found]
        chosen, following = page(names, token, count)
        start = names.index(chosen[0]) if chosen else 0
        if following:
            self._remember((scope, following), found)
        return found[start : start + len(chosen)], following

    def _remembered(self, key: tuple[str, str]) -> Sequence[T] | None:
        with self._lock:
            until, found = self._kept.get(key, (0.0, ()))
        return found if time.monotonic() < until else None

    def _remember(self, key: tuple[str, str], found: Sequence[T]) -> None:
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (time.monotonic() + KEEP_SECONDS, found)
            while len(self._kept) > _KEEP:
                del self._kept[next(iter(self._kept))]
