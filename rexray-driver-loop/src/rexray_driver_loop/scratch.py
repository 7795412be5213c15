"""Directories for what is half made or half deleted; whoever comes next deletes what a crash left."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from rexray.locks import Locks

log = logging.getLogger(__name__)

_SECONDS = 30.0


class Scratch:
    """The directories below one folder; a locked one belongs to an operation under way."""

    def __init__(self, folder: Path, locks: Locks) -> None:
        self.folder = folder
        self._locks = locks

    def sweep(self) -> None:
        """Delete what belongs to nobody any more."""
        with self._lock("Sweeping"):
            leftovers = list(self.folder.iterdir())
        for leftover in leftovers:
            with _claimed(leftover) as claimed:
                if claimed:
                    _delete(leftover)

    @contextlib.contextmanager
    def make(self) -> Iterator[Path]:
        """A directory of this operation's, deleted in the end with what is left in it."""
        self.sweep()
        with contextlib.ExitStack() as stack:
            with self._lock("Making room"):
                fresh = Path(tempfile.mkdtemp(dir=self.folder))
                stack.enter_context(_claimed(fresh))
            try:
                yield fresh
            finally:
                _delete(fresh)

    def _lock(self, owner: str) -> AbstractContextManager[None]:
        """Between a directory's making and its claiming nobody may take it for a leftover."""
        return self._locks.hold("scratch", owner=f"{owner} in {self.folder}", timeout=_SECONDS)


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """flock(2) a directory without waiting, and say whether that worked; the kernel lets go when the process dies."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    except NotADirectoryError:
        yield True
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _delete(path: Path) -> None:
    """Delete a directory or a stray file; what cannot be deleted is left to the next sweep, and logged."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("%s cannot be deleted: %s", path, error)
