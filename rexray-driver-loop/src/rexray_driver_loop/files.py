"""Small files that a crash cannot tear, and what the kernel's refusals mean."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from rexray import faults
from rexray.errors import Forbidden, OutOfCapacity, OutOfRange, RexrayError, Unavailable

NEW = ".new"
"""The end of the name of a file that is being written."""

M = TypeVar("M")

_KINDS: dict[int, type[RexrayError]] = {
    errno.ENOSPC: OutOfCapacity,
    errno.EDQUOT: OutOfCapacity,
    errno.EFBIG: OutOfRange,
    errno.EACCES: Forbidden,
    errno.EPERM: Forbidden,
    errno.EROFS: Unavailable,
    errno.EIO: Unavailable,
    errno.ESTALE: Unavailable,
    errno.ENOTCONN: Unavailable,
    errno.ETIMEDOUT: Unavailable,
    errno.EHOSTDOWN: Unavailable,
}


@contextlib.contextmanager
def told(doing: str) -> Iterator[None]:
    """What the kernel refuses inside, as one of REX-Ray's errors; ``doing`` is what was tried."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise _KINDS.get(error.errno or 0, RexrayError)(f"{doing}: {where}{error.strerror}") from error


def open_file(path: Path | str, flags: int) -> int:
    """open(2) for this process alone, never through a symbolic link; what is made is the owner's only."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def opened(path: Path | str, flags: int, *, follow: bool = False) -> Iterator[int]:
    """The descriptor of a file, closed at the end; ``follow`` allows a symbolic link."""
    descriptor = os.open(path, flags | os.O_CLOEXEC) if follow else open_file(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Make what was made, renamed or removed in a directory survive a power failure."""
    with opened(folder, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.fsync(descriptor)


def read_record(path: str, kind: type[M]) -> M | None:
    """The dataclass that a file keeps; None without a file, ``RexrayError`` if somebody else wrote it."""
    try:
        with opened(path, os.O_RDONLY) as descriptor:
            content = os.read(descriptor, os.fstat(descriptor).st_size + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return kind(**json.loads(content))
    except (ValueError, TypeError):
        raise RexrayError(f"{path} is damaged, or of another version: put it back from a backup") from None


def write_bytes(folder: Path, name: str, content: bytes) -> None:
    """Put a file there, or another in its place, in one step; the caller excludes other writers of that name."""
    target, fresh = folder / name, folder / (name + NEW)
    try:
        with open(open_file(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())
        faults.point("loop-save-written")
        os.rename(fresh, target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    flush_folder(folder)


def write_record(folder: Path, name: str, record: Any) -> None:
    """Keep a dataclass in a file, in one step."""
    write_bytes(
        folder, name, json.dumps({field.name: getattr(record, field.name) for field in fields(record)}).encode()
    )
