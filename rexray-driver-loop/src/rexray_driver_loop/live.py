"""Copies of volumes and snapshots that may be in use."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable

from rexray_driver_loop import copying, here
from rexray_driver_loop.files import opened
from rexray_driver_loop.model import SnapshotMeta, VolumeMeta
from rexray_driver_loop.store import Store


def copy(
    store: Store[VolumeMeta] | Store[SnapshotMeta],
    name: str,
    target: int,
    plan: Callable[[VolumeMeta | SnapshotMeta], None],
    *,
    until: float = math.inf,
) -> None:
    """Make a file hold what an entry holds at one moment; it may be removed or rolled back while it is being copied.

    ``plan`` is told what the entry is, while nobody changes that, and refuses a copy by raising. Where blocks cannot be
    shared an attached volume is copied for ``copying.LIVE_SECONDS`` at most, and not beyond ``until``.
    """
    data = store.data(name)
    with contextlib.ExitStack() as stack:
        with store.changing(name, "copying"):
            meta = store.load(name)
            plan(meta)
            here.flush(data)
            source = stack.enter_context(opened(data, os.O_RDONLY))
            if copying.share_data(source, target):
                return
        if isinstance(meta, VolumeMeta) and meta.attached_to:
            until = min(until, time.monotonic() + copying.LIVE_SECONDS)
        copying.copy_data(source, target, until=until, flush=lambda: here.flush(data))
