"""Running a program with a deadline, in a group of its own that ends with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from rexray.errors import TimedOut

_PLACES = "/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended; ``complaint`` is the last line of what it wrote to either stream."""

    status: int
    complaint: str


def find(program: str) -> str | None:
    """The path of a program, None if it is not installed; ``sbin`` counts, which is not on every user's PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{_PLACES}")


def run(command: Sequence[str | os.PathLike[str]], *, seconds: float) -> Ended:
    """Run a program to its end; after so many seconds it is killed with all its children, and ``TimedOut``."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        written, _ = process.communicate(timeout=max(seconds, 0.0))
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise TimedOut(f"{os.fspath(command[0])} took longer than {seconds:.0f} s") from None
        raise
    lines = written.decode(errors="replace").strip().splitlines()
    return Ended(status=process.returncode, complaint=lines[-1] if lines else f"status {process.returncode}")
