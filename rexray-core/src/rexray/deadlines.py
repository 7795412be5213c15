"""System calls that may never come back, made with a deadline.

A thread that hangs in the kernel cannot be ended: it is left behind, and while it hangs nothing else of the same kind
is started on the same thing, so that a dead server or disk costs one thread and not one per request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from rexray import calls
from rexray.errors import Busy, TimedOut

T = TypeVar("T")


class _Call:
    """One call under way; ``abandoned`` once its caller has left."""

    __slots__ = ("abandoned", "error", "finished", "result", "since")

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.finished = threading.Event()
        self.abandoned = False
        self.result: Any = None
        self.error: BaseException | None = None


_guard = threading.Lock()
_running: dict[str, _Call] = {}


def within(seconds: float, action: str, work: Callable[[], T], *, undo: Callable[[T], object] | None = None) -> T:
    """The result of ``work``, or ``TimedOut`` after that many seconds, in which case it goes on behind our back.

    ``action`` says what is done to what (``unmount '/x'``): calls of the same action take turns, and while an
    abandoned one still hangs, further ones are ``Busy`` at once. ``undo`` is given what an abandoned call brings after
    all, so that nothing happens that its caller was told had failed.
    """
    until = time.monotonic() + seconds
    call = _claim(action, until)
    try:
        threading.Thread(target=calls.carried(_run), args=(action, call, work, undo), name=action, daemon=True).start()
    except BaseException:
        _release(action, call)
        raise
    call.finished.wait(until - time.monotonic())
    with _guard:
        if not call.finished.is_set():
            call.abandoned = True
            raise TimedOut(f"cannot {action}: no answer within {seconds:g} s; the kernel still waits for it")
    if call.error is not None:
        raise call.error
    result: T = call.result
    return result


def _claim(action: str, until: float) -> _Call:
    mine = _Call()
    while True:
        with _guard:
            before = _running.setdefault(action, mine)
            if before is mine:
                return mine
            if before.abandoned:
                age = time.monotonic() - before.since
                raise Busy(f"cannot {action}: an earlier attempt has hung in the kernel for {age:.0f} s")
        if not before.finished.wait(until - time.monotonic()):
            raise TimedOut(f"cannot {action}: an earlier attempt did not end in time")


def _run(action: str, call: _Call, work: Callable[[], T], undo: Callable[[T], object] | None) -> None:
    try:
        call.result = work()
    except BaseException as error:  # noqa: BLE001 it is raised again where the caller waits
        call.error = error
    with _guard:
        late = call.abandoned
        if not late:
            _running.pop(action, None)
            call.finished.set()
    if late:
        try:
            if undo is not None and call.error is None:
                undo(call.result)
        finally:
            _release(action, call)


def _release(action: str, call: _Call) -> None:
    with _guard:
        _running.pop(action, None)
        call.finished.set()
