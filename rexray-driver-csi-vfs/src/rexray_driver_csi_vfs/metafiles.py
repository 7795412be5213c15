"""Small JSON files of one dataclass, one a name, and the lock that excludes other threads and processes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

_SUFFIX = ".json"
_TEMPORARY = ".json.tmp"
_CLOCK_TICK_NS = 50_000_000
"""Longer than the step of the clock that stamps files: a file replaced twice within one step may look unchanged."""
_MOST_CACHED = 10_000

M = TypeVar("M")


def flush_folder(folder: Path) -> None:
    """Make what was renamed into a directory survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    """The files of one directory, of a slotted dataclass; a file is parsed again only when it was replaced.

    Changes of one name need a lock around them, which is the caller's.
    """

    def __init__(self, folder: Path, meta: type[M]) -> None:
        self.folder = folder
        self._type = meta
        self._cache: dict[str, _Cached[M]] = {}

    def load(self, name: str) -> M | None:
        """What is kept under a name, None if that is nothing or nothing that we wrote."""
        file = self._file(name, _SUFFIX)
        try:
            facts = os.stat(file)
            stamp = (facts.st_mtime_ns, facts.st_ino, facts.st_size)
            cached = self._cache.get(name)
            if cached is not None and cached.stamp == stamp:
                return cached.meta
            with open(file, "rb") as opened:
                meta = self._type(**json.load(opened))
        except (FileNotFoundError, ValueError, TypeError):
            self._cache.pop(name, None)
            return None
        if time.time_ns() - facts.st_mtime_ns > _CLOCK_TICK_NS:
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
            self._cache[name] = _Cached(stamp, meta)
        return meta

    def save(self, name: str, meta: M, *, durable: bool = False) -> None:
        """Keep something under a name; what is durable also survives a power failure."""
        record: Any = meta
        content = json.dumps({field: getattr(record, field) for field in record.__slots__}).encode()
        temporary = self._file(name, _TEMPORARY)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb", buffering=0) as file:
                file.write(content)
                if durable:
                    os.fsync(descriptor)
            os.rename(temporary, self._file(name, _SUFFIX))
            if durable:
                flush_folder(self.folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def forget(self, name: str) -> None:
        """Keep nothing under a name."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._file(name, _SUFFIX))
        self._cache.pop(name, None)

    def names(self) -> list[str]:
        """The names that something is kept under, sorted."""
        return sorted(name.removesuffix(_SUFFIX) for name in os.listdir(self.folder) if name.endswith(_SUFFIX))

    def tidy(self) -> None:
        """Delete what an interrupted :meth:`save` left."""
        for name in os.listdir(self.folder):
            if name.endswith(_TEMPORARY):
                os.unlink(self.folder / name)

    def _file(self, name: str, suffix: str) -> str:
        return f"{self.folder}/{name}{suffix}"
