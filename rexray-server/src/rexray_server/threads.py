"""Work that may hang for ever, done beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

PREFIX = "module"
"""What the names of these threads begin with."""


def in_thread(name: str, work: Callable[[], T]) -> asyncio.Future[T]:
    """Do it in a thread of its own, which the end of the process does not wait for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type] # without an error it is a T

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except StopIteration as raised:  # a future refuses that one, and would never be done
            error = RuntimeError(f"{type(raised).__name__}: {raised}")
        except BaseException as raised:  # noqa: BLE001 whoever awaits the future gets it
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name=f"{PREFIX}-{name}", daemon=True).start()
    return future


def pauses(first: float = 1.0, longest: float = 60.0) -> Iterator[float]:
    """How many seconds to wait before each further attempt: longer each time, within bounds."""
    pause = first
    while True:
        yield pause
        pause = min(longest, pause * 2)
