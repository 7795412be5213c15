"""Ceph's programs, as the settings say which cluster and which user are meant."""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rexray import calls, child, outliving
from rexray.errors import OutOfCapacity, RexrayError, TimedOut, Unavailable
from rexray_driver_ceph.identity import Identity, identify
from rexray_driver_ceph.names import Pool
from rexray_driver_ceph.refusals import refusal
from rexray_driver_ceph.settings import RbdSettings

PACKAGE = "ceph-common"
"""The package with ``ceph``, ``rados`` and ``rbd``, of Debian, Ubuntu and the Red Hat family alike."""
WRITE_CHECKS = ("OSD_FULL", "POOL_FULL", "PG_AVAILABILITY", "OBJECT_UNFOUND", "PG_DAMAGED", "OSD_DOWN", "SLOW_OPS")
"""Health checks that say why somebody who writes has to wait (Ceph, "Health checks")."""
DRIVER = "rbd"
_COMMAND = re.compile(
    r"add|blacklist|blocklist|break|cancel|clone|config|create|detail|device|df|dump|encryption|"
    r"flatten|format|fsid|get|health|image|image-meta|info|listomapkeys|list|lock|ls|map|mgr|"
    r"namespace|osd|pool|protect|remove|rename|resize|rm|rmomapkey|rollback|set|setomapval|"
    r"snap|status|task|unmap|unprotect"
)
"""The words of commands: those before and after them are options, or names of things."""
_HEALTH_SECONDS, _HURRIED_SECONDS = 5.0, 2.0
_OUTPUT = 1 << 30
"""The most that is read of a program's output: a list of millions of images."""


class Cluster:
    """One cluster, by one user. Nothing is asked of it before the first call."""

    def __init__(self, settings: RbdSettings, *, health_seconds: float = _HEALTH_SECONDS) -> None:
        settings.check()
        self._settings = settings
        self._health_seconds = health_seconds

    def hurried(self, seconds: float) -> Cluster:
        """The same for somebody who has that long: no question takes longer, and to explain that little more."""
        limit = max(min(self._settings.timeout, seconds), 0.1)
        made = Cluster(replace(self._settings, timeout=limit), health_seconds=_HURRIED_SECONDS)
        made.identity = self.identity
        return made

    @functools.cached_property
    def default_pool(self) -> Pool:
        """The pool of volumes that name no other."""
        return Pool.parse(self._settings.default_pool)

    @functools.cached_property
    def identity(self) -> Identity:
        """Which cluster is meant, and as whom."""
        return identify(self._settings)

    @functools.cached_property
    def arguments(self) -> tuple[str, ...]:
        """What every program is told: which cluster, and as whom."""
        return self.identity.arguments

    @functools.cached_property
    def _place(self) -> tuple[str, ...]:
        """What ``ceph`` has to be told, alone among the programs, on a host without any ``ceph.conf``."""
        identity = self.identity
        usual = (f"/etc/ceph/{identity.cluster}.conf", os.path.expanduser(f"~/.ceph/{identity.cluster}.conf"))
        if identity.conf or not identity.monitors or any(map(os.path.exists, usual)):
            return ()
        return ("--cluster", identity.cluster, "--conf", os.devnull)

    def run(self, program: str, *words: str, action: str, seconds: float | None = None) -> str:
        """Run ``ceph``, ``rbd`` or ``rados`` and give its output; ``action`` says in an error what was going on.

        ``Unavailable``, or ``OutOfCapacity`` where the cluster is full, if it takes longer than ``rbd.timeout`` or the
        ``seconds`` that it was given.
        """
        ended = self.attempt(program, *words, action=action, seconds=seconds)
        if ended.status != 0:
            raise refusal(ended, action)
        return ended.stdout

    def attempt(
        self, program: str, *words: str, action: str, seconds: float | None = None, leaves: str = ""
    ) -> child.Ended:
        """The same, for a caller that has a use for its failure; ``leaves`` names the helper that it leaves behind."""
        path = child.need(program, PACKAGE)
        place = self._place if program == "ceph" else ()
        limit = self._settings.timeout if seconds is None else seconds
        ended: child.Ended | None = None
        try:
            with calls.call(calls.PLATFORM, _kind_of(program, words), driver=DRIVER):
                run = functools.partial(outliving.run, name=leaves) if leaves else child.run
                ended = run([path, *place, *self.arguments, *words], seconds=limit, action=action, most=_OUTPUT)
                if ended.status != 0:
                    raise _Failed(f"status {ended.status}")
        except TimedOut as error:
            raise self.explained(error) from None
        except _Failed:
            assert ended is not None  # the status is that of a program that ended
        return ended

    def explained(self, error: TimedOut) -> RexrayError:
        """Why the cluster let somebody wait, in its own words if it answers at all.

        Whoever writes to a full pool, or where an object's OSDs are down, waits for as long as it takes.
        """
        command = [child.need("ceph", PACKAGE), *self._place, *self.arguments, "--format", "json", "health"]
        try:
            with calls.call(calls.PLATFORM, "ceph health", driver=DRIVER):
                health = child.run(command, seconds=self._health_seconds, action="ask how the cluster is")
            checks = json.loads(health.stdout)["checks"]
        except (RexrayError, ValueError, KeyError):
            return Unavailable(f"{error}: no monitor of the cluster answers, not even how it is (rbd.timeout)")
        for name in WRITE_CHECKS:
            if name in checks:
                kind = OutOfCapacity if name.endswith("_FULL") else Unavailable
                return kind(f"{error}: the cluster says {name}, {checks[name]['summary']['message']}")
        return Unavailable(f"{error}, although the cluster answers (rbd.timeout)")

    def ask(self, program: str, *words: str, action: str, seconds: float | None = None) -> Any:
        """The answer to a question, which the program gives in JSON."""
        text = self.run(program, "--format", "json", *words, action=action, seconds=seconds)
        try:
            return json.loads(text)
        except ValueError:
            raise RexrayError(f"cannot {action}: {program} did not answer in JSON: {text[:60]!r}") from None


class _Failed(Exception):
    """A program ended with another status than 0, for who observes it."""


def _kind_of(program: str, words: Sequence[str]) -> str:
    """The program and its command, such as ``rbd snap ls``, without what it is done to."""
    rest = itertools.dropwhile(lambda word: not _COMMAND.fullmatch(word), words)
    return " ".join([program, *itertools.takewhile(_COMMAND.fullmatch, rest)])
