"""The PID file: it is locked while its process lives, so a stale one, or a PID that came round again, fools nobody."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from rexray.errors import InUse

_READERS_SECONDS = 2.0
"""How long to wait while others ask who holds the file: each of them has it for less than a millisecond."""


class PidFile:
    """The PID file of the service at one path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Write this process's PID and hold the lock; ``InUse`` names the PID of a living holder."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        while True:
            descriptor = self._lock()
            if self._is_at_path(descriptor):
                break
            os.close(descriptor)  # its last holder removed it between our open and our lock
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def _lock(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, 0o644)
        deadline = time.monotonic() + _READERS_SECONDS
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            if not _try_lock(descriptor, fcntl.LOCK_SH) or time.monotonic() > deadline:
                pid = _read(descriptor)
                os.close(descriptor)
                raise InUse(f"REX-Ray is running already at PID {pid or '?'} ({self.path})")
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # it is shared by those who ask for the owner
            time.sleep(0.002)
        return descriptor

    def _is_at_path(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Remove the file and let the lock go."""
        if self._descriptor >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def owner(self) -> int | None:
        """The PID of the living process that holds the file, None if there is none."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return None if _try_lock(descriptor, fcntl.LOCK_SH) else _read(descriptor)
        finally:
            os.close(descriptor)

    def is_stale(self) -> bool:
        """Whether the file is there and its process is not."""
        return self.path.exists() and self.owner() is None


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdigit() else None
