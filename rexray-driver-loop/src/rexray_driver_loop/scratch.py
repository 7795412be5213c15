"""Directories for what is half made or half deleted; whoever comes next deletes what a crash left."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)


class Scratch:
    """The directories below one folder; a locked one belongs to an operation under way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sweep(self) -> None:
        """Delete what belongs to nobody any more."""
        for leftover in list(self.folder.iterdir()):
            with _claimed(leftover) as claimed:
                if claimed:
                    _delete(leftover)

    @contextlib.contextmanager
    def make(self) -> Iterator[Path]:
        """A directory of this operation's, deleted in the end with what is left in it."""
        self.sweep()
        while True:
            fresh = Path(tempfile.mkdtemp(dir=self.folder))
            with _claimed(fresh) as claimed:
                if not claimed or not fresh.exists():
                    continue  # a sweep took it for a leftover before it was claimed
                try:
                    yield fresh
                finally:
                    _delete(fresh)
                return


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
