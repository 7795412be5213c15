"""An open endpoint: the listener, the multiplexer behind it, and the gRPC server behind that."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from rexray.csi.settings import Endpoint
from rexray.paths import Paths
from rexray_server import endpoint as endpoints
from rexray_server.activation import Passed
from rexray_server.csi.server import make_server
from rexray_server.front import Front
from rexray_server.modules import Plan
from rexray_server.mux import Multiplexer
from rexray_server.threads import in_thread

THREADS = 64
"""Calls at once for each protocol of a module; the next ones wait for a thread."""

MakePool = Callable[[int, str], Executor]
"""Makes a pool of so many threads of a name."""


class Door:
    """Listens from the start, so that clients may connect; :meth:`open` begins to answer."""

    def __init__(self, plan: Plan, paths: Paths, make_pool: MakePool, passed: Passed | None) -> None:
        self.endpoint = passed.endpoint if passed else plan.module.endpoint
        self._name = plan.module.name
        self._is_ours = passed is None
        self._mux: Multiplexer | None = None
        settings = plan.server
        with contextlib.ExitStack() as undo:
            if passed is not None:
                self.listener = passed.listener()
            else:
                self.listener = endpoints.listen(
                    self.endpoint, mode=settings.socket_mode, user=settings.user, group=settings.group
                )
                undo.callback(self.shut)
            undo.callback(self.listener.close)
            self._private = _private_socket(paths, undo)
            self._pools = [make_pool(THREADS, f"{kind}-{self._name}") for kind in ("csi", "docker")]
            for pool in self._pools:
                undo.callback(pool.shutdown, wait=False, cancel_futures=True)
            self._undo = undo.pop_all()

    @property
    def address(self) -> str:
        """Where it is: with the port that the kernel chose, if it was left to it."""
        if self.endpoint.path is None and not self.endpoint.port:
            return str(Endpoint(host=self.endpoint.host, port=self.listener.getsockname()[1]))
        return str(self.endpoint)

    @property
    def is_open(self) -> bool:
        """Whether connections are accepted."""
        return self._mux is not None

    async def open(self, front: Front) -> bool:
        """Answer by the front from now on; False if that is so already."""
        if self.is_open:
            return False
        calls, requests = self._pools
        self._server = make_server(front.handlers, Endpoint(path=self._private).target, calls)
        self._private.chmod(0o600)
        self._server.start()
        self._mux = Multiplexer(application=front, grpc_path=str(self._private), executor=requests)
        await self._mux.start(self.listener)
        return True

    def shut(self) -> None:
        """Take nothing new. The socket's file is removed, once: another may be there soon."""
        if self._is_ours:
            endpoints.withdraw(self.endpoint)
            self._is_ours = False
        if self._mux is not None:
            self._mux.stop_accepting()

    async def close(self, seconds: float) -> None:
        """Take nothing new, let calls under way finish for so long, and leave nothing behind."""
        self.shut()
        if self._mux is not None:
            await in_thread(self._name, self._server.stop(seconds).wait)
            await self._mux.drain(seconds)
        self._undo.close()


def _private_socket(paths: Paths, stack: contextlib.ExitStack) -> Path:
    """The gRPC server's own socket, in a directory of this process that nobody else can enter."""
    paths.run.mkdir(parents=True, exist_ok=True, mode=0o755)
    base = paths.run if len(os.fsencode(paths.run)) < 70 else None
    for stale in paths.run.glob("csi-*"):
        _remove_if_dead(stale)
    directory = Path(tempfile.mkdtemp(prefix=f"csi-{os.getpid()}-", dir=base))
    stack.callback(_remove, directory)
    return directory / "grpc.sock"


def _remove_if_dead(directory: Path) -> None:
    """Remove the private directory of a process that is gone."""
    pid = directory.name.split("-")[1]
    if pid.isdigit() and not Path("/proc", pid).exists():
        _remove(directory)


def _remove(directory: Path) -> None:
    (directory / "grpc.sock").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()
