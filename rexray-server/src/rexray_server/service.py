"""The daemon itself: which parts there are, how they start, reload and stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

from rexray.core_settings import CoreSettings
from rexray.csi.local import LocalCaller
from rexray.csi.plugin import CSIPlugin
from rexray.csi.settings import CSISettings, Endpoint
from rexray.csi.volumes import CSIVolumes
from rexray.drivers import VolumeDriver
from rexray.errors import NotInstalled, RexrayError, SettingsError
from rexray.paths import Paths
from rexray.registry import registry
from rexray.services import check_files
from rexray.settings import Sources
from rexray_server import endpoint as endpoints
from rexray_server import logs
from rexray_server.csi.pipeline import Pipeline, parse_plugin_info
from rexray_server.csi.server import make_server
from rexray_server.docker.app import DockerApplication
from rexray_server.mux import Multiplexer
from rexray_server.settings import ServerSettings, refuse_other_volume_drivers, refuse_unsupported

log = logging.getLogger(__name__)

THREADS = 64
"""Calls at once for each protocol; the next ones wait for a thread."""
DRAIN_SECONDS = 10.0
"""How long a stop waits for calls under way."""
_RELOADABLE = frozenset({"spec_validation", "serial", "serial_timeout", "plugin_info"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The settings of one start or reload."""

    core: CoreSettings
    csi: CSISettings
    server: ServerSettings

    @classmethod
    def load(cls, sources: Sources) -> Configuration:
        """All settings of the daemon, checked; ``SettingsError`` if one of them is wrong."""
        if sources.files:
            check_files(sources)
        refuse_unsupported(sources.environ)
        loaded = cls(
            core=sources.load(CoreSettings), csi=sources.load(CSISettings), server=sources.load(ServerSettings)
        )
        if loaded.server.plugin_info:
            parse_plugin_info(loaded.server.plugin_info)
        return loaded


def choose_plugin(config: Configuration, sources: Sources) -> CSIPlugin:
    """The CSI plug-in that the settings name; its ``NotInstalled`` says what to install."""
    plugin = registry().csi_plugin(config.server.plugin)
    viability = plugin.viable()
    if not viability.ok:
        raise NotInstalled(f"CSI plug-in {plugin.name!r} cannot work here: {viability.reason}")
    refuse_other_volume_drivers(config.core.volume_drivers, plugin.docker_driver)
    return plugin.make(sources)


class Service:
    """One daemon. ``reread`` gives the sources anew for a reload."""

    def __init__(self, sources: Sources, paths: Paths, *, reread: Callable[[], Sources]) -> None:
        self._config = Configuration.load(sources)
        self._paths = paths
        self._reread = reread
        self._plugin = choose_plugin(self._config, sources)
        self.endpoint = endpoints.endpoint_to_serve(self._config.csi.endpoint_or_default(paths))

    def run(self, ready: Callable[[], None]) -> None:
        """Serve until a signal says stop; ``ready`` is called when connections are answered."""
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: Callable[[], None]) -> None:
        _allow_many_connections()
        registry().load_observers()
        self._plugin.start()
        with contextlib.ExitStack() as stack:
            stack.callback(self._plugin.close)
            private = _private_socket(self._paths, stack)
            calls, requests = ThreadPoolExecutor(THREADS, "csi"), ThreadPoolExecutor(THREADS, "docker")
            for pool in (calls, requests):
                stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            pipeline = Pipeline(self._plugin, self._config.server)
            volumes = self._volumes(pipeline)
            server = make_server(pipeline.handlers, Endpoint(path=private).target, calls)
            private.chmod(0o600)
            application = DockerApplication(volumes, scope=self._scope()) if volumes else None
            mux = Multiplexer(application=application, grpc_path=str(private), executor=requests)
            settings = self._config.server
            listener = endpoints.listen(
                self.endpoint, mode=settings.socket_mode, user=settings.user, group=settings.group
            )
            stack.callback(listener.close)
            stack.callback(endpoints.withdraw, self.endpoint)
            stop = self._handle_signals(pipeline)
            server.start()
            await mux.start(listener)
            self._announce(volumes is not None)
            if volumes is not None:
                requests.submit(_recover, volumes)
            ready()
            reason = await stop
            log.info("stopping", extra={"fields": {"signal": reason}})
            endpoints.withdraw(self.endpoint)
            mux.stop_accepting()
            await asyncio.to_thread(server.stop(DRAIN_SECONDS).wait)
            await mux.drain(DRAIN_SECONDS)
        log.info("stopped")

    def _volumes(self, pipeline: Pipeline) -> VolumeDriver | None:
        """Docker's view of the plug-in; it needs both halves of CSI."""
        if self._config.server.no_docker or self._config.server.mode:
            return None
        own = self._plugin.volume_driver()
        return own or CSIVolumes(self._config.csi, caller=LocalCaller(pipeline.handlers), paths=self._paths)

    def _scope(self) -> str:
        """What Docker's swarm may think: a volume that only some nodes can reach is not the same on every node."""
        return "local" if "VOLUME_ACCESSIBILITY_CONSTRAINTS" in self._plugin.offered else "global"

    def _announce(self, docker: bool) -> None:
        message = "multiplexed csi+docker endpoint" if docker else "csi endpoint"
        log.info(message, extra={"fields": {"sockFile": self.endpoint, "plugin": self._plugin.name}})
        if self.endpoint.path is None and self.endpoint.host not in ("127.0.0.1", "::1", "localhost"):
            log.warning("the endpoint is open to the network without TLS", extra={"fields": {"at": self.endpoint}})

    def _handle_signals(self, pipeline: Pipeline) -> asyncio.Future[str]:
        loop = asyncio.get_running_loop()
        stop: asyncio.Future[str] = loop.create_future()

        def ask(name: str) -> None:
            if not stop.done():
                stop.set_result(name)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, ask, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._reload, pipeline)
        return stop

    def _reload(self, pipeline: Pipeline) -> None:
        """Take over what can change while calls run; a wrong setting changes nothing."""
        try:
            fresh = Configuration.load(self._reread())
        except SettingsError as error:
            log.error("reload refused, nothing changed", extra={"fields": {"error": str(error)}})
            return
        before = self._config
        changed = {
            field.name
            for field in fields(ServerSettings)
            if getattr(fresh.server, field.name) != getattr(before.server, field.name)
        }
        logs.configure(fresh.core.effective_log_level)
        pipeline.settings = fresh.server
        restart = sorted(changed - _RELOADABLE) + (["endpoint"] if fresh.csi != before.csi else [])
        self._config = fresh
        taken = {"changed": ",".join(sorted(changed & _RELOADABLE)) or "nothing"}
        log.info("reloaded", extra={"fields": taken | ({"needsRestart": ",".join(restart)} if restart else {})})


def _allow_many_connections() -> None:
    """Take all the file descriptors that this process may have: the usual soft limit is for select(2), unused here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _recover(volumes: VolumeDriver) -> None:
    """Put right what a crash left; it runs beside the first requests, for each volume under that volume's lock."""
    try:
        for line in volumes.recover():
            log.info("recovery", extra={"fields": {"found": line}})
    except RexrayError as error:
        log.warning("recovery", extra={"fields": {"error": str(error)}})


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
