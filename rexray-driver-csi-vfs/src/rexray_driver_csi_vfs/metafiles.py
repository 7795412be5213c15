"""Small JSON files of one dataclass, one a name, and the lock that excludes other threads and processes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

M = TypeVar("M")


class FileLock:
    """A lock between threads and, by flock(2) on a file, between processes; a thread may take it again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.RLock()
        self._depth = 0

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock; for short steps only, for everybody else waits."""
        with self._threads:
            if self._depth:
                yield
                return
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
            finally:
                os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Cached(Generic[M]):
    stamp: tuple[int, int, int]
    meta: M


class MetaFiles(Generic[M]):
    """The files of one directory; a file is parsed again only when it was replaced."""

    def __init__(self, folder: Path, meta: type[M]) -> None:
        self.folder = folder
        self._type = meta
        self._cache: dict[str, _Cached[M]] = {}

    def load(self, name: str) -> M | None:
        """What is kept under a name, None if that is nothing or nothing that we wrote."""
        file = self.folder / f"{name}.json"
        try:
            facts = file.stat()
            stamp = (facts.st_mtime_ns, facts.st_ino, facts.st_size)
            cached = self._cache.get(name)
            if cached is None or cached.stamp != stamp:
                cached = _Cached(stamp, self._type(**json.loads(file.read_bytes())))
                self._cache[name] = cached
        except (FileNotFoundError, ValueError, TypeError):
            self._cache.pop(name, None)
            return None
        return cached.meta

    def save(self, name: str, meta: M, *, durable: bool = False) -> None:
        """Keep something under a name; what is durable also survives a power failure."""
        record: Any = meta
        temporary = self.folder / f"{name}.json.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
            if durable:
                file.flush()
                os.fsync(descriptor)
        os.rename(temporary, self.folder / f"{name}.json")

    def forget(self, name: str) -> None:
        """Keep nothing under a name."""
        (self.folder / f"{name}.json").unlink(missing_ok=True)
        self._cache.pop(name, None)

    def names(self) -> list[str]:
        """The names that something is kept under, sorted."""
        return sorted(name.removesuffix(".json") for name in os.listdir(self.folder) if name.endswith(".json"))
