"""Directories with a little metadata, made and removed in steps that a crash cannot tear.

``<root>/NAME`` is the entry itself, all of it the user's. ``<root>/.rexray/`` is ours: ``meta/NAME.json``, and
``tmp/``, where entries are made before they are renamed into place and where they go before they are deleted. An
entry exists when its directory does: metadata alone is what an interrupted creation left, and a directory alone is
a volume that somebody put there, as users of the original have them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Generic, TypeVar

from rexray import faults, mounts
from rexray.errors import Busy, InUse, InvalidRequest, NotFound
from rexray.names import check_name
from rexray_driver_csi_vfs.metafiles import FileLock, MetaFiles

OURS = ".rexray"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

M = TypeVar("M")


class Store(Generic[M]):
    """The entries below one root; ``meta`` is the dataclass of their metadata, with a default for every field."""

    def __init__(self, root: Path, meta: type[M], what: str, glob: str = "*") -> None:
        self.root = root
        self.what = what
        self._type = meta
        self._glob = glob
        self._meta = MetaFiles(root / OURS / "meta", meta)
        self._tmp = root / OURS / "tmp"
        self._lock = FileLock(root / OURS / "lock")

    def prepare(self) -> None:
        """Make the directories, and delete what died half made or half deleted."""
        for folder in (self.root, self._meta.folder, self._tmp):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.lock():
            for leftover in self._tmp.iterdir():
                with _claimed(leftover, exclusive=True) as claimed:
                    if claimed:
                        shutil.rmtree(leftover)
            for name in self._meta.names():
                if not self.exists(name):
                    self._meta.forget(name)

    def lock(self) -> AbstractContextManager[None]:
        """Exclude every other change, by threads of this process and by other processes; for short steps only."""
        return self._lock.hold()

    def path(self, name: str) -> Path:
        """Where the entry of that name is or would be; ``InvalidRequest`` for what can be no entry's name."""
        if name == OURS:
            raise InvalidRequest(f"{self.what} {name!r} is a reserved name")
        return self.root / check_name(name, self.what)

    def exists(self, name: str) -> bool:
        """Whether there is such an entry. A symbolic link is none: it may lead anywhere."""
        path = self.path(name)
        return os.path.isdir(path) and not os.path.islink(path)

    def find(self, name: str) -> M:
        """The entry's metadata, the defaults if it has none; ``NotFound`` if there is no entry."""
        if not self.exists(name):
            raise NotFound(f"{self.what} {name!r} does not exist")
        return self._meta.load(name) or self._type()

    def names(self) -> list[str]:
        """The names of all entries, sorted."""
        with os.scandir(self.root) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.name != OURS and entry.is_dir(follow_symlinks=False) and fnmatchcase(entry.name, self._glob)
            )

    def create(self, name: str, meta: M, fill: Callable[[Path], None]) -> None:
        """Make an entry: ``fill`` works on its directory before anybody sees it. ``Busy`` if it appeared meanwhile."""
        target = self.path(name)
        with self._scratch() as scratch:
            fresh = scratch / "entry"
            fresh.mkdir(mode=0o755)
            fill(fresh)
            faults.point("vfs-create-filled")
            with self.lock():
                if self.exists(name):
                    raise Busy(f"{self.what} {name!r} was made by another process just now: try again")
                self.save(name, meta, durable=True)
                faults.point("vfs-create-meta")
                os.rename(fresh, target)
        faults.point("vfs-create-done")

    def save(self, name: str, meta: M, *, durable: bool = False) -> None:
        """Replace an entry's metadata; durable metadata also survives a power failure."""
        self._meta.save(name, meta, durable=durable)

    def remove(self, name: str) -> None:
        """Delete an entry and its metadata; ``Busy`` while it is being copied. Nothing outside it is touched."""
        path = self.path(name)
        with self._scratch() as scratch:
            with self.lock():
                if not self.exists(name):
                    return
                self._refuse_mounts_below(path)
                with _claimed(path, exclusive=True) as claimed:
                    if not claimed:
                        raise Busy(f"{self.what} {name!r} is being copied: try again when that is done")
                    os.rename(path, scratch / "entry")
                faults.point("vfs-remove-renamed")
                self._meta.forget(name)
            faults.point("vfs-remove-meta")

    def _refuse_mounts_below(self, path: Path) -> None:
        """What somebody mounted inside an entry is not the entry's: deleting through it would delete that."""
        below = f"{path}/"
        inside = next((mount.target for mount in mounts.mount_table() if mount.target.startswith(below)), None)
        if inside is not None:
            raise InUse(f"{self.what} {path.name!r} has another filesystem mounted at {inside}: unmount that first")

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Keep an entry from being removed while it is copied."""
        with contextlib.ExitStack() as stack:
            with self.lock():
                self.find(name)
                stack.enter_context(_claimed(self.path(name), exclusive=False))
            yield self.path(name)

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A directory of this operation's, deleted with what is left in it; its lock tells that it is in use."""
        with contextlib.ExitStack() as stack:
            with self.lock():
                scratch = Path(tempfile.mkdtemp(dir=self._tmp))
                stack.enter_context(_claimed(scratch, exclusive=True))
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch)


@contextlib.contextmanager
def _claimed(folder: Path, *, exclusive: bool) -> Iterator[bool]:
    """flock(2) a directory without waiting, and say whether that worked; the kernel lets go at the latest at exit."""
    try:
        descriptor = os.open(folder, _FOLDER)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
