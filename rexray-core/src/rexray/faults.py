"""Named fault points, where a crash sweep ends the process; they do nothing unless ``$REXRAY_FAULT`` names one."""

from __future__ import annotations

import os
import signal

_ARMED = os.environ.get("REXRAY_FAULT", "")


def point(name: str) -> None:
    """The place of that name; the process ends here, with no chance to tidy up, if it is the armed one."""
    if name == _ARMED:
        os.kill(os.getpid(), signal.SIGKILL)
