"""Volumes or snapshots on disk: a directory each, of a data file and a JSON file that says what it is.

``<folder>/NAME/data`` and ``<folder>/NAME/<what>.json``. An entry appears and disappears by one rename(2), from and to
a scratch directory; a directory without its JSON file is not one of ours.
"""

from __future__ import annotations

import contextlib
import logging
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from rexray import faults
from rexray.errors import AlreadyExists, NotFound, RexrayError
from rexray.locks import Locks
from rexray.names import check_name
from rexray_driver_loop.files import NEW, flush_folder, read_record, told, write_record
from rexray_driver_loop.scratch import Scratch

log = logging.getLogger(__name__)

M = TypeVar("M")

LOCK_SECONDS = 30.0
"""How long a change waits for another one of the same entry."""

_BUCKETS = 1024


def lock_key(what: str, name: str) -> str:
    """The lock of a thing of that name, which it shares with others: so lock files do not pile up with old names."""
    return f"{what}-{zlib.crc32(name.encode()) % _BUCKETS:03x}"


class Store(Generic[M]):
    """The entries of one kind."""

    def __init__(self, folder: Path, kind: type[M], what: str, scratch: Scratch, locks: Locks) -> None:
        self.folder = folder
        self.what = what
        self._kind = kind
        self._file = f"{what}.json"
        self._scratch = scratch
        self._locks = locks

    def path(self, name: str) -> Path:
        """The directory of the entry of that name; ``InvalidRequest`` for what can be no entry's name."""
        return self.folder / check_name(name, f"{self.what} name")

    def data(self, name: str) -> Path:
        """The data file of the entry of that name."""
        return self.path(name) / "data"

    def look(self, name: str) -> M | None:
        """What the entry is, None if there is none."""
        path = self.path(name)
        return None if path.is_symlink() else read_record(f"{path}/{self._file}", self._kind)

    def load(self, name: str) -> M:
        """What the entry is; ``NotFound`` if there is none."""
        meta = self.look(name)
        if meta is None:
            raise NotFound(f"{self.what} {name!r} does not exist")
        return meta

    def entries(self) -> Iterator[tuple[str, M]]:
        """Every entry, sorted by name; one that cannot be read is logged and left out."""
        with os.scandir(self.folder) as found:
            names = sorted(entry.name for entry in found if entry.is_dir(follow_symlinks=False))
        for name in names:
            try:
                meta = read_record(f"{self.folder}/{name}/{self._file}", self._kind)
            except RexrayError as error:
                log.warning("%s %r is left out: %s", self.what, name, error)
                continue
            if meta is not None:
                yield name, meta

    @contextlib.contextmanager
    def changing(
        self, name: str, doing: str, *, also: tuple[str, ...] = (), seconds: float = LOCK_SECONDS
    ) -> Iterator[None]:
        """Exclude every other change of the entry, by threads and by processes; ``also`` are more locks to take.

        ``Busy`` after so many seconds.
        """
        path = self.path(name)
        what = f"{doing} {self.what} {name!r}"
        with self._locks.hold(lock_key(self.what, name), *also, owner=what, timeout=seconds), told(what):
            if path.is_dir() and not path.is_symlink():
                (path / (self._file + NEW)).unlink(missing_ok=True)  # of a save that was interrupted
            yield

    def create(self, name: str, fill: Callable[[Path], M]) -> None:
        """Make an entry, unless somebody else made one of that name meanwhile.

        ``fill`` makes the data file at the path that it is given, before anybody sees it, and says what the entry is.
        """
        with told(f"making {self.what} {name!r}"), self._scratch.make() as scratch:
            fresh = scratch / "entry"
            fresh.mkdir(mode=0o700)
            meta = fill(fresh / "data")
            faults.point("loop-create-filled")
            write_record(fresh, self._file, meta)
            with self.changing(name, "making"):
                if self.look(name) is None:
                    self._place(name, fresh)
            faults.point("loop-create-done")

    def _place(self, name: str, fresh: Path) -> None:
        target = self.path(name)
        if os.path.lexists(target):
            raise AlreadyExists(f"{target} exists and is no {self.what}: move it away")
        faults.point("loop-create-named")
        os.rename(fresh, target)
        flush_folder(self.folder)

    def save(self, name: str, meta: M) -> None:
        """Replace what is kept of an entry, which is being :meth:`changing`."""
        write_record(self.path(name), self._file, meta)

    def remove(self, name: str, guard: Callable[[M], None]) -> None:
        """Delete an entry; a missing one is success. ``guard`` refuses that by raising."""
        with self._scratch.make() as scratch, self.changing(name, "removing"):
            meta = self.look(name)
            if meta is None:
                return
            guard(meta)
            os.rename(self.path(name), scratch / "entry")
            flush_folder(self.folder)
            faults.point("loop-remove-renamed")
