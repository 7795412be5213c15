"""The daemon itself: its modules, the signals that it hears, and whom it tells how it is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from rexray.core_settings import CoreSettings
from rexray.errors import BrokenPlugin, InvalidRequest, RexrayError
from rexray.paths import Paths
from rexray.redaction import scrub
from rexray.registry import registry
from rexray.services import check_files
from rexray.settings import Sources
from rexray_server import activation, board, logs, modules, reloading
from rexray_server.board import Board, Reloaded
from rexray_server.log_settings import LogSettings
from rexray_server.module import Ground, RunningModule
from rexray_server.modules import Module, Plan
from rexray_server.monitoring.monitor import Monitoring
from rexray_server.monitoring.settings import MonitoringSettings
from rexray_server.monitoring.state import READY, ModuleState
from rexray_server.notify import Notifier
from rexray_server.specs import SpecFiles
from rexray_server.stocks import stock_of
from rexray_server.threads import in_thread, pauses

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
"""How often the event loop notes that it turns."""
LIFELESS_SECONDS = 15.0
"""Without such a note for so long, it does not."""


class Service:
    """One daemon. ``reread`` gives the sources anew for a reload."""

    def __init__(self, sources: Sources, paths: Paths, *, reread: Callable[[], Sources]) -> None:
        self._paths = paths
        self._reread = reread
        self._base = Path.cwd()
        self._notifier = Notifier.from_environ(os.environ)
        self._found = self._find(sources)
        self._running: dict[str, RunningModule] = {}
        self._reloaded = Reloaded()
        self._beat = time.monotonic()
        self._beside: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._retries: dict[str, asyncio.Task[None]] = {}
        self._reloading: asyncio.Task[None] | None = None
        self._monitoring = Monitoring(
            sources.load(MonitoringSettings), self.states, self._is_alive, stocks=self._stocks
        )
        self._ground = Ground(
            paths=paths,
            specs=SpecFiles(paths),
            passed=activation.take(os.environ),
            make_pool=self._monitoring.pool,
            changed=self._tell,
            repaired=self._monitoring.repaired,
        )

    def _find(self, sources: Sources) -> tuple[Module, ...]:
        if sources.files:
            check_files(sources)
        return modules.find(sources, self._paths, self._base)

    def states(self) -> list[ModuleState]:
        """How each module is, sorted by name."""
        return [module.told() for module in self._sorted()]

    def board(self) -> Board:
        """All that ``rexray service`` may ask."""
        found = self._sorted()
        return Board(
            pid=os.getpid(),
            modules=tuple(module.told() for module in found),
            speaks=tuple(module.plan.speaks if module.plan else module.module.settings.type for module in found),
            reloaded=self._reloaded,
        )

    def run(self, ready: Callable[[Board], None]) -> None:
        """Serve until a signal says stop; ``ready`` is called when every module is started or given up for now."""
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: Callable[[Board], None]) -> None:
        _allow_many_connections()
        registry().load_observers()
        stop, reload = self._handle_signals()
        self._do(self._note_beats())
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(board.remove, self._paths)
            stack.callback(self._monitoring.close)
            stack.push_async_callback(self._stop_all)
            self._monitoring.start()
            await stack.enter_async_context(self._notifier.watched())
            starting = asyncio.create_task(self._start_all())
            either: set[asyncio.Future[Any]] = {starting, stop}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self._notifier.ready(self._status())
                ready(self.board())
                self._reloading = self._do(self._reload_when(reload))
            log.info("stopping", extra={"fields": {"signal": await stop}})
            self._notifier.stopping()
            await _end(starting)
            await _end(self._reloading)
        log.info("stopped")

    # Starting

    async def _start_all(self) -> None:
        """Start every module, or raise why none can be started; one that is configured wrongly stops them all."""
        self._ground.specs.tidy([module.name for module in self._found] + ["rexray"])
        self._running = {module.key: RunningModule(module, self._ground) for module in self._found}
        self._tell()
        errors = await asyncio.gather(*map(self._start, self._running.values()))
        faults = [error for error in errors if error is not None]
        wrong = next((error for error in faults if isinstance(error, _Wrong)), None)
        if wrong is not None or len(faults) == len(self._running):
            raise (wrong or faults[0]).__cause__ or faults[0]
        for module, error in zip(self._running.values(), errors, strict=True):
            if error is not None:
                module.give_up(str(error.__cause__))
                self._retry(module)

    async def _start(self, module: RunningModule) -> _Failed | None:
        try:
            plan = await self._plan(module.module)
        except InvalidRequest as error:
            return _chained(_Wrong(), error)
        except Exception as error:  # noqa: BLE001 the other modules are not to miss it
            return _chained(_Failed(), _explained(module, error))
        try:
            await module.start(plan)
        except Exception as error:  # noqa: BLE001 see above
            return _chained(_Failed(), _explained(module, error))
        return None

    async def _plan(self, module: Module) -> Plan:
        return await in_thread("plan", lambda: modules.plan(module))

    def _retry(self, module: RunningModule, first: float = 1.0) -> None:
        """Start it again now and then, until that succeeds."""
        self._retries[module.module.key] = self._do(self._start_later(module, first))

    async def _leave(self, module: RunningModule) -> None:
        """Stop a module, after whatever still starts it."""
        await _end(self._retries.pop(module.module.key, None))
        await module.stop()

    async def _start_later(self, module: RunningModule, first: float) -> None:
        for pause in pauses(first):
            await asyncio.sleep(pause)
            failed = await self._start(module)
            if failed is None:
                log.info("module started after all", extra={"fields": {"module": module.module.name}})
                return
            if str(failed.__cause__) != module.reason:
                module.give_up(str(failed.__cause__))

    # Reloading

    async def _reload_when(self, asked: asyncio.Event) -> None:
        while True:
            await asked.wait()
            asked.clear()
            await self._reload()

    async def _reload(self) -> None:
        """Take over what the settings say now; a wrong one changes nothing."""
        began, error = time.monotonic_ns(), ""
        self._notifier.reloading()
        try:
            sources = await in_thread("reload", self._reread)
            for settings in (CoreSettings, LogSettings):
                sources.load(settings)
            found = self._find(sources)
            changes = await reloading.prepare(found, self._running, self._ground)
        except (RexrayError, OSError) as refused:
            error = f"{' '.join(str(refused).split())}; nothing changed"
            log.error("reload refused, nothing changed", extra={"fields": {"error": str(refused)}})
        except Exception as fault:  # a fault of ours or of a plug-in's, while everything is as it was
            error = f"internal error: {type(fault).__name__}: see the log of rexray; nothing changed"
            log.exception("reload refused, nothing changed")
        else:
            logs.apply(sources)
            try:
                await self._commit(found, changes)
            except Exception as fault:  # the next reload must still be heard
                error = f"internal error, after a part was taken over: {type(fault).__name__}: see the log of rexray"
                log.exception("reload ended half-way: restart the service")
            else:
                log.info("reloaded", extra={"fields": changes.fields()})
        self._monitoring.reloaded(ok=not error)
        self._reloaded = Reloaded(began=began, error=scrub(error))
        self._tell()
        self._notifier.ready(self._status())

    async def _commit(self, found: Sequence[Module], changes: reloading.Changes) -> None:
        for gone in changes.removed:
            gone.shut()
            self._leaving.add(leaving := self._do(self._leave(gone)))
            leaving.add_done_callback(self._leaving.discard)
        known = {running.module.key: running for running in [*self._running.values(), *changes.added]}
        self._running = {module.key: known[module.key] for module in found}
        for failed, module in changes.failed:
            await self._leave(failed)  # it may have come up meanwhile, by the settings of before
            failed.module = module
            self._retry(failed, first=0.01)
        await reloading.commit(changes)

    # Telling

    def _tell(self) -> None:
        """Say how the modules are to those who read the board, and to the service manager."""
        try:
            board.write(self._paths, self.board())
        except OSError as error:
            log.warning("the state of the modules cannot be written", extra={"fields": {"error": str(error)}})
        self._notifier.status(self._status())

    def _status(self) -> str:
        states = self.states()
        ready = sum(state.ready for state in states)
        told = [f"{state.name}: {state.state}: {state.reason}" for state in states if state.state != READY]
        return "; ".join([f"{ready} of {len(states)} modules ready", *told])

    def _is_alive(self) -> bool:
        return time.monotonic() - self._beat < LIFELESS_SECONDS

    async def _note_beats(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)

    def _stocks(self) -> list[Any]:
        return [stock_of(module.backend, self._paths) for module in self._sorted() if module.backend is not None]

    def _sorted(self) -> list[RunningModule]:
        return sorted(self._running.values(), key=lambda module: module.module.name)

    # Ending

    def _handle_signals(self) -> tuple[asyncio.Future[str], asyncio.Event]:
        loop = asyncio.get_running_loop()
        stop: asyncio.Future[str] = loop.create_future()
        reload = asyncio.Event()

        def ask(name: str) -> None:
            if not stop.done():
                stop.set_result(name)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, ask, number.name)
        loop.add_signal_handler(signal.SIGHUP, reload.set)
        return stop, reload

    async def _stop_all(self) -> None:
        await asyncio.gather(*map(self._leave, self._running.values()), *self._leaving)

    def _do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do it beside everything else; the end of the loop cancels it."""
        task = asyncio.get_running_loop().create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task


class _Failed(Exception):
    """A module did not start; its cause says why."""


class _Wrong(_Failed):
    """A module is configured wrongly."""


def _chained(failed: _Failed, cause: Exception) -> _Failed:
    failed.__cause__ = cause
    return failed


def _explained(module: RunningModule, error: Exception) -> Exception:
    """An error that can be told as it is; the log has where a fault of a plug-in's comes from."""
    if isinstance(error, (RexrayError, OSError)):
        return error
    log.error("module failed", exc_info=error, extra={"fields": {"module": module.module.name}})
    return BrokenPlugin(f"module {module.module.name!r}: internal error: {type(error).__name__}: {error}")


async def _end(task: asyncio.Task[None] | None) -> None:
    """Cancel a task, and let it tidy up."""
    if task is not None:
        task.cancel()
        await asyncio.wait({task})


def _allow_many_connections() -> None:
    """Take all the file descriptors that this process may have: the usual soft limit is for select(2), unused here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
