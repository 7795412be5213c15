"""Reading what was just made: those who wait for a call are served by the next one together.

The array tells only the index of what it made, and the guid by which REX-Ray knows it has to be asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future

from rexray_driver_xtremio.things import Disk

Read = Callable[[Collection[int]], Mapping[int, Disk]]


class Newcomers:
    """Disks by their indexes, for any number of threads at once; one call is under way at a time."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._next = _Batch()

    def disk(self, index: int) -> Disk | None:
        """The disk that has the index, as it is after this was called; None if there is none."""
        with self._lock:
            batch = self._next
            leads = not batch.indexes
            batch.indexes.add(index)
        if leads:
            with self._reading:
                with self._lock:  # who comes from now on may have made something that this call does not see
                    self._next = _Batch()
                try:
                    batch.found.set_result(self._read(batch.indexes))
                except BaseException as error:
                    batch.found.set_exception(error)
                    raise
        return batch.found.result().get(index)


class _Batch:
    def __init__(self) -> None:
        self.indexes: set[int] = set()
        self.found: Future[Mapping[int, Disk]] = Future()
