"""Named fault points, where a crash sweep ends the process; they do nothing unless ``$REXRAY_FAULT`` names one.

``$REXRAY_FAULT_TRACE`` is a file to which the name of each that is passed is added, so that a sweep can learn them.
"""

from __future__ import annotations

import os
import signal

_ARMED = os.environ.get("REXRAY_FAULT", "")
_TRACE = os.environ.get("REXRAY_FAULT_TRACE", "")


def point(name: str) -> None:
    """The place of that name; the process ends here, with no chance to tidy up, if it is the armed one."""
    if _TRACE:
        with open(_TRACE, "a", encoding="utf-8") as passed:
            print(name, file=passed)
    if name == _ARMED:
        os.kill(os.getpid(), signal.SIGKILL)
