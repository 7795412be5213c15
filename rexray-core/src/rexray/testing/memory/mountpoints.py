"""Mount options, and the directories and files that things are mounted at."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from rexray.errors import InvalidRequest, RexrayError
from rexray.mounts import split_options

_OPERATIONS = frozenset({"bind", "move", "rbind", "remount"})


def parse_options(options: tuple[str, ...]) -> tuple[str, ...]:
    """Each option on its own; ``InvalidRequest`` for one that is another operation."""
    words = tuple(word for text in options for word in split_options(text))
    for word in words:
        if word in _OPERATIONS:
            raise InvalidRequest(f"mount option {word!r} is an operation of its own, not an option of a new mount")
    return words


def is_read_only(words: tuple[str, ...]) -> bool:
    """Whether the options ask for a read-only mount; the last one wins."""
    return [word for word in ("rw", *words) if word in ("ro", "rw")][-1] == "ro"


def rest(words: tuple[str, ...]) -> tuple[str, ...]:
    """The options but for ``ro`` and ``rw``."""
    return tuple(word for word in words if word not in ("ro", "rw"))


@contextlib.contextmanager
def made(place: str, *, directory: bool) -> Iterator[None]:
    """The mount point, made if it is missing and gone again if the mount on it fails: nothing is written there."""
    if os.path.islink(place):
        raise InvalidRequest(f"mount point {place!r} is a symbolic link")
    fresh = not os.path.exists(place)
    if not fresh and os.path.isdir(place) != directory:
        raise InvalidRequest(f"{place!r} is {'a file' if directory else 'a directory'}: nothing of this can be there")
    try:
        if fresh:
            os.makedirs(place if directory else os.path.dirname(place), 0o755, exist_ok=True)
        if fresh and not directory:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise RexrayError(f"cannot make mount point {place!r}: {error.strerror}") from None
    try:
        yield
    except BaseException:
        if fresh:
            with contextlib.suppress(OSError):
                (os.rmdir if directory else os.unlink)(place)
        raise
