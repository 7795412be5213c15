"""What tells this machine from another one of the same name."""

from __future__ import annotations

import hashlib
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")


def fingerprint() -> str:
    """A hash of the machine id, which lasts as long as the installation; empty where there is none.

    machine-id(5): the id itself is not to be shown to others, and may say ``uninitialized``.
    """
    try:
        text = MACHINE_ID.read_text(errors="replace").strip()
    except OSError:
        return ""
    if text in ("", "uninitialized"):
        return ""
    return hashlib.sha256(f"rexray loop {text}".encode()).hexdigest()[:32]
