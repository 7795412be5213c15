"""Sessions with the array's iSCSI portals: logging in, and out again when nothing hangs on a session any more.

Facts: iscsiadm(8) of open-iscsi and its exit statuses: 15 the session exists, 20 iscsid does not run, 21 there is
nothing of that kind, 24 the target refuses the login. What a login needs to know is a record, a file of lines
``name = value`` below ``/etc/iscsi/nodes`` (``/var/lib/iscsi/nodes`` on some distributions) that only root can read,
named by target, address, port and, where it was told, portal group. ``scan = manual`` there leaves it to REX-Ray which
LUNs become devices. Linux, drivers/scsi/scsi_transport_iscsi.c: the sessions are in ``/sys/class/iscsi_session``.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rexray import calls, child, faults
from rexray.errors import RexrayError, SettingsError, Unauthorized, Unavailable
from rexray_driver_xtremio.notes import Login, Notes
from rexray_driver_xtremio.paths import has_devices, names_in, text
from rexray_driver_xtremio.portals import Portal, plain
from rexray_driver_xtremio.settings import XtremIoSettings

log = logging.getLogger(__name__)

PACKAGE = "open-iscsi"

_EXISTS, _NO_DAEMON, _NONE, _REFUSED = 15, 20, 21, 24
_LOGGED_IN = "LOGGED_IN"
_LOGIN_SECONDS, _LOGIN_TRIES = 5, 1
"""How long iscsid waits for a portal's answer, and how often; a portal that is down must not hold up the others."""
_GRACE_SECONDS = 5.0
_LOGOUT_SECONDS = 5.0
_MAKING_SECONDS = 5.0
"""How long iscsiadm may take to make a record."""
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session of this host: its number, its directory and its SCSI host's in sysfs, and where it leads."""

    number: int
    home: Path
    host: Path
    place: str
    """Channel and target, as a scan wants them."""
    portal: Portal
    is_up: bool


