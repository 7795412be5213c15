"""From a LUN to a device of this host, and back: the steps in their order, each of which may be taken again."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from rexray import faults
from rexray.errors import Busy, InUse, InvalidRequest, NotReady, TimedOut, Unavailable, WrongDevice
from rexray.types import Attachment
from rexray_driver_xtremio.flushing import flush
from rexray_driver_xtremio.iscsi import Session, Sessions
from rexray_driver_xtremio.multipath import Map, Multipath
from rexray_driver_xtremio.paths import NAA, Disk, Disks, names_in, scan
from rexray_driver_xtremio.portals import Portal, chosen, portals_of
from rexray_driver_xtremio.settings import XtremIoSettings
from rexray_driver_xtremio.using import Users

log = logging.getLogger(__name__)

_SHORTEST_WAIT, _LONGEST_WAIT = 0.05, 0.5
_PROBE_SECONDS = 5.0
"""How long a disk that the kernel is still making is waited for, or one that is to go, where there is another one."""
_NUMBER = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an attachment says of its volume: its NAA and LUN, the portals to it, its size in bytes or 0."""

    volume_id: str
    naa: str
    lun: int
    portals: tuple[Portal, ...]
    size_bytes: int

    @classmethod
    def of(cls, attachment: Attachment, settings: XtremIoSettings) -> Self:
        """What the attachment says, of its portals those that this host uses; ``InvalidRequest`` names what it lacks.

        ``SettingsError`` if no portal is left.
        """
        said = f"the attachment of {attachment.volume_id!r}"
        if not NAA.fullmatch(attachment.token):
            raise InvalidRequest(f"{said} has the token {attachment.token!r}, not a NAA such as 514f0c5e38800001")
        numbers = {name: attachment.fields.get(name, "") for name in ("lun", "sizeBytes")}
        for name, number in numbers.items():
            if not _NUMBER.fullmatch(number) and (number or name == "lun"):
                raise InvalidRequest(f"{said} has {name} {number!r}, not a number")
        return cls(
            volume_id=attachment.volume_id,
            naa=attachment.token,
            lun=int(numbers["lun"]),
            portals=chosen(portals_of(attachment), settings.portals),
            size_bytes=int(numbers["sizeBytes"] or 0),
        )


@dataclass(frozen=True, slots=True)
class _Progress:
    """What one connect did since it began: which portals failed it, which disks it read again, removed, saw unused."""

    started: float = field(default_factory=time.monotonic)
    failed: set[Portal] = field(default_factory=set)
    fresh: set[Path] = field(default_factory=set)
    dropped: set[Path] = field(default_factory=set)
    idle: set[Path] = field(default_factory=set)


