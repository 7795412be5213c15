"""Calls of a driver in a process of its own, which is killed in the middle of them.

The places are the driver's own fault points (:mod:`rexray.faults`), where it has some, and moments spread over the
time that the call takes.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
    if "<locals>" in driver.__qualname__:
        raise Skipped(f"{driver.__qualname__} is no class of a module, which another process could import")
    with tempfile.TemporaryDirectory(prefix="rexray-kit-") as folder:
        trace = Path(folder, "passed")
        trial = make()
        seconds = _Child(driver, sources, trial, {"REXRAY_FAULT_TRACE": str(trace)}).finish()
        yield Killed(call=trial, where="nowhere")
        points = dict.fromkeys(trace.read_text().split()) if trace.exists() else {}
    for point in points:
        call = make()
        _Child(driver, sources, call, {"REXRAY_FAULT": point}).finish()
        yield Killed(call=call, where=f"at the fault point {point}")
    for number in range(MOMENTS):
        call = make()
        after = seconds * number / MOMENTS
        _Child(driver, sources, call).kill(after)
        yield Killed(call=call, where=f"after {after * 1000:.0f} ms")


class _Child:
    """A process that makes one call of a driver, once it is told to."""

    def __init__(self, driver: type, sources: Sources, call: Call, environ: Mapping[str, str] | None = None) -> None:
        place = (sys.path, driver.__module__, driver.__qualname__)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(environ or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(pickle.dumps((place, sources, call)))
            self._process.stdin.flush()
        if self._process.stdout.readline() != b"ready\n":
            _, error = self._process.communicate(timeout=_SECONDS)
            raise RuntimeError(f"the driver cannot be made in another process: {error.decode(errors='replace')}")

    def finish(self) -> float:
        """Let the call end, or kill itself; how many seconds it took."""
        begin = time.monotonic()
        self._go()
        self._process.communicate(timeout=_SECONDS)
        return time.monotonic() - begin

    def kill(self, after: float) -> None:
        """Kill the call so many seconds after its beginning."""
        self._go()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(after)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate(timeout=_SECONDS)

    def _go(self) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"go\n")
            self._process.stdin.flush()


def _serve() -> None:
    """The child's side: errors of the call are its caller's to look at afterwards."""
    import importlib

    (path, module, name), sources, call = pickle.load(sys.stdin.buffer)
    sys.path[:] = path
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    driver = found.make(sources)  # type: ignore[attr-defined] # a class of drivers, as the parent was given it
    os.write(1, b"ready\n")
    sys.stdin.buffer.readline()
    with contextlib.suppress(Exception):
        call.on(driver)
    os._exit(0)


if __name__ == "__main__":
    _serve()
