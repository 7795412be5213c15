"""What this host has to remember of its XtremIO volumes until it is rebooted, in small files.

The kernel knows a volume by its NAA alone, not by the id that the platform gives it; and that it was REX-Ray that
logged in to a portal, nobody knows. Each file is written before what it tells of is done, so that whoever is killed in
between leaves nothing that is not known.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rexray_driver_xtremio.paths import NAA, names_in, text

_ORPHAN_SECONDS = 20.0
"""How long the program may go on that logs in for somebody who was killed; a login has a shorter limit."""
_PAUSE = 0.1
_NOTHING = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What is remembered of one login: the mark in the record that was made for it, empty if the record is another's,
    the number of the session once there is one, and when that was written, in seconds since 1970.
    """

    mark: str
    session: int | None
    written: float


class Notes:
    """The files below ``folder``, which is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._volumes, self._logins = folder / "volumes", folder / "logins"

    def volumes(self) -> dict[str, str]:
        """The ids of the volumes that are, or may be, connected here, by NAA."""
        return {naa: text(self._volumes / naa) for naa in names_in(self._volumes) if NAA.fullmatch(naa)}

    def keep_volume(self, naa: str, volume_id: str) -> None:
        """Remember a volume that is going to be connected."""
        if text(self._volumes / naa) != volume_id:
            _write(self._volumes, naa, volume_id)

    def forget_volume(self, naa: str) -> None:
        """Its disks are gone."""
        (self._volumes / naa).unlink(missing_ok=True)

    def logins(self) -> dict[str, Login]:
        """The portals that REX-Ray logged in to, or was about to, each with what proves the session to be its own."""
        found = {}
        for name in names_in(self._logins):
            with contextlib.suppress(FileNotFoundError):
                if "," in name:
                    mark, _, session = text(self._logins / name).partition(" ")
                    written = (self._logins / name).stat().st_mtime
                    number = int(session) if session.isdecimal() else None
                    found[name] = Login(mark="" if mark == _NOTHING else mark, session=number, written=written)
        return found

    @contextlib.contextmanager
    def changing_logins(self, until: float) -> Iterator[int]:
        """Wait for the programs of who was killed; the file descriptor is for one's own programs to hold open."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._folder / "logins.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = min(until, time.monotonic() + _ORPHAN_SECONDS)
        try:
            while not _is_locked(fd) and time.monotonic() < until:
                time.sleep(_PAUSE)
            yield fd
        finally:
            os.close(fd)

    def keep_login(self, portal: str, *, mark: str, session: int | None = None) -> None:
        """Remember a portal that is going to be logged in to with the record of that mark, or that has been."""
        _write(self._logins, portal, f"{mark or _NOTHING} {_NOTHING if session is None else session}")

    def forget_login(self, portal: str) -> None:
        """Neither a session nor a record of REX-Ray's is left."""
        (self._logins / portal).unlink(missing_ok=True)


def _is_locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(folder: Path, name: str, content: str) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd, temporary = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(content + "\n")
        os.replace(temporary, folder / name)
    except BaseException:
        os.unlink(temporary)
        raise
