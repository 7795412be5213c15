"""Work that a driver may never end, given up after a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from rexray.testing.kit.check import Failed


def patiently(seconds: float, what: str, work: Callable[[], object]) -> None:
    """Do the work in a thread, and raise here what it raises; ``Failed`` if it does not end within that time.

    A thread that hangs cannot be ended and is left behind. What is no ``Exception`` is a ``Failed`` too: a driver that
    calls ``sys.exit`` would otherwise end whoever runs it.
    """
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 it is raised where the work was asked for
            ended.put(error)
        else:
            ended.put(None)

    threading.Thread(target=run, name=what, daemon=True).start()
    try:
        error = ended.get(timeout=seconds)
    except queue.Empty:
        raise Failed(f"{what} did not end within {seconds:g} s: every call of a driver has a deadline") from None
    if isinstance(error, Exception):
        raise error
    if error is not None:
        raise Failed(f"{what} raised {type(error).__name__}, which ends whoever calls the driver") from error
