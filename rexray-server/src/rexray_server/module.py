"""One module at work: its endpoint, the backend behind it, and how it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from rexray.errors import RexrayError
from rexray.paths import Paths
from rexray.redaction import scrub
from rexray_server import endpoint as endpoints
from rexray_server import modules
from rexray_server.activation import Passed, matching
from rexray_server.backend import AWAY, Backend
from rexray_server.door import Door, MakePool
from rexray_server.front import Front
from rexray_server.modules import Module, Plan
from rexray_server.monitoring.state import DEGRADED, FAILED, READY, STARTING, ModuleState
from rexray_server.specs import SpecFiles
from rexray_server.threads import in_thread, pauses

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
"""How long a stop, or a new backend, waits for calls under way."""
QUIET_SECONDS = 0.5
"""How long clients wait at the door while the backend is made; then they are let in and told what is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What all modules of a process stand on."""

    paths: Paths
    specs: SpecFiles
    passed: Sequence[Passed]
    make_pool: MakePool
    changed: Callable[[], None]
    """Called in the event loop's thread when the state of a module changes."""
    repaired: Callable[[], None]
    """Called in any thread for each thing that was put right after a crash."""


class RunningModule:
    """A module from its start to its end; all methods are the event loop's."""

    def __init__(self, module: Module, ground: Ground) -> None:
        self.module = module
        self.plan: Plan | None = None
        self.state, self.reason = STARTING, ""
        self._ground = ground
        self._door: Door | None = None
        self._front: Front | None = None
        """Both are there from :meth:`listen` to :meth:`stop`."""
        self._task: asyncio.Task[None] | None = None
        self._awaited: asyncio.Future[Backend] | None = None
        """The backend that is being made; whoever takes it over clears this."""
        self._spec = ""
        """The name of the spec file that is there for this module, if one is."""

    @property
    def _opened(self) -> tuple[Door, Front]:
        assert self._door is not None
        assert self._front is not None
        return self._door, self._front

    @property
    def _planned(self) -> Plan:
        assert self.plan is not None
        return self.plan

    @property
    def address(self) -> str:
        """Where it is, or would be."""
        return self._door.address if self._door else self.module.address

    @property
    def backend(self) -> Backend | None:
        """What answers, None while nothing can."""
        return self._front.backend if self._front else None

    def told(self) -> ModuleState:
        """How it is, for whoever asks."""
        plan = self.plan
        return ModuleState(
            name=self.module.name,
            endpoint=self.address,
            service=plan.service if plan else "",
            driver=plan.driver if plan else "",
            state=self.state,
            reason=self.reason,
        )

    # Starting

    async def start(self, plan: Plan) -> None:
        """Listen, make the backend and answer. What keeps it from listening or is wrong with it is raised."""
        self.listen(plan)
        try:
            await self.make()
            await self.answer()
        except BaseException:
            await self.stop(0)
            raise

    def listen(self, plan: Plan) -> None:
        """Listen, and let clients wait."""
        self.plan = plan
        passed = matching(self._ground.passed, self.module.name, self.module.endpoint)
        try:
            self._door = Door(plan, self._ground.paths, self._ground.make_pool, passed)
        except RexrayError as error:
            raise type(error)(self.module.blame(error)) from None
        self._front = Front(plan)

    async def make(self, *, quietly: bool = False) -> None:
        """Make the backend. One whose platform is away is tried again and again; another failure is raised.

        Where that takes long clients are let in, unless it is to be done ``quietly``.
        """
        plan, front = self._planned, self._opened[1]
        making = self._awaited = self.making(plan)
        if not quietly:
            await asyncio.wait({making}, timeout=QUIET_SECONDS)
            if not making.done():
                await self.answer()
        await asyncio.wait({making}, timeout=plan.start_timeout)
        if not making.done():
            self._degrade(f"its start takes longer than {plan.start_timeout:g} s")
        elif isinstance(error := making.exception(), AWAY):
            self._degrade(str(error))
        elif error is not None:
            raise error
        else:
            self._install(making.result())
            return
        front.refuse(plan, self.reason)
        self._follow(self._come_up(making))

    async def answer(self) -> None:
        """Begin to accept connections, once."""
        door, front = self._opened
        if await door.open(front):
            self._announce()
            self._write_spec()
            if front.backend is not None:
                self._follow(self._reach(front.backend))

    def making(self, plan: Plan) -> asyncio.Future[Backend]:
        """A backend that is being made."""
        return in_thread(self.module.name, lambda: Backend(plan, self._ground.paths))

    async def _come_up(self, making: asyncio.Future[Backend]) -> None:
        """Make the backend when that can be done."""
        front = self._opened[1]
        for pause in pauses():
            try:
                backend = await asyncio.shield(making)
            except Exception as error:  # noqa: BLE001 whatever it is, the next attempt may do
                self._degrade(str(error))
                front.refuse(self._planned, self.reason)
            else:
                self._install(backend)
                return
            await asyncio.sleep(pause)
            making = self._awaited = self.making(self._planned)

    def _install(self, backend: Backend) -> None:
        """Answer by a backend, and see whether its platform can be reached."""
        self._awaited = None
        backend.plan, backend.pipeline.settings = self._planned, self._planned.server
        self._opened[1].serve(backend)
        self._set(READY, "")
        if self._opened[0].is_open:  # before that nothing is repaired: a reload may still be refused
            self._follow(self._reach(backend))

    async def _reach(self, backend: Backend) -> None:
        """Recover, and say so while the platform cannot be reached; recover once more when it can."""
        await in_thread(f"{self.module.name}-recovery", lambda: backend.recover(self._ground.repaired))
        missed = False
        for pause in pauses():
            try:
                await in_thread(f"{self.module.name}-reach", backend.reach)
                break
            except RexrayError as error:
                missed = True
                self._degrade(str(error))
            except Exception:  # a plug-in's fault; its calls tell of it
                log.warning("the platform cannot be asked", exc_info=True)
                break
            await asyncio.sleep(pause)
        if missed:
            self._set(READY, "")
            await in_thread(f"{self.module.name}-recovery", lambda: backend.recover(self._ground.repaired))

    # Changing

    def adjust(self, plan: Plan) -> None:
        """Take over settings that need no new backend."""
        self.plan, self.module = plan, plan.module
        if self.backend is not None:
            self.backend.plan = plan
            self.backend.pipeline.settings = plan.server
        self._write_spec()

    def change_access(self, plan: Plan) -> Callable[[], None]:
        """Give the socket's file the owner and mode of another plan; what takes that back."""
        server, before = plan.server, self.plan.server if self.plan else None
        if before is None or (server.socket_mode, server.user, server.group) == (
            before.socket_mode,
            before.user,
            before.group,
        ):
            return lambda: None
        return endpoints.change_access(
            plan.module.endpoint, mode=server.socket_mode, user=server.user, group=server.group
        )

    def leave_name(self, plan: Plan) -> None:
        """Free the name that another plan gives up: another module may get it by the same reload."""
        if self.module.name != plan.module.name:
            self._remove_spec()

    async def replace(self, plan: Plan, backend: Backend | None) -> None:
        """Answer by another backend as soon as calls under way are done with the one before, which is closed.

        Without one it is made when its platform can be reached.
        """
        self._unfollow()
        self._abandon()
        self.plan, self.module = plan, plan.module
        self._write_spec()
        front = self._opened[1]
        before = front.hold()
        if before is not None:
            await in_thread(self.module.name, lambda: before.drain(DRAIN_SECONDS))
        if backend is not None:
            self._install(backend)
        else:
            if before is None:
                front.refuse(plan, self.reason)
            else:  # it came up while the next one was made: that one's settings are not these
                self._set(STARTING, "")
            self._awaited = self.making(plan)
            self._follow(self._come_up(self._awaited))
        if before is not None:
            await self._close(before, DRAIN_SECONDS)

    # Stopping

    def give_up(self, reason: str) -> None:
        """Note why it could not start."""
        self._set(FAILED, reason)
        log.error("module failed", extra={"fields": {"module": self.module.name, "error": reason}})

    def shut(self) -> None:
        """Take nothing new."""
        self._remove_spec()
        if self._door is not None:
            self._door.shut()

    async def stop(self, seconds: float = DRAIN_SECONDS) -> None:
        """Let calls under way finish, and leave nothing behind."""
        self._unfollow()
        self._abandon()
        backend = self.backend
        self.shut()
        if self._door is not None:
            await self._door.close(seconds)
            self._door = None
        if backend is not None:
            await self._close(backend, max(seconds, 1.0))
        self._front = None

    async def _close(self, backend: Backend, seconds: float) -> None:
        """Close a backend; a plug-in that hangs or fails at that keeps nothing else from being done."""
        try:
            await asyncio.wait_for(in_thread(self.module.name, backend.close), seconds)
        except Exception:
            log.warning("the plug-in does not close", exc_info=True, extra={"fields": {"module": self.module.name}})

    # Spec files

    def _spec_name(self) -> str:
        return "rexray" if self.module.name == modules.DEFAULT else self.module.name

    @property
    def has_spec(self) -> bool:
        """Whether Docker is to find it by a spec file."""
        if self.plan is None or not self.plan.serves_docker:
            return False
        asked = self.plan.module.settings.spec
        return asked == "true" or (asked == "auto" and self.module.endpoint.path is None)

    def _write_spec(self) -> None:
        name = self._spec_name()
        if not self.has_spec:
            self._spec = ""
            self._ground.specs.remove(name)
            return
        address = self.address if self.module.endpoint.path is None else f"unix://{self.address}"
        for wildcard in ("tcp://0.0.0.0:", "tcp://[::]:"):
            address = address.replace(wildcard, "tcp://127.0.0.1:")
        try:
            path = self._ground.specs.write(name, address)
        except (RexrayError, OSError) as error:
            log.error("no spec file", extra={"fields": {"module": self.module.name, "error": str(error)}})
        else:
            self._spec = name
            log.info("spec file", extra={"fields": {"module": self.module.name, "file": path}})

    def _remove_spec(self) -> None:
        """Once: a module that comes may have the name of one that goes."""
        if self._spec:
            self._ground.specs.remove(self._spec)
            self._spec = ""

    # States

    def _announce(self) -> None:
        speaks, at = self._planned.speaks, self._opened[0].endpoint
        message = f"multiplexed {speaks} endpoint" if "+" in speaks else f"{speaks} endpoint"
        fields = {"sockFile": self.address, "plugin": self._planned.plugin.name, "module": self.module.name}
        log.info(message, extra={"fields": fields})
        if at.path is None and at.host not in ("127.0.0.1", "::1", "localhost"):
            log.warning("the endpoint is open to the network without TLS", extra={"fields": {"at": self.address}})

    def _degrade(self, reason: str) -> None:
        if (self.state, self.reason) != (DEGRADED, reason):
            log.warning("module degraded", extra={"fields": {"module": self.module.name, "error": reason}})
        self._set(DEGRADED, reason)

    def _set(self, state: str, reason: str) -> None:
        if state == READY and self.state == DEGRADED:
            log.info("module recovered", extra={"fields": {"module": self.module.name}})
        self.state, self.reason = state, " ".join(scrub(reason).split())
        self._ground.changed()

    def _follow(self, work: Coroutine[Any, Any, None]) -> None:
        """Do that beside everything else, until something else is to be done so."""
        before, self._task = self._task, asyncio.get_running_loop().create_task(work)
        if before is not None and before is not asyncio.current_task():
            before.cancel()

    def _unfollow(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _abandon(self) -> None:
        """Close the backend that is being made as soon as it is: nobody wants it any more."""
        if self._awaited is not None:
            self._awaited.add_done_callback(close_late)
            self._awaited = None


def close_late(making: asyncio.Future[Backend]) -> None:
    """Close a backend that was made for nobody, as soon as it is there: to be called back by its future."""
    if not making.cancelled() and making.exception() is None:
        in_thread("late", making.result().close)
