"""One lock per volume: between the threads of a process, and between the processes of a host.

A lock knows its owner and its age, so that who has to wait is told for whom; a process that dies lets go.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rexray import calls
from rexray.errors import Busy

WAITERS = 32
"""How many threads wait for one lock; the next is told at once, so that one stuck volume leaves threads for others."""


@dataclass(slots=True)
class _Lock:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    owner: str = ""
    since: float = 0.0


class Locks:
    """Locks by key. With a directory they also hold between processes, by a locked file for each key in it.

    ``keep`` leaves the files where they are, for a directory that hosts share: what one of them has unlinked another
    may still see for a while.
    """

    def __init__(self, directory: Path | None = None, *, keep: bool = False, waiters: int = WAITERS) -> None:
        self._waiters = waiters
        self._directory = directory
        self._keep = keep
        self._table = threading.Lock()
        self._locks: dict[str, _Lock] = {}

    @contextlib.contextmanager
    def hold(self, *keys: str, owner: str, timeout: float) -> Iterator[None]:
        """Hold the locks of all keys; ``Busy`` names the holder if that takes longer than ``timeout`` seconds.

        ``owner`` says what the lock is for, such as ``Mount of data``. Keys are taken in one order, so that two
        holders of several never wait for each other.
        """
        deadline = time.monotonic() + timeout
        with contextlib.ExitStack() as stack:
            for key in sorted(set(keys)):
                stack.enter_context(self._thread_lock(key, owner, deadline))
                if self._directory is not None:
                    stack.enter_context(_file_lock(self._directory, key, owner, deadline, keep=self._keep))
            yield

    @contextlib.contextmanager
    def _thread_lock(self, key: str, owner: str, deadline: float) -> Iterator[None]:
        with self._table:
            entry = self._locks.setdefault(key, _Lock())
            if entry.users > self._waiters:
                raise Busy(f"{owner}: {self._waiters} others are pending behind {entry.owner}: try again")
            entry.users += 1
        try:
            if not entry.lock.acquire(blocking=False):
                with calls.call(calls.LOCK, "thread"):
                    _wait_for_thread(entry, owner, deadline)
            entry.owner, entry.since = owner, time.monotonic()
            try:
                yield
            finally:
                entry.lock.release()
        finally:
            with self._table:
                entry.users -= 1
                if not entry.users:
                    del self._locks[key]


def _wait_for_thread(entry: _Lock, owner: str, deadline: float) -> None:
    if not entry.lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
        age = time.monotonic() - entry.since
        raise Busy(f"{owner}: pending behind {entry.owner}, under way for {age:.1f} s: try again")


@contextlib.contextmanager
def _file_lock(directory: Path, key: str, owner: str, deadline: float, *, keep: bool) -> Iterator[None]:
    """flock(2) the key's file; the kernel lets go when the process dies.

    Unless it is to ``keep`` it, the holder removes the file, so that old names leave none behind: who waited for it
    then holds a file that nobody else can find, sees that, and starts again with the new one.
    """
    path = directory / key
    while True:
        descriptor = _open(path)
        try:
            _flock(descriptor, owner, deadline)
            if not _is_at(descriptor, path):
                continue
            os.pwrite(descriptor, f"{owner} in process {os.getpid()}\n".encode(), 0)
            try:
                yield
            finally:
                if not keep and _is_at(descriptor, path):  # somebody who tidies up may have been here before
                    path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, flags, 0o600)


def _flock(descriptor: int, owner: str, deadline: float) -> None:
    if _try_flock(descriptor):
        return
    with calls.call(calls.LOCK, "process"):
        while not _try_flock(descriptor):
            if time.monotonic() >= deadline:
                text = os.pread(descriptor, 300, 0).decode(errors="replace")
                holder = text.partition("\n")[0] or "another process"
                raise Busy(f"{owner}: pending behind {holder}: try again")
            time.sleep(0.01)


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
