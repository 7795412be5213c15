"""Sessions with the array's iSCSI portals: logging in, and out again when nothing hangs on a session any more.

Facts: iscsiadm(8) of open-iscsi and its exit statuses: 15 the session exists, 20 iscsid does not run, 21 there is
nothing of that kind, 24 the target refuses the login. What a login needs to know is a record, a file of lines
``name = value`` below ``/etc/iscsi/nodes`` (``/var/lib/iscsi/nodes`` on some distributions) that only root can read,
named by target, address, port and, where it was told, portal group. ``scan = manual`` there leaves it to REX-Ray which
LUNs become devices. Linux, drivers/scsi/scsi_transport_iscsi.c: the sessions are in ``/sys/class/iscsi_session``.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rexray import child, faults
from rexray.errors import InvalidRequest, RexrayError, SettingsError, Unauthorized, Unavailable
from rexray.types import Attachment
from rexray_driver_xtremio.initiator import NAME
from rexray_driver_xtremio.notes import Notes
from rexray_driver_xtremio.paths import has_disks, names_in, text
from rexray_driver_xtremio.settings import XtremIoSettings

PACKAGE = "open-iscsi"

_EXISTS, _NO_DAEMON, _NONE, _REFUSED = 15, 20, 21, 24
_LOGGED_IN = "LOGGED_IN"
_LOGIN_SECONDS, _LOGIN_TRIES = 5, 1
"""How long iscsid waits for a portal's answer, and how often; a portal that is down must not hold up the others."""
_GRACE_SECONDS = 5.0
_PORTAL = re.compile(r"\[?([0-9A-Za-z.:-]+?)\]?:(\d{1,5})")
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """One address of the array, and the target that is there."""

    target: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def key(self) -> str:
        """Its name among the notes."""
        return f"{self.target},{self.address},{self.port}"

    @classmethod
    def of_key(cls, key: str) -> Portal:
        """The portal of that name."""
        target, address, port = key.split(",")
        return cls(target=target, address=address, port=int(port))


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


def portals_of(attachment: Attachment) -> tuple[Portal, ...]:
    """The portals that the attachment names, none for Fibre Channel; ``InvalidRequest`` if they make no sense."""
    addresses, targets = (_words(attachment, name) for name in ("portals", "targets"))
    if len(addresses) != len(targets):
        raise InvalidRequest(
            f"the attachment of {attachment.volume_id!r} has {len(addresses)} portals and {len(targets)} targets, and "
            "needs a target for each portal"
        )
    return tuple(dict.fromkeys(map(_portal, addresses, targets)))


def _words(attachment: Attachment, name: str) -> list[str]:
    return [word.strip() for word in attachment.fields.get(name, "").split(",") if word.strip()]


def _portal(address: str, target: str) -> Portal:
    match = _PORTAL.fullmatch(address)
    if match is None or not NAME.fullmatch(target):
        raise InvalidRequest(f"{address!r} with target {target!r} is no iSCSI portal such as 10.0.0.1:3260 with an IQN")
    return Portal(target=target, address=match[1], port=int(match[2]))


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
            home = Path(os.path.realpath(entry)).parent.parent
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
                        address=text(connection / "persistent_address"),
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
            errors = threads.map(lambda portal: self._attempt(portal, until, fd), missing)
            return {portal: error for portal, error in zip(missing, errors, strict=True) if error is not None}

    def let_go_idle(self, until: float) -> None:
        """Log out of the sessions that REX-Ray logged in to and that no disk hangs on, and delete its records."""
        if self._notes.logins():
            with self._notes.changing_logins(until):
                self._let_go_idle(until)

    def _let_go_idle(self, until: float) -> None:
        for key, is_our_record in self._notes.logins().items():
            portal = Portal.of_key(key)
            sessions = self.of([portal])
            if any(has_disks(session.home) for session in sessions):
                continue
            for session in sessions:
                number = str(session.number)
                action = f"log out of {portal.target} at {portal}"
                self._run(["-m", "session", "-r", number, "--logout"], until, action, fine=(_NONE,))
            faults.point("xtremio-logged-out")
            if is_our_record and self._record(portal) is not None:
                self._delete_record(portal, until)
            self._notes.forget_login(key)

    def _attempt(self, portal: Portal, until: float, fd: int) -> RexrayError | None:
        try:
            self._log_in(portal, until, fd)
        except RexrayError as error:
            return error
        return None

    def _log_in(self, portal: Portal, until: float, fd: int) -> None:
        action = f"log in to {portal.target} at {portal}"
        is_ours = self._notes.logins().get(portal.key, False)
        if is_ours and self._record(portal) is not None:
            self._delete_record(portal, until)  # a kill may have left it half written
        if self._record(portal) is None:
            self._notes.keep_login(portal.key, record=True)
            faults.point("xtremio-login-noted")
            self._run([*_named(portal), "-o", "new"], until, action, keep=(fd,))
            faults.point("xtremio-record-made")
            self._fill_record(portal)
        else:
            self._notes.keep_login(portal.key, record=False)
        limit = _LOGIN_SECONDS * _LOGIN_TRIES + _GRACE_SECONDS
        until = min(until, time.monotonic() + limit)
        self._run([*_named(portal), "--login"], until, action, fine=(_EXISTS,), keep=(fd,))
        faults.point("xtremio-logged-in")

    def _record(self, portal: Portal) -> Path | None:
        """The record of a portal: a file, or a directory with one for each interface."""
        name = f"{portal.address},{portal.port}"
        for folder in self._records:
            found = [
                entry for entry in names_in(folder / portal.target) if entry == name or entry.startswith(f"{name},")
            ]
            if found:
                return folder / portal.target / min(found)
        return None

    def _fill_record(self, portal: Portal) -> None:
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
        record = self._record(portal)
        if record is None or not record.is_file():
            raise Unavailable(f"iscsiadm made no record of {portal.target} at {portal} in {self._records[0]}")
        lines = [line for line in record.read_text().splitlines() if line.partition(" =")[0] not in wanted]
        end = next((at for at, line in enumerate(lines) if line.startswith("# END")), len(lines))
        lines[end:end] = [f"{name} = {value}" for name, value in wanted.items()]
        record.chmod(0o600)
        record.write_text("\n".join(lines) + "\n")

    def _delete_record(self, portal: Portal, until: float) -> None:
        record = self._record(portal)
        if record is not None and record.is_file():
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
    ) -> None:
        program = child.need("iscsiadm", PACKAGE)
        seconds = max(until - time.monotonic(), 0.1)
        ended = child.run([program, *words], seconds=seconds, action=action, keep=keep)
        if ended.status == 0 or ended.status in fine:
            return
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
