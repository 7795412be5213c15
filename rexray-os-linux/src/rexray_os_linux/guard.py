"""A frozen filesystem must not stay frozen because the process that froze it was killed.

FIFREEZE lasts until FITHAW, whoever dies meanwhile (ioctl_fsfreeze in linux/fs.h, fsfreeze(8)), and every writer hangs.
So a small program waits beside each freeze, and thaws when the pipe from this process ends without a word. It outlives
the service that it is part of, too: one that systemd ended along with the rest would thaw nothing.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rexray import child, outliving

if TYPE_CHECKING:
    import subprocess

_BEGIN_SECONDS = 10.0
_SCRIPT = 'read -r word || exec "$0" --unfreeze "$1"'


class ThawGuards:
    """The guards of the filesystems that this process has frozen, by their mount points."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guards: dict[str, subprocess.Popen[bytes]] = {}

    def set(self, place: str) -> bool:
        """Have the filesystem thawed when this process ends; False if that is seen to already."""
        program = child.need("fsfreeze", "util-linux")
        with self._lock:
            if place in self._guards:
                return False
            self._guards[place] = outliving.start(
                ["/bin/sh", "-c", _SCRIPT, program, place],
                name="thaw-guard",
                seconds=_BEGIN_SECONDS,
                action=f"have {place!r} thawed should this process be killed",
            )
            return True

    def dismiss(self, place: str) -> None:
        """The filesystem is thawed: nobody has to see to it any more."""
        with self._lock:
            guard = self._guards.pop(place, None)
        if guard is not None:
            guard.communicate(b"thawed\n")
