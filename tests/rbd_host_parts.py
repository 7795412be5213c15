"""A Ceph cluster as this host's user meets it."""

from __future__ import annotations

import subprocess
from pathlib import Path

RBD = {"REXRAY_STORAGEDRIVERS": "rbd", "RBD_MAPPER": "loop", "RBD_INSTANCEID": "this-host", "RBD_WATCHERTIMEOUT": "20s"}
"""The settings of a host whose kernel has neither rbd nor nbd; dead clients are forgotten after ten seconds."""


def exports(home: Path) -> list[str]:
    """The processes that show images as files below that directory."""
    found = subprocess.run(
        ["pgrep", "-f", f"qemu-storage-daemon.*{home}"], capture_output=True, text=True, timeout=30, check=False
    )
    return found.stdout.split()


def end_exports(home: Path) -> None:
    """Leave none of them behind, whatever a test has done."""
    subprocess.run(["pkill", "-KILL", "-f", f"qemu-storage-daemon.*{home}"], timeout=30, check=False)
