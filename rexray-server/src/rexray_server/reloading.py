"""A reload: what the settings say now is loaded, checked, made and listening before anything of before is touched."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rexray.errors import PluginError, RexrayError, TimedOut, Unavailable
from rexray_server import modules
from rexray_server.backend import AWAY, Backend
from rexray_server.module import Ground, RunningModule, close_late
from rexray_server.modules import Module, Plan
from rexray_server.monitoring.state import FAILED
from rexray_server.settings import ServerSettings
from rexray_server.threads import in_thread

IN_PLACE = frozenset(
    {
        *("spec_validation", "serial", "serial_timeout", "plugin_info"),
        *("perms", "user", "group", "start_timeout"),
    }
)
"""The settings of the server that need no new backend."""


@dataclass(slots=True, kw_only=True)
class Changes:
    """What a reload is about to do."""

    added: list[RunningModule] = field(default_factory=list)
    removed: list[RunningModule] = field(default_factory=list)
    remade: list[tuple[RunningModule, Plan, Backend | None]] = field(default_factory=list)
    """Those that get another backend, None while its platform is away."""
    adjusted: list[tuple[RunningModule, Plan]] = field(default_factory=list)
    settings: set[str] = field(default_factory=set)
    """The settings that changed and need no new backend."""
    failed: list[tuple[RunningModule, Module]] = field(default_factory=list)
    """Those that could not start before, and are to be tried again."""

    def fields(self) -> dict[str, str]:
        """What changes, for the log."""
        names = {
            "added": [module.module.name for module in self.added],
            "removed": [module.module.name for module in self.removed],
            "remade": [plan.module.name for _, plan, _ in self.remade],
        }
        found = {"changed": ",".join(sorted(self.settings)) or "nothing"}
        return found | {word: ",".join(sorted(told)) for word, told in names.items() if told}


async def prepare(found: Sequence[Module], running: Mapping[str, RunningModule], ground: Ground) -> Changes:
    """Make all that is new; an error leaves everything as it was."""
    changes = Changes()
    wanted = {module.key: module for module in found}
    plans = await in_thread("reload", lambda: _plans(wanted, running))
    changes.removed = [module for key, module in running.items() if key not in wanted]
    async with contextlib.AsyncExitStack() as undo:
        for key, module in wanted.items():
            before, plan = running.get(key), plans.get(key)
            if before is not None and (before.state == FAILED or plan is None):
                changes.failed.append((before, module))
                continue
            assert plan is not None
            if before is None:
                fresh = RunningModule(module, ground)
                undo.push_async_callback(fresh.stop, 0)
                fresh.listen(plan)
                await fresh.make(quietly=True)
                changes.added.append(fresh)
            else:
                await _change(before, plan, changes, undo)
        for module_, plan in [*changes.adjusted, *((module, plan) for module, plan, _ in changes.remade)]:
            undo.callback(module_.change_access(plan))
        undo.pop_all()
    return changes


def _plans(wanted: Mapping[str, Module], running: Mapping[str, RunningModule]) -> dict[str, Plan]:
    """The plan of each module, but for those that lacked something before and lack it still."""
    plans = {}
    for key, module in wanted.items():
        before = running.get(key)
        try:
            plans[key] = modules.plan(module)
        except PluginError:
            if before is None or before.state != FAILED:
                raise
    return plans


async def _change(before: RunningModule, plan: Plan, changes: Changes, undo: contextlib.AsyncExitStack) -> None:
    """Take up what is different about a module that is there."""
    old = before.plan
    assert old is not None
    changes.settings |= {name for name in IN_PLACE if getattr(plan.server, name) != getattr(old.server, name)}
    if _essence(plan) == _essence(old):
        changes.adjusted.append((before, plan))
        return
    making = before.making(plan)
    await asyncio.wait({making}, timeout=plan.start_timeout)
    if not making.done():
        making.add_done_callback(close_late)
    if making.done() and making.exception() is None:
        backend: Backend | None = making.result()
        assert backend is not None
        undo.callback(close_late, making)
    elif before.backend is None and (not making.done() or isinstance(making.exception(), AWAY)):
        backend = None
    elif making.done():
        error = making.exception()
        assert error is not None
        if isinstance(error, RexrayError):
            raise type(error)(plan.module.blame(error)) from None
        raise Unavailable(plan.module.blame(Exception(str(error) or type(error).__name__)))
    else:
        raise TimedOut(plan.module.blame(Exception(f"its start takes longer than {plan.start_timeout:g} s")))
    changes.remade.append((before, plan, backend))


def _essence(plan: Plan) -> Plan:
    """The plan without what needs no new backend, and without where it is written."""
    defaults: dict[str, Any] = {found.name: found.default for found in fields(ServerSettings) if found.name in IN_PLACE}
    said = replace(plan.module.settings, desc="", start_timeout=0.0, host="", spec="auto")
    return replace(plan, server=replace(plan.server, **defaults), module=replace(plan.module, settings=said, where=""))


async def commit(changes: Changes) -> None:
    """Let it all come true; what was removed is the caller's to stop."""
    for module, plan, _ in changes.remade:
        module.leave_name(plan)
    for module, plan in changes.adjusted:
        module.adjust(plan)
    replacing = [module.replace(plan, backend) for module, plan, backend in changes.remade]
    answering = [module.answer() for module in changes.added]
    outcomes = await asyncio.gather(*replacing, *answering, return_exceptions=True)
    if fault := next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None):
        raise fault  # after all others have done theirs
