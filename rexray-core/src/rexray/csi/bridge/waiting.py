"""Work that may outlast the call that began it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from rexray import calls
from rexray.errors import TimedOut


class Waiting:
    """Each piece of work has a key, and is done by one thread however often it is asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[None]] = {}

    def wait(self, key: str, work: Callable[[], None], *, seconds: float, action: str) -> None:
        """Do the work, or wait for who does it already; ``TimedOut`` if that takes longer, and it goes on."""
        with self._lock:
            future = self._under_way.get(key)
            if future is None:
                future = self._under_way[key] = Future()
                do = calls.carried(self._do)
                threading.Thread(target=do, args=(key, work, future), name=action, daemon=True).start()
        wait([future], timeout=min(seconds, threading.TIMEOUT_MAX))
        if not future.done():
            raise TimedOut(f"{action}: it takes longer than {seconds:.1f} s and goes on: ask again")
        future.result()

    def _do(self, key: str, work: Callable[[], None], future: Future[None]) -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as caught:  # noqa: BLE001 it is raised again where it is waited for
            error = caught
        with self._lock:
            del self._under_way[key]
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(None)
