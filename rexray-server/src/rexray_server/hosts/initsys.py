"""Which init system a host has, and how it is told to start a service at boot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rexray import child
from rexray.errors import RexrayError

SYSTEMD = "systemd"
UPDATE_RC_D = "update-rc.d"
CHKCONFIG = "chkconfig"
UNKNOWN = "unknown"
NAMES = (SYSTEMD, UPDATE_RC_D, CHKCONFIG)
"""The init systems that REX-Ray can be installed for, in the order in which they are looked for."""

BOOTED = Path("/run/systemd/system")
"""The directory that is there while systemd is the init system: sd_booted(3)."""
_PROGRAMS = {SYSTEMD: "systemctl", UPDATE_RC_D: "update-rc.d", CHKCONFIG: "chkconfig"}
_FOLDERS = ("usr/bin", "usr/sbin", "bin", "sbin", "usr/local/bin", "usr/local/sbin")
_SECONDS = 120.0
"""How long an init system may take to start or stop the service."""


def detect(root: Path = Path("/"), among: Sequence[str] = NAMES) -> str:
    """The init system of the tree below ``root``: the first of those, or ``unknown``."""
    if root == Path("/") and BOOTED.is_dir() and SYSTEMD in among:
        return SYSTEMD
    for name in among:
        if any((root / folder / _PROGRAMS[name]).is_file() for folder in _FOLDERS):
            return name
    return UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A program to run, and what it does in words that follow "cannot"."""

    command: tuple[str, ...]
    action: str

    def run(self) -> str:
        """Run it; the line that says so. An error names the program's complaint."""
        ended = child.run(self.command, seconds=_SECONDS, action=self.action)
        if ended.status:
            raise RexrayError(f"cannot {self.action}: {' '.join(self.command)}: {ended.complaint}")
        return f"ran {' '.join(self.command)}"


def enabling(init: str, script: Path, *, now: bool) -> Sequence[Step]:
    """What has the service started at boot, and with ``now`` at once."""
    if init == SYSTEMD:
        reload = [_step("have systemd read its units", "systemctl", "daemon-reload")] if BOOTED.is_dir() else []
        words = ("enable", "--now") if now else ("enable",)
        return [*reload, _step("enable the service", "systemctl", *words, "rexray.service")]
    add = ("update-rc.d", "rexray", "defaults") if init == UPDATE_RC_D else ("chkconfig", "--add", "rexray")
    start = [_step("start the service", str(script), "start")] if now else []
    return [_step("enable the service", *add), *start]


def disabling(init: str, script: Path, units: Sequence[str]) -> Sequence[Step]:
    """What stops the service and has it started no more; to be run while its ``units`` or its script are there."""
    if init == SYSTEMD:
        words = ("disable", "--now") if BOOTED.is_dir() else ("disable",)
        return [_step("stop and disable the service", "systemctl", *words, *units)]
    stop = _step("stop the service", str(script), "stop")
    off = ("update-rc.d", "-f", "rexray", "remove") if init == UPDATE_RC_D else ("chkconfig", "--del", "rexray")
    return [stop, _step("disable the service", *off)]


def forgetting(init: str) -> Sequence[Step]:
    """What has the init system forget the unit when its file is gone."""
    there = init == SYSTEMD and BOOTED.is_dir()
    return [_step("have systemd read its units", "systemctl", "daemon-reload")] if there else []


def _step(action: str, *command: str) -> Step:
    return Step(command=command, action=action)
