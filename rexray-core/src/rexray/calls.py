"""What is under way, and for whom: where logs, metrics and traces look.

A front (Docker, CSI) begins a call; what that makes the platform do are calls within it, and bear its request id. An
observer is called for each and gives a context manager around it, which meets the error that ends it.
"""

from __future__ import annotations

import contextlib
import contextvars
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

FRONTS = ("docker", "csi")
"""The kinds of calls that come from outside."""
PLATFORM = "platform"
"""The kind of those that go to a storage platform."""
LOCK = "lock"
"""The kind of waits for a lock."""
OWN = "own"
"""The kind of what the daemon does by itself, such as recovery: the calls within it came from nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: its ``kind``, its ``verb`` in the words of its protocol, and the ``driver``, empty for a front."""

    kind: str
    verb: str
    request_id: str
    driver: str = ""
    traceparent: str = ""
    """The trace that the caller works on, as W3C Trace Context's header of that name gives it; empty for none."""
    within: Call | None = field(default=None, repr=False, compare=False)
    """The call that this one is part of."""


Observer = Callable[[Call], AbstractContextManager[object]]

_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("call", default=None)
_observers: list[Observer] = []


def current() -> Call | None:
    """The innermost call that this thread works on."""
    return _current.get()


def observe(observer: Observer) -> Callable[[], None]:
    """Call this for every call from now on; what is returned ends that. The first observer is the outermost."""
    _observers.append(observer)
    return lambda: _observers.remove(observer)


@contextlib.contextmanager
def call(kind: str, verb: str, *, driver: str = "", request_id: str = "", traceparent: str = "") -> Iterator[Call]:
    """Work on a call; without a request id it bears that of the call it is within, or a new one."""
    around = _current.get()
    made = Call(
        kind=kind,
        verb=verb,
        driver=driver,
        request_id=request_id or (around.request_id if around else new_request_id()),
        traceparent=traceparent,
        within=around,
    )
    token = _current.set(made)
    try:
        with contextlib.ExitStack() as stack:
            for observer in tuple(_observers):
                stack.enter_context(observer(made))
            yield made
    finally:
        _current.reset(token)


def new_request_id() -> str:
    """An id for a request that brought none."""
    return secrets.token_hex(6)


def carried(function: Callable[P, T]) -> Callable[P, T]:
    """The function for another thread, where it works on the call that this thread works on now."""
    around = _current.get()

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        token = _current.set(around)
        try:
            return function(*args, **kwargs)
        finally:
            _current.reset(token)

    return run