class Connector:
    """Brings volumes to this host and takes them away; ``alone`` excludes others from changing sessions."""

    def __init__(
        self,
        settings: XtremIoSettings,
        sys: Path,
        disks: Disks,
        multipath: Multipath,
        sessions: Sessions,
        alone: Callable[[float], AbstractContextManager[None]],
    ) -> None:
        self._settings, self._sys, self._disks, self._multipath = settings, sys, disks, multipath
        self._sessions, self._alone = sessions, alone
        self._users = Users(sys, disks, multipath)

    def bring(self, wanted: Wanted, until: float) -> None:
        """Have the volume's device here, as large as the volume; ``TimedOut`` says what is missing."""
        progress, pause = _Progress(), _SHORTEST_WAIT
        while True:
            with self._alone(until):
                trouble = self._reach(wanted, progress, until)
                faults.point("xtremio-scanned")
            missing = self._settle(wanted, progress, until)
            if not missing:
                return
            left = until - time.monotonic()
            if left <= 0:
                waited = until - progress.started
                raise TimedOut(
                    f"volume {wanted.volume_id!r} is not here within {waited:.0f} s: {trouble or missing}: see "
                    f"whether the array maps LUN {wanted.lun} to this host"
                )
            time.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_WAIT)

    def take_away(self, naa: str, volume_id: str, until: float) -> None:
        """Remove the volume's multipath device, then its disks; ``InUse`` says who has any of them."""
        while True:
            found, disks = self._multipath.find(naa), self._disks.of(naa)
            if found is None and not disks:
                return
            if time.monotonic() > until:
                raise TimedOut(f"volume {volume_id!r} is still on this host: its devices come back as they are removed")
            if user := self._users.of(found, disks):
                raise InUse(f"volume {volume_id!r} is in use on this host: {user}")
            if found is not None:
                flush(self._disks, found.node, disks, until)
                self._remove_map(found, disks, until)
                continue  # to look at its disks as what they are now
            if self._settings.multipath and disks[0].name and self._disks.is_alive(disks[0]):
                self._multipath.forget(disks[0], until)
            self._remove(disks, until)

    def let_go_idle(self, until: float) -> None:
        """End the sessions that nothing hangs on any more."""
        with self._alone(until):
            self._sessions.let_go_idle(until)

    def _reach(self, wanted: Wanted, progress: _Progress, until: float) -> str:
        """Log in and look for the LUN wherever it may be; what is wrong, where nothing leads to it.

        A portal that did not answer is not asked again while there is a session with another one.
        """
        there = self._sessions.of(wanted.portals)
        untried = [portal for portal in wanted.portals if not there or portal not in progress.failed]
        errors = self._sessions.log_in(untried, until)
        progress.failed.update(errors)
        sessions = self._sessions.of(wanted.portals)
        up = [session for session in sessions if session.is_up]
        ports = names_in(self._sys / "class/fc_host")
        if not sessions and not ports and not self._disks.of(wanted.naa):
            for error in errors.values():
                raise error
            raise NotReady(
                f"volume {wanted.volume_id!r} cannot be reached: its attachment names no iSCSI portal, and this host "
                "has no Fibre Channel port"
            )
        for error in errors.values():
            log.warning("a path to volume %r is missing: %s", wanted.volume_id, error)
        self._drop_stale(wanted, up, progress.dropped, until)
        found = self._disks.of(wanted.naa)
        for session in up:
            if not any(disk.hangs_on(session.home) for disk in found):
                scan(session.host, session.place, wanted.lun, until - time.monotonic())
        for port in ports:
            if not any(disk.hangs_on(host) for disk in found for host in disk.home.parents if host.name == port):
                scan(self._sys / "class/scsi_host" / port, "- -", wanted.lun, until - time.monotonic())
        return "" if up or ports or not wanted.portals else "every session with its portals is down"

    def _drop_stale(self, wanted: Wanted, up: list[Session], dropped: set[Path], until: float) -> None:
        """Remove disks that an earlier mapping left: another volume's at this LUN, or this one's at another LUN.

        One that comes back as it was is no such thing: then it is the attachment that is out of date.
        """
        for disk in self._disks.all():
            if (disk.lun == wanted.lun) == (disk.naa == wanted.naa):
                continue
            if not any(disk.hangs_on(session.home) for session in up):
                continue
            said = (
                f"{disk.node} is naa.{disk.naa} at LUN {disk.lun}, and volume {wanted.volume_id!r} is said to be "
                f"naa.{wanted.naa} at LUN {wanted.lun}"
            )
            if disk.home in dropped:
                raise WrongDevice(f"{said}: attach the volume again; nothing was done to it")
            found = self._multipath.find(disk.naa)
            if found is not None and disk.name not in found.paths:
                found = None
            if user := self._users.of(found, [disk]):
                raise WrongDevice(f"{said}: {user}: let that go, then connect again; nothing was done to it")
            log.warning("removing %s: %s", disk.node, said)
            if found is not None:
                self._remove_map(found, self._disks.of(disk.naa), until)
            self._disks.delete(disk, until - time.monotonic())
            dropped.add(disk.home)

    def _settle(self, wanted: Wanted, progress: _Progress, until: float) -> str:
        """Prove the disks to be the volume's, and have its multipath device; what is missing, if anything."""
        for disk in self._disks.of(wanted.naa):
            is_small = self._disks.size(disk.name) < wanted.size_bytes
            if disk.name and self._disks.is_alive(disk) and (disk.home not in progress.fresh or is_small):
                self._disks.rescan(disk, until - time.monotonic())
                progress.fresh.add(disk.home)
        disks = self._disks.of(wanted.naa)  # what has turned out to be another volume's is not among them any more
        live = [disk for disk in disks if self._disks.is_alive(disk) and self._disks.size(disk.name)]
        if not live:
            return "none of its disks answers" if disks else "it has no disk here"
        if any(not disk.name for disk in disks) and time.monotonic() < progress.started + _PROBE_SECONDS:
            return "the kernel is still making its disks"
        found = self._multipath.find(wanted.naa)
        if found is None and not self._settings.multipath and not self._settings.device_mapper:
            said = self._drop_dead(disks, live, progress, until)
            return said or self._too_small(wanted, self._disks.size(live[0].name))
        return self._settle_map(wanted, found, live, until)

    def _settle_map(self, wanted: Wanted, found: Map | None, live: list[Disk], until: float) -> str:
        said = ""
        if self._settings.multipath:
            lacking = [disk for disk in live if found is None or disk.name not in found.paths]
            if lacking:
                said = self._multipath.make(wanted.naa, lacking, until)
                found = self._multipath.find(wanted.naa)
        if found is None:
            return said or "it has no multipath device, and xtremio.multipath or xtremio.deviceMapper is set"
        size = min(self._disks.size(disk.name) for disk in live)
        if self._disks.size(found.kernel) < size:
            said = self._multipath.resize(found, until)
            if said and not wanted.size_bytes:
                raise Unavailable(f"the multipath device {found.name} cannot grow: {said}")
        small = self._too_small(wanted, self._disks.size(found.kernel))
        return small and (said or small)

    def _too_small(self, wanted: Wanted, size: int) -> str:
        if 0 < size >= wanted.size_bytes:
            return ""
        return f"its device has {size} bytes, not {wanted.size_bytes}"

    def _drop_dead(self, disks: list[Disk], live: list[Disk], progress: _Progress, until: float) -> str:
        """Remove disks that do not answer: without multipath, any of the disks may be the one that is mounted.

        What is missing, if anything: what was written to one of them has to arrive first.
        """
        for disk in disks:
            if disk in live or (disk.home not in progress.idle and self._users.of(None, [disk])):
                continue
            progress.idle.add(disk.home)  # from now on its flush has it open
            try:
                if disk.name:
                    flush(self._disks, disk.node, [disk], min(until, time.monotonic() + _PROBE_SECONDS))
            except (Busy, TimedOut, Unavailable) as error:
                return str(error)
            self._disks.delete(disk, until - time.monotonic())
        return ""

    def _remove_map(self, found: Map, disks: list[Disk], until: float) -> None:
        """Remove a multipath device that nobody uses; what waits for disks that do not answer must not hold it."""
        dead = [disk for disk in disks if not self._disks.is_alive(disk)]
        if dead:
            self._multipath.stop_queueing(found, until)
        for disk in dead:
            self._disks.delete(disk, until - time.monotonic())
        self._multipath.remove(found, until)
        faults.point("xtremio-map-removed")

    def _remove(self, disks: list[Disk], until: float) -> None:
        """Remove disks once what was written to each has arrived, those first that answer."""
        is_flushed = False
        for disk in sorted(disks, key=lambda disk: not self._disks.is_alive(disk)):
            if disk.name:
                is_flushed |= flush(self._disks, disk.node, [disk], until, is_elsewhere=is_flushed)
            self._disks.delete(disk, until - time.monotonic())
            faults.point("xtremio-path-removed")
