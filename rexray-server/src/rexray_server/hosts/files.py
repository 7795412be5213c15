"""Files that REX-Ray writes for somebody else's program to read, and knows again as its own.

The last line of each is a comment with the SHA-256 of all that comes before it. A file whose hash is right is as
REX-Ray wrote it, in whatever version: it may be replaced and removed. Any other one is somebody's, and not touched.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rexray.errors import Forbidden

_SEAL = "# Written by REX-Ray, sha256 of the lines above: "
_SEALED = re.compile(re.escape(_SEAL) + "([0-9a-f]{64})\n")
_MOST = 1 << 20
"""The bytes of a file that may be one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFile:
    """A file to write: where, and what it holds without the last line.

    ``keep`` is for one that is meant to be edited: what is there stays, whatever it is.
    """

    path: Path
    text: str
    mode: int = 0o644
    keep: bool = False

    @property
    def content(self) -> str:
        """All that is written."""
        return sealed(self.text)


def sealed(text: str) -> str:
    """A text with the line by which REX-Ray knows it again."""
    text = text if text.endswith("\n") else text + "\n"
    return f"{text}{_SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n"


def is_untouched(content: str) -> bool:
    """Whether a content is as REX-Ray wrote it."""
    body, newline, seal = content.removesuffix("\n").rpartition("\n")
    found = _SEALED.fullmatch(seal + "\n") if newline else None
    return found is not None and found[1] == hashlib.sha256(f"{body}\n".encode()).hexdigest()


def place(file: HostFile, root: Path, *, force: bool = False, dry_run: bool = False) -> Iterator[str]:
    """Write a file below ``root`` unless it is there; the lines say what was done, and how a changed one differs.

    A file that is not as REX-Ray wrote it stays unless ``force`` is set. ``Forbidden`` where a symbolic link leads out
    of ``root``.
    """
    target = inside(root, file.path)
    there = _read(target)
    if there == file.content and stat.S_IMODE(target.lstat().st_mode) == file.mode:
        yield f"unchanged {target}"
        return
    if os.path.lexists(target):
        if file.keep:
            yield f"kept {target}: it is yours"
            return
        if not force and (there is None or not is_untouched(there)):
            yield f"kept {target}: it is not as REX-Ray wrote it; --force replaces it"
            yield from _difference(there, file.content, target)
            return
    if not dry_run:
        _write(target, file.content, file.mode)
    yield f"{'would write' if dry_run else 'wrote'} {target}"


def remove(path: Path, root: Path, *, dry_run: bool = False) -> Iterator[str]:
    """Remove a file if it is as REX-Ray wrote it; the line says what was done, nothing for one that is not there."""
    target = inside(root, path)
    if not os.path.lexists(target):
        return
    there = _read(target)
    if there is None or not is_untouched(there):
        yield f"kept {target}: it is not as REX-Ray wrote it"
        return
    if not dry_run:
        target.unlink()
    yield f"{'would remove' if dry_run else 'removed'} {target}"


def inside(root: Path, path: Path) -> Path:
    """A path of the tree below ``root``; ``Forbidden`` if a symbolic link in the tree leads its folder out of it."""
    target = root / path.relative_to(path.anchor)
    if not target.parent.resolve().is_relative_to(root.resolve()):
        raise Forbidden(f"{target}: its folder is a link that leads out of {root}: make it one that stays inside")
    return target


def _read(target: Path) -> str | None:
    """The text of a plain file, None if it is missing, no text, or something else, such as a link."""
    try:
        handle = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _MOST:
            return None
        try:
            return file.read().decode()
        except UnicodeDecodeError:
            return None


def _difference(there: str | None, content: str, target: Path) -> Iterator[str]:
    """What differs, without the last lines, which always do; nothing for what is no text."""
    if there is None:
        return
    before, after = (_SEALED.sub("", text).splitlines() for text in (there, content))
    lines = difflib.unified_diff(before, after, str(target), "REX-Ray's", lineterm="", n=0)
    yield from (f"    {line}" for line in lines)


def _write(target: Path, content: str, mode: int) -> None:
    """Put a file in place whole, with its mode from the start."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    handle, scratch = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(content)
            os.fchmod(handle, mode)
            file.flush()
            os.fsync(handle)
        os.replace(scratch, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch)
        raise
