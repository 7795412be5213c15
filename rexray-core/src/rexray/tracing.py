"""``REXRAY_TRACE_PLUGINS=1``: what is done with plug-ins, on standard error as it happens."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

VARIABLE = "REXRAY_TRACE_PLUGINS"

ON = os.environ.get(VARIABLE, "").lower() not in ("", "0", "false", "no", "off")
"""Whether the variable was set when the process began."""

_NOTHING = nullcontext()


def trace(text: str) -> None:
    """One line of the trace; whoever makes the text with effort asks :data:`ON` first."""
    if ON:
        sys.stderr.write(f"plug-ins: {text}\n")


def timed(text: str) -> AbstractContextManager[None]:
    """One line about what the block does, with its milliseconds and the error that ended it."""
    return _timed(text) if ON else _NOTHING


@contextmanager
def _timed(text: str) -> Iterator[None]:
    start, ended = time.perf_counter(), ""
    try:
        yield
    except BaseException as error:
        ended = f", {type(error).__name__}"
        raise
    finally:
        trace(f"{text}: {(time.perf_counter() - start) * 1000:.1f} ms{ended}")
