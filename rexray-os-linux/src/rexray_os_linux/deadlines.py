"""How long this host's kernel and programs may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long each kind of step may take, in seconds."""

    system_call: float = 30.0
    """Everything that a healthy kernel does at once: statvfs, mount, unmount, freeze."""
    probe: float = 60.0
    """Reading what a device holds."""
    format: float = 600.0
    lock: float = 5.0
    """Waiting for udev, which holds a shared lock on a device while it looks at it."""
    grow: float = 600.0
    trim: float = 600.0
    helper: float = 120.0
    """A mount helper such as ``mount.nfs``, which itself tries again for a while."""
    busy: float = 1.0
    """How long an unmount is tried again while the mount is busy: scanners and shells come and go."""
