"""What the log tells of calls: each one's begin and end at debug, and the failures that a caller is told of."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from rexray import calls
from rexray.calls import Call
from rexray.errors import RexrayError

log = logging.getLogger(__name__)

_NOTHING = contextlib.nullcontext()


def told_at_debug(call: Call) -> AbstractContextManager[object]:
    """An observer (:func:`rexray.calls.observe`): who calls what, how it ended and how long it took, never a body."""
    return _told(call) if call.kind != calls.LOCK and log.isEnabledFor(logging.DEBUG) else _NOTHING


@contextlib.contextmanager
def _told(call: Call) -> Iterator[None]:
    fields: dict[str, object] = {"kind": call.kind, "call": call.verb}
    if call.driver:
        fields["driver"] = call.driver
    log.debug("call begins", extra={"fields": fields})
    started, outcome = time.monotonic(), "ok"
    try:
        yield
    except BaseException as error:
        outcome = type(error).__name__
        fields["error"] = str(error)
        raise
    finally:
        took = f"{(time.monotonic() - started) * 1000:.1f}ms"
        log.debug("call ends", extra={"fields": {**fields, "outcome": outcome, "took": took}})


@contextlib.contextmanager
def failures_told(call: Call, *, answered: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Say in the log why a front's call fails, with a traceback if that is a fault of ours; the error goes on.

    A front within another one is silent, the outer one will say it. ``answered`` tells that a plug-in has given its
    own answer, and what it raises is only its way to end the call.
    """
    try:
        yield
    except RexrayError as error:
        if call.within is None:
            log.info("call failed", extra={"fields": {"kind": call.kind, "call": call.verb, "error": str(error)}})
        raise
    except Exception as error:
        if call.within is None and not answered():
            log.error("call failed", exc_info=error, extra={"fields": {"kind": call.kind, "call": call.verb}})
        raise
