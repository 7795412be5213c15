"""A module's calls find its backend here, while backends come, go and are replaced under open connections."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn, cast

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.local import Handler
from rexray.drivers import VolumeDriver
from rexray.errors import Unavailable, Unsupported
from rexray_server.backend import Backend, application
from rexray_server.csi.server import INSTANT
from rexray_server.modules import REMOTE, Plan
from rexray_server.wsgi import Application

HOLD_SECONDS = 20.0
"""The longest that a call is held while a backend is made or replaced; then it is refused."""
HOLD_INSTANT_SECONDS = 0.5
"""The same for CSI's calls that need no platform: they have few threads, which Probe must never wait for."""


class Front:
    """Both protocols of a module. Calls wait while a backend is expected at any moment, and fail while it is away."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._changed = threading.Condition()
        self._backend: Backend | None = None
        self._away = ""
        self._standin = self._make_standin(plan)
        self.handlers: Mapping[str, Handler] = {
            call.path: functools.partial(self._stream if call.streams else self._unary, call) for call in rpc.CALLS
        }

    @property
    def backend(self) -> Backend | None:
        """What answers now."""
        return self._backend

    def hold(self) -> Backend | None:
        """Let new calls wait for the next backend; the one that answered until now."""
        with self._changed:
            before, self._backend, self._away = self._backend, None, ""
        return before

    def serve(self, backend: Backend) -> None:
        """Answer by that from now on."""
        with self._changed:
            self._plan, self._backend, self._away = backend.plan, backend, ""
            self._standin = self._make_standin(backend.plan)
            self._changed.notify_all()

    def refuse(self, plan: Plan, reason: str) -> None:
        """Answer that there is no backend yet, and why."""
        with self._changed:
            self._plan, self._away = plan, reason
            self._standin = self._make_standin(plan)
            self._changed.notify_all()

    # HTTP

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request of Docker's."""
        if self.is_instant(environ):
            backend = self._backend
            return (backend.application if backend else self._standin)(environ, start_response)
        try:
            with self._used() as backend:
                return backend.application(environ, start_response)
        except Unavailable:
            return self._standin(environ, start_response)

    def is_instant(self, environ: Mapping[str, Any]) -> bool:
        """Whether the answer needs no backend."""
        return self._standin.is_instant(environ)

    # gRPC

    def _unary(self, call: rpc.Call[Any, Any], request: Any, context: Any) -> Any:
        if call is rpc.PROBE and self._backend is None and self._plan.serves_csi:
            # A backend that is there answers itself: not ready while its platform is away would have Kubernetes'
            # liveness probe restart a node that serves its mounts well.
            answer = pb.ProbeResponse()
            answer.ready.value = False
            return answer
        with self._used(HOLD_INSTANT_SECONDS if call in INSTANT else HOLD_SECONDS) as backend:
            return self._handler(backend, call)(request, context)

    def _stream(self, call: rpc.Call[Any, Any], request: Any, context: Any) -> Iterator[Any]:
        with self._used() as backend:
            yield from self._handler(backend, call)(request, context)

    def _handler(self, backend: Backend, call: rpc.Call[Any, Any]) -> Handler:
        if not backend.plan.serves_csi:
            raise Unsupported(f"module {backend.plan.module.name!r} does not serve CSI: its type is not csi")
        handler = backend.pipeline.handlers.get(call.path)
        if handler is None:
            raise Unsupported(f"the CSI plug-in does not serve {call.name}")
        return handler

    @contextlib.contextmanager
    def _used(self, patience: float = HOLD_SECONDS) -> Iterator[Backend]:
        """The backend, for one call; ``Unavailable`` says why there is none."""
        with contextlib.ExitStack() as stack:
            with self._changed:
                self._changed.wait_for(lambda: self._backend is not None or bool(self._away), patience)
                if self._backend is None:
                    raise self._unavailable()
                backend = self._backend
                stack.enter_context(backend.used())
            yield backend

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"module {self._plan.module.name!r} is not up yet: {self._away or 'it starts'}: try again")

    def _make_standin(self, plan: Plan) -> Application:
        """The application of a plan without a backend: it answers what needs none."""
        docker = plan.serves_docker or plan.module.settings.type == REMOTE
        return application(plan, cast(VolumeDriver, _Absent(self._unavailable)) if docker else None, "global")


class _Absent:
    """Stands for a volume driver that is not there: whatever is asked of it fails."""

    def __init__(self, error: Callable[[], Unavailable]) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def fail(*_: object, **__: object) -> NoReturn:
            raise self._error()

        return fail
