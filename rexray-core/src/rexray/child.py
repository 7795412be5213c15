"""Programs of the operating system, run with a deadline and killed as a group."""

from __future__ import annotations

import os
import select
import shutil
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rexray.errors import RexrayError, TimedOut, Unsupported

if TYPE_CHECKING:
    import subprocess

_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
_AFTER_KILL = 1.0
"""Seconds that a killed program gets to go; one that hangs in the kernel is left to go when it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A program that has ended: its exit status (negative for a signal) and what it said."""

    program: str
    status: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """The last line that it wrote, which is where such programs say what is wrong."""
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return lines[-1] if lines else f"{self.program} ended with status {self.status} and said nothing"


def search_path() -> str:
    """Where programs are looked for; ``sbin`` is not on everybody's ``$PATH``."""
    return f"{os.environ.get('PATH', os.defpath)}:{_SBIN}"


def find(program: str) -> str | None:
    """The program's path, None if it is not installed."""
    return shutil.which(program, path=search_path())


def need(program: str, package: str) -> str:
    """The program's path; ``Unsupported`` names the package to install."""
    path = find(program)
    if path is None:
        raise Unsupported(f"{program} is not installed on this host: install the package {package}")
    return path


def run(
    command: Sequence[str], *, seconds: float, action: str, keep: tuple[int, ...] = (), most: int = 1 << 16
) -> Ended:
    """Run a program to its end; ``TimedOut`` after that many seconds, with it and all its children killed.

    ``action`` says in an error what was going on. ``keep`` are file descriptors that the program holds open too. Its
    output goes to memory and not to a pipe: what it leaves running in the background would keep a pipe open. Of each
    stream ``most`` bytes are read.
    """
    import subprocess  # takes longer than all else here, and not every command runs a program

    with _memory("stdout") as stdout, _memory("stderr") as stderr:
        environment = {"PATH": search_path(), "LC_ALL": "C", "HOME": os.environ.get("HOME", "/")}
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=environment,
                cwd="/",
                start_new_session=True,
                pass_fds=keep,
            )
        except OSError as error:
            raise RexrayError(f"cannot {action}: {command[0]}: {error.strerror}") from None
        try:
            ended = _wait(process, seconds)
        except BaseException:
            _kill(process)
            raise
        if not ended:
            _kill(process)
            raise TimedOut(f"cannot {action}: {os.path.basename(command[0])} did not end within {seconds:g} s")
        return Ended(
            program=os.path.basename(command[0]),
            status=process.returncode,
            stdout=_content(stdout, most),
            stderr=_content(stderr, most),
        )


class _memory:
    """A nameless file in memory."""

    def __init__(self, name: str) -> None:
        self._fd = os.memfd_create(name)

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _content(fd: int, most: int) -> str:
    size = min(os.fstat(fd).st_size, most)
    return os.pread(fd, size, 0).decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it ended in time; ``Popen.wait`` with a timeout polls, a pidfd tells at once."""
    handle = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return False
    finally:
        os.close(handle)
    process.wait()
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        if not _wait(process, _AFTER_KILL):
            threading.Thread(target=process.wait, name=f"reap {process.pid}", daemon=True).start()
