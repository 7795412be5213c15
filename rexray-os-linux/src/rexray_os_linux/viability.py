"""Whether the OS driver can work here: a quick look that runs nothing."""

from __future__ import annotations

import sys

from rexray import child
from rexray.types import Viability


def viability() -> Viability:
    """It works on Linux where util-linux's blkid is installed."""
    if sys.platform != "linux":
        return Viability(ok=False, reason=f"this host runs {sys.platform}, not Linux")
    if child.find("blkid") is None:
        return Viability(ok=False, reason="blkid is not installed: install the package util-linux")
    return Viability(ok=True)