class Sessions:
    """The sessions of this host, seen in ``sys`` (sysfs) and made by iscsiadm, whose records are below ``records``.

    Whoever changes them holds a lock of the host.
    """

    def __init__(self, settings: XtremIoSettings, notes: Notes, sys: Path, records: Sequence[Path]) -> None:
        self._settings, self._notes, self._sys, self._records = settings, notes, sys, records

    def all(self) -> Iterator[Session]:
        """Every session, of any array."""
        sessions = self._sys / "class/iscsi_session"
        for name in sorted(names_in(sessions)):
            entry, number = sessions / name, name.removeprefix("session")
            try:
                home = Path(os.path.realpath(entry)).parent.parent
            except FileNotFoundError:
                continue  # it has ended meanwhile
            connection = self._sys / "class/iscsi_connection" / f"connection{number}:0"
            port = text(connection / "persistent_port")
            if number.isdecimal() and port.isdecimal():
                yield Session(
                    number=int(number),
                    home=home,
                    host=self._sys / "class/scsi_host" / home.parent.name,
                    place=f"0 {text(entry / 'target_id') or '0'}",
                    portal=Portal(
                        target=text(entry / "targetname"),
                        address=plain(text(connection / "persistent_address")),
                        port=int(port),
                    ),
                    is_up=text(entry / "state") == _LOGGED_IN,
                )

    def of(self, portals: Sequence[Portal]) -> list[Session]:
        """The sessions with these portals."""
        return [session for session in self.all() if session.portal in portals]

    def log_in(self, portals: Sequence[Portal], until: float) -> dict[Portal, RexrayError]:
        """Log in to those portals that have no session yet, all at once; what went wrong with which of them.

        A session that is there but down is left to iscsid, which tries for ever to bring it up again.
        """
        there = {session.portal for session in self.all()}
        missing = [portal for portal in portals if portal not in there]
        if not missing:
            return {}
        child.need("iscsiadm", PACKAGE)
        with self._notes.changing_logins(until) as fd, ThreadPoolExecutor(min(len(missing), _AT_ONCE)) as threads:
            attempt = calls.carried(self._attempt)
            errors = threads.map(lambda portal: attempt(portal, until, fd), missing)
            return {portal: error for portal, error in zip(missing, errors, strict=True) if error is not None}

    def let_go_idle(self, until: float) -> None:
        """Log out of the sessions that REX-Ray logged in to and that no device hangs on, and delete its records.

        One that cannot be ended now stays noted, for the next time.
        """
        if self._notes.logins():
            with self._notes.changing_logins(until), ThreadPoolExecutor(_AT_ONCE) as threads:
                logins = self._notes.logins()
                end = calls.carried(self._end)
                list(threads.map(lambda key: end(key, logins[key], until), logins))

    def _end(self, key: str, login: Login, until: float) -> None:
        try:
            if self._let_go(Portal.of_key(key), login, until):
                self._notes.forget_login(key)
        except RexrayError as error:
            log.warning("a session is left for a later disconnect to end: %s", error)

    def _let_go(self, portal: Portal, login: Login, until: float) -> bool:
        """Whether nothing of this login is left; what somebody else made since is left alone."""
        sessions = self.of([portal])
        record = self._our_record(portal, login, is_used=bool(sessions))
        is_recorded = record is not None and login.session is None
        ours = [session for session in sessions if session.number == login.session or is_recorded]
        if any(has_devices(session.home) for session in ours):
            return False
        for session in ours:
            self._log_out(session, until)
        faults.point("xtremio-logged-out")
        if record is not None and len(ours) == len(sessions):
            self._delete_record(portal, record, until)
        return True

    def _log_out(self, session: Session, until: float) -> None:
        portal = session.portal
        action = f"log out of {portal.target} at {portal}"
        until = min(until, time.monotonic() + _LOGOUT_SECONDS)
        self._run(["-m", "session", "-r", str(session.number), "--logout"], until, action, fine=(_NONE,))
        if any(other.number == session.number for other in self.all()):
            raise Unavailable(f"cannot {action}: iscsiadm has ended and the session has not: see whether iscsid runs")

    def _attempt(self, portal: Portal, until: float, fd: int) -> RexrayError | None:
        try:
            self._log_in(portal, until, fd)
        except RexrayError as error:
            return error
        return None

    def _log_in(self, portal: Portal, until: float, fd: int) -> None:
        action = f"log in to {portal.target} at {portal}"
        before = self._notes.logins().get(portal.key)
        if before is not None and (left := self._our_record(portal, before, is_used=False)) is not None:
            self._delete_record(portal, left, until)  # a kill may have left it half written
        mark = ""
        if self._records_of(portal):
            self._notes.keep_login(portal.key, mark=mark)
        else:
            mark = self._make_record(portal, until, fd)
        limit = _LOGIN_SECONDS * _LOGIN_TRIES + _GRACE_SECONDS
        words, until = [*_named(portal), "--login"], min(until, time.monotonic() + limit)
        fine = (_EXISTS,) if mark else (_EXISTS, _NONE)
        status = self._run(words, until, action, fine=fine, keep=(fd,))
        if status == _NONE:  # the record is in a folder that this iscsiadm does not look into
            mark = self._make_record(portal, until, fd)
            status = self._run(words, until, action, fine=(_EXISTS,), keep=(fd,))
        faults.point("xtremio-logged-in")
        if status == 0:
            number = max((session.number for session in self.of([portal])), default=None)
            self._notes.keep_login(portal.key, mark=mark, session=number)

    def _make_record(self, portal: Portal, until: float, fd: int) -> str:
        """Make a record of what this host's login needs; the mark in it, which is noted before."""
        before, mark = self._records_of(portal), f"rexray-{secrets.token_hex(8)}"
        self._notes.keep_login(portal.key, mark=mark)
        faults.point("xtremio-login-noted")
        until = min(until, time.monotonic() + _MAKING_SECONDS)
        self._run([*_named(portal), "-o", "new"], until, f"make a record of {portal.target} at {portal}", keep=(fd,))
        faults.point("xtremio-record-made")
        made = [record for record in self._records_of(portal) if record not in before]
        if not made or not made[0].is_file():
            raise Unavailable(f"iscsiadm made no record of {portal.target} at {portal} in {self._records[0]}")
        self._fill_record(made[0], mark)
        return mark

    def _records_of(self, portal: Portal) -> list[Path]:
        """The records of a portal, in each folder: a file, or a directory with one for each interface."""
        name = f"{portal.address},{portal.port}"
        return [
            folder / portal.target / entry
            for folder in self._records
            for entry in sorted(names_in(folder / portal.target))
            if entry == name or entry.startswith(f"{name},")
        ]

    def _our_record(self, portal: Portal, login: Login, *, is_used: bool) -> Path | None:
        """The record that was made for that login: by its mark, which is lost when another program writes it.

        One that iscsiadm was making for who was killed has none yet, but is as old as the note, and no session is.
        """
        if not login.mark:
            return None
        for record in self._records_of(portal):
            if login.mark in text(record):
                return record
            age = record.stat().st_mtime - login.written
            if login.session is None and not is_used and 0 <= age <= _MAKING_SECONDS:
                return record
        return None

    def _fill_record(self, record: Path, mark: str) -> None:
        """Put into a new record what this host's login needs: the password would be seen in an argument."""
        settings = self._settings
        wanted = {
            "node.startup": "manual",
            "node.session.scan": "manual",
            "node.session.initial_login_retry_max": str(_LOGIN_TRIES),
            "node.conn[0].startup": "manual",
            "node.conn[0].timeo.login_timeout": str(_LOGIN_SECONDS),
        }
        if settings.initiator:
            wanted["iface.initiatorname"] = settings.initiator
        if settings.chap_user:
            wanted |= {
                "node.session.auth.authmethod": "CHAP",
                "node.session.auth.username": _one_line("xtremio.chapUser", settings.chap_user),
                "node.session.auth.password": _one_line("xtremio.chapPassword", settings.chap_password.reveal()),
            }
        lines = [line for line in record.read_text().splitlines() if line.partition(" =")[0] not in wanted]
        end = next((at for at, line in enumerate(lines) if line.startswith("# END")), len(lines))
        lines[end:end] = [f"# {mark}", *(f"{name} = {value}" for name, value in wanted.items())]
        record.chmod(0o600)
        record.write_text("\n".join(lines) + "\n")

    def _delete_record(self, portal: Portal, record: Path, until: float) -> None:
        if record.is_file():
            record.unlink()  # iscsiadm cannot read one that is half written
            if not names_in(record.parent):
                record.parent.rmdir()
            return
        self._run([*_named(portal), "-o", "delete"], until, f"delete the record of {portal}", fine=(_NONE,))

    def _run(
        self,
        words: list[str],
        until: float,
        action: str,
        fine: tuple[int, ...] = (),
        keep: tuple[int, ...] = (),
    ) -> int:
        """The exit status: 0, or one of those that are ``fine``."""
        program = child.need("iscsiadm", PACKAGE)
        seconds = max(until - time.monotonic(), 0.1)
        ended = child.run([program, *words], seconds=seconds, action=action, keep=keep)
        if ended.status == 0 or ended.status in fine:
            return ended.status
        if ended.status == _NO_DAEMON:
            raise Unavailable(f"cannot {action}: iscsid does not run on this host: say systemctl start iscsid")
        if ended.status == _REFUSED:
            raise Unauthorized(
                f"cannot {action}: the array refuses this initiator: see xtremio.chapUser and xtremio.chapPassword, "
                "and the initiators that the array knows"
            )
        raise Unavailable(f"cannot {action}: {ended.complaint}")


def _named(portal: Portal) -> list[str]:
    return ["-m", "node", "-T", portal.target, "-p", str(portal)]


def _one_line(name: str, value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise SettingsError(
            f"{name} has blanks at an end or signs that cannot be printed, which open-iscsi cannot take"
        )
    return value
