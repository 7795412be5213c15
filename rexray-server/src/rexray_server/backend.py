"""What answers a module's calls: a plug-in that was made and started, its pipeline, and Docker's view of it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from rexray import calls
from rexray.csi.local import LocalCaller
from rexray.csi.volumes import CSIVolumes
from rexray.drivers import VolumeDriver
from rexray.errors import Busy, NotReady, RexrayError, TimedOut, Unavailable, Unsupported
from rexray.paths import Paths
from rexray_server.csi.pipeline import Pipeline
from rexray_server.docker.app import DockerApplication
from rexray_server.docker.remote import RemoteApplication
from rexray_server.modules import REMOTE, Plan
from rexray_server.wsgi import Application, NotServed

log = logging.getLogger(__name__)

AWAY = (Unavailable, TimedOut, NotReady, Busy, ConnectionError, TimeoutError)
"""The errors by which a plug-in says that its platform cannot be reached while it is made: it may be, later."""

_CONSTRAINED = "VOLUME_ACCESSIBILITY_CONSTRAINTS"


class Backend:
    """A plug-in at work for one module; making it may take long, for it repairs what a crash left."""

    def __init__(self, plan: Plan, paths: Paths) -> None:
        self.plan = plan
        self.plugin = plan.plugin.make(plan.module.sources)
        self.plugin.start()
        try:
            self.pipeline = Pipeline(self.plugin, plan.server)
            self.volumes = self._volumes(paths)
        except BaseException:
            self.plugin.close()
            raise
        self.application = application(plan, self.volumes, self._scope())
        self._idle = threading.Condition()
        self._calls = 0

    def _volumes(self, paths: Paths) -> VolumeDriver | None:
        """Docker's view of the plug-in."""
        plan = self.plan
        if not plan.serves_docker and plan.module.settings.type != REMOTE:
            return None
        own = self.plugin.volume_driver()
        caller = LocalCaller(self.pipeline.handlers)
        return own or CSIVolumes(plan.csi, caller=caller, paths=paths.of_service(plan.service))

    def _scope(self) -> str:
        """What Docker's swarm may think: a volume that only some nodes can reach is not the same on every node."""
        return "local" if _CONSTRAINED in self.plugin.offered else "global"

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Around each call: :meth:`drain` waits for it."""
        with self._idle:
            self._calls += 1
        try:
            yield
        finally:
            with self._idle:
                self._calls -= 1
                self._idle.notify_all()

    def drain(self, seconds: float) -> bool:
        """Wait until no call is under way, for so long at most; whether that came true."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._calls, seconds)

    def recover(self, repaired: Callable[[], None]) -> None:
        """Put right what a crash left; it runs beside the first requests, each volume under that volume's lock.

        ``repaired`` is called for each thing that was.
        """
        if self.volumes is None or self.plan.module.settings.type == REMOTE:
            return
        with calls.call(calls.OWN, "Recover"):
            try:
                for line in self.volumes.recover():
                    repaired()
                    log.info("recovery", extra={"fields": {"module": self.plan.module.name, "found": line}})
            except RexrayError as error:
                log.warning("recovery", extra={"fields": {"module": self.plan.module.name, "error": str(error)}})

    def reach(self) -> None:
        """Ask the platform for something; raises what it, or the way to it, has against that."""
        if self.volumes is not None:
            with calls.call(calls.OWN, "Reach"), contextlib.suppress(Unsupported):
                next(iter(self.volumes.list()), None)

    def close(self) -> None:
        """Let go of what the plug-in took."""
        self.plugin.close()


def application(plan: Plan, volumes: VolumeDriver | None, scope: str) -> Application:
    """What answers HTTP for a plan."""
    if volumes is None:
        return NotServed("Docker's protocol is switched off here (csi.nodocker)")
    if plan.module.settings.type == REMOTE:
        return RemoteApplication(volumes)
    return DockerApplication(volumes, scope=scope)
