"""Copying a directory tree."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
from pathlib import Path

from rexray.errors import OutOfCapacity, RexrayError, TimedOut

_libc = ctypes.CDLL(None, use_errno=True)

LONGEST_SECONDS = 86400.0
"""How long a copy may take when its caller would wait for ever, which gRPC says by a number beyond any clock."""


def copy_tree(source: Path, target: Path, *, seconds: float | None) -> None:
    """Copy what is in a directory, sharing blocks where the filesystem can (FICLONE, through ``cp --reflink``).

    Everything is kept: owners, modes, times, links, holes, extended attributes. Other filesystems mounted inside
    are left out. ``TimedOut`` after so many seconds, ``OutOfCapacity`` when the filesystem is full.
    """
    options = ("--archive", "--reflink=auto", "--sparse=auto", "--one-file-system")
    command = ["cp", *options, "--", f"{source}/.", str(target)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        _, complaint = process.communicate(timeout=None if seconds is None else min(seconds, LONGEST_SECONDS))
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise TimedOut(f"copying {source} took longer than {seconds:.0f} s") from None
        raise
    lines = [line for line in complaint.splitlines() if not _tells_of_vanished(line, source, target)]
    if process.returncode != 0 and (lines or not complaint):
        first = lines[0].decode(errors="replace") if lines else f"cp ended with status {process.returncode}"
        if b"No space left" in complaint or b"Disk quota exceeded" in complaint:
            raise OutOfCapacity(f"copying {source}: {first}")
        raise RexrayError(f"copying {source}: {first}")
    _flush(target)


def _flush(folder: Path) -> None:
    """Have the copy survive a power failure: syncfs(2), for flushing file by file takes far longer."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            kind = OutOfCapacity if code in (errno.ENOSPC, errno.EDQUOT) else RexrayError
            raise kind(f"copying to {folder}: {os.strerror(code)}")
    finally:
        os.close(descriptor)


def _tells_of_vanished(line: bytes, source: Path, target: Path) -> bool:
    """Whether cp says that a file was deleted between its being listed and copied, as in any directory in use."""
    below_source = os.fsencode(source) + b"/" in line and os.fsencode(target) not in line
    return below_source and line.endswith((b": No such file or directory", b"as it was replaced while being copied"))
