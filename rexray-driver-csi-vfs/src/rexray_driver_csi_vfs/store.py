"""Directories with a little metadata, made and removed in steps that a crash cannot tear.

``<root>/NAME`` is the entry itself, all of it the user's. ``<root>/.rexray/`` is ours: ``meta/NAME.json``, and
``tmp/``, where entries are made before they are renamed into place and where they go before they are deleted. An
entry exists when its directory does: metadata alone is what an interrupted creation left, and a directory alone is
a volume that somebody put there, as users of the original have them.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Generic, TypeVar

from rexray import faults, mounts
from rexray.errors import AlreadyExists, Busy, InUse, InvalidRequest, NotFound
from rexray.names import MAX_NAME_BYTES, check_name
from rexray_driver_csi_vfs.metafiles import FileLock, MetaFiles, flush_folder

log = logging.getLogger(__name__)

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
        for folder in (self.root, self.root / OURS, self._meta.folder, self._tmp):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.lock():
            self._meta.tidy()
            for name in self._meta.names():
                if not self.exists(name):
                    self._meta.forget(name)
            leftovers = list(self._tmp.iterdir())
        for leftover in leftovers:
            with _claimed(leftover, exclusive=True) as claimed:
                if claimed:
                    _delete(leftover)

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
        try:
            return stat.S_ISDIR(os.lstat(self.path(name)).st_mode)
        except FileNotFoundError:
            return False

    def find(self, name: str) -> M:
        """The entry's metadata, the defaults if it has none; ``NotFound`` if there is no entry."""
        if not self.exists(name):
            raise NotFound(f"{self.what} {name!r} does not exist")
        return self._meta.load(name) or self._type()

    def names(self) -> list[str]:
        """The names of all entries that the glob pattern lets through, sorted."""
        with os.scandir(self.root) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and fnmatchcase(entry.name, self._glob) and _can_be(entry.name)
            )

    def create(self, name: str, meta: M, fill: Callable[[Path], None]) -> bool:
        """Make an entry; False if somebody else made one of that name meanwhile.

        ``fill`` works on the directory before anybody sees it.
        """
        target = self.path(name)
        with self._scratch() as scratch:
            fresh = scratch / "entry"
            fresh.mkdir(mode=0o755)
            fill(fresh)
            faults.point("vfs-create-filled")
            with self.lock():
                if self.exists(name):
                    return False
                if os.path.lexists(target):
                    raise AlreadyExists(f"{target} exists and is not a directory")
                self.save(name, meta, durable=True)
                faults.point("vfs-create-meta")
                os.rename(fresh, target)
                flush_folder(self.root)
            faults.point("vfs-create-done")
        return True

    def save(self, name: str, meta: M, *, durable: bool = False) -> None:
        """Replace an entry's metadata; durable metadata also survives a power failure."""
        self._meta.save(name, meta, durable=durable)

    def remove(self, name: str, guard: AbstractContextManager[object] | None = None) -> None:
        """Delete an entry and its metadata; ``Busy`` while it is being copied. Nothing outside it is touched.

        ``guard`` is entered before the entry goes, and refuses that by raising.
        """
        path = self.path(name)
        if not self.exists(name):
            return
        with self._scratch() as scratch:
            with guard or contextlib.nullcontext(), self.lock():
                if not self.exists(name):
                    return
                self._refuse_mounts_at(path)
                with _claimed(path, exclusive=True) as claimed:
                    if not claimed:
                        raise Busy(f"{self.what} {name!r} is being copied: try again when that is done")
                    os.rename(path, scratch / "entry")
                faults.point("vfs-remove-renamed")
                self._meta.forget(name)
            faults.point("vfs-remove-meta")

    def _refuse_mounts_at(self, path: Path) -> None:
        """What somebody mounted at or inside an entry is not the entry's: deleting through it would delete that."""
        real = os.path.realpath(path)
        targets = (mount.target for mount in mounts.mount_table())
        inside = next((target for target in targets if target == real or target.startswith(f"{real}/")), None)
        if inside is not None:
            raise InUse(f"{self.what} {path.name!r} has another filesystem mounted at {inside}: unmount that first")

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Keep an entry from being removed while somebody goes through it."""
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
                _delete(scratch)


def _can_be(name: str) -> bool:
    """Whether an entry can have that name; a directory of any other is not ours to show."""
    if name == OURS:
        return False
    if name.isascii() and name.isprintable() and len(name) <= MAX_NAME_BYTES:
        return True  # what check_name would say, in a tenth of the time
    try:
        check_name(name)
    except InvalidRequest:
        return False
    return True


def _delete(folder: Path) -> None:
    """Delete a tree however deep it is; what cannot be deleted is left to the next start, and logged."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)  # empty after all that went well
        return
    command = ["rm", "--recursive", "--force", "--one-file-system", "--", str(folder)]
    ended = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    if ended.returncode != 0:
        first = ended.stderr.decode(errors="replace").partition("\n")[0]
        log.warning("%s cannot be deleted: %s", folder, first)


@contextlib.contextmanager
def _claimed(folder: Path, *, exclusive: bool) -> Iterator[bool]:
    """flock(2) a directory without waiting, and say whether that worked; the kernel lets go at the latest at exit."""
    try:
        descriptor = os.open(folder, _FOLDER)
    except (FileNotFoundError, NotADirectoryError):
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
