"""Whether this host looks like one where loop devices are of use: a quick look that opens none."""

from __future__ import annotations

import os
from pathlib import Path

from rexray.types import Viability

CONTROL = Path("/dev/loop-control")
"""Where a free device is asked for (loop(4))."""


def viability(*, control: Path = CONTROL) -> Viability:
    """Whether this host lets this process have loop devices."""
    if not control.exists():
        return Viability(ok=False, reason=f"{control} is missing: this needs Linux with loop devices")
    if not os.access(control, os.R_OK | os.W_OK):
        return Viability(ok=False, reason=f"{control} is not for this user: run as root")
    return Viability(ok=True)
