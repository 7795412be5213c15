"""Calls of a driver in a process of its own, which is killed in the middle of them.

The places are the driver's own fault points (:mod:`rexray.faults`), where it has some, and moments spread over the
time that the call takes. One process imports the driver, and is forked for each call: a kill costs little more than the
call itself.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from rexray import faults
from rexray.settings import Sources
from rexray.testing.kit.check import Skipped

MOMENTS = 4
"""How many moments of a call are tried, besides the driver's fault points."""
_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of a driver: its method and the arguments, which are pickled."""

    method: str
    arguments: tuple[object, ...] = ()
    keywords: Mapping[str, object] = field(default_factory=dict)

    def on(self, driver: object) -> object:
        """Make the call."""
        return getattr(driver, self.method)(*self.arguments, **self.keywords)


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """A call that was killed; ``where`` says at which place, for messages."""

    call: Call
    where: str


def sweep(driver: type, sources: Sources, make: Callable[[], Call]) -> Iterator[Killed]:
    """Kill one call after another, each at another place; ``make`` prepares the next, on things of its own.

    Skipped for a driver class that another process cannot import.
    """
    if "<locals>" in driver.__qualname__ or driver.__module__ == "__main__":
        raise Skipped(f"{driver.__qualname__} is no class of a module, which another process could import")
    with _Nursery(driver, sources) as nursery:
        trial = make()
        with tempfile.TemporaryDirectory(prefix="rexray-kit-") as folder:
            trace = Path(folder, "passed")
            seconds = nursery.call(trial, {"REXRAY_FAULT_TRACE": str(trace)})
            points = dict.fromkeys(trace.read_text().split()) if trace.exists() else {}
        yield Killed(call=trial, where="nowhere")
        for point in points:
            call = make()
            nursery.call(call, {"REXRAY_FAULT": point})
            yield Killed(call=call, where=f"at the fault point {point}")
        for number in range(MOMENTS):
            call = make()
            after = seconds * number / MOMENTS
            nursery.call(call, kill_after=after)
            yield Killed(call=call, where=f"after {after * 1000:.0f} ms")


class _Nursery:
    """A process that has imported a driver, and forks a child for each call."""

    def __init__(self, driver: type, sources: Sources) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 closed when the process is ended
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            bufsize=0,
            start_new_session=True,
        )
        # a check that fails leaves its sweep behind, which may not be closed before this process ends
        self._end = weakref.finalize(self, _end, self._process, self._complaints)
        self._say(pickle.dumps((sys.path, driver.__module__, driver.__qualname__, sources)))

    def __enter__(self) -> Self:
        try:
            self._hear()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def call(self, call: Call, environ: Mapping[str, str] | None = None, *, kill_after: float | None = None) -> float:
        """Make the call, and kill its process group so many seconds after its beginning; how long it took."""
        self._say(pickle.dumps((call, dict(environ or {}))))
        heard = self._hear()
        if not heard.strip().isdigit():
            raise self._trouble()
        child = int(heard)
        self._say(b"go\n")
        self._hear()  # that it has read this: a child that is killed before would leave it to its parent
        begin = time.monotonic()
        if kill_after is not None:
            self._wait(kill_after)
            # it is not reaped before we say so, and its id is nobody else's until then
            os.killpg(child, signal.SIGKILL)
        self._hear()
        took = time.monotonic() - begin
        self._say(b"reap\n")
        return took

    def _say(self, data: bytes) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{len(data):08x}".encode() + data)

    def _wait(self, seconds: float) -> bool:
        assert self._process.stdout
        return bool(select.select([self._process.stdout], [], [], seconds)[0])

    def _hear(self) -> bytes:
        assert self._process.stdout
        line = b""
        while not line.endswith(b"\n"):
            part = self._process.stdout.read(1) if self._wait(_SECONDS) else b""
            if not part:
                raise self._trouble()
            line += part
        return line

    def _trouble(self) -> RuntimeError:
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip() or f"nothing came within {_SECONDS:g} s"
        return RuntimeError(f"the driver cannot be called in another process: {said.splitlines()[-1]}")


def _end(process: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    complaints.close()


def _serve() -> None:
    """The process that forks; errors of a call are for its caller to look at afterwards."""
    import importlib

    sys.path[:], module, name, sources = pickle.loads(_told())
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    os.write(1, b"ready\n")
    while order := _told():
        call, environ = pickle.loads(order)
        child = os.fork()
        if not child:
            _make(found, sources, call, environ)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        os.write(1, b"ended\n")
        _told()
        os.waitpid(child, 0)


def _make(driver: Any, sources: Sources, call: Call, environ: Mapping[str, str]) -> None:
    """Make the call once we are told to, in a process that ends with it."""
    import importlib

    os.setsid()
    made = driver.make(sources)
    os.environ.update(environ)
    importlib.reload(faults)  # which reads the environment when it is imported
    os.write(1, f"{os.getpid()}\n".encode())
    _told()
    os.write(1, b"begun\n")
    with contextlib.suppress(Exception):
        call.on(made)
    os._exit(0)


def _told() -> bytes:
    """What the other side says next, without a buffer: the process and its children read the same pipe in turn."""
    size = _exactly(8)
    return _exactly(int(size, 16)) if size else b""


def _exactly(count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = os.read(0, count - len(data))
        if not part:
            return b""
        data += part
    return data


if __name__ == "__main__":
    _serve()
