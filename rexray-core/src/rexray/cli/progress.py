"""A line on the terminal while something takes long."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator

from rexray.cli.output import cell, clipped

PATIENCE = 0.5
"""Seconds of silence before the line appears."""

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"
_STEP = 0.1


@contextlib.contextmanager
def progress(what: str) -> Iterator[None]:
    """Show ``what`` and the seconds that it has taken so far; nothing where standard error is no terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_show, args=(cell(what), done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(what: str, done: threading.Event) -> None:
    """Draw the line until it is done, and erase it."""
    start = time.monotonic()
    if done.wait(PATIENCE):
        return
    utf8 = (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"
    with contextlib.suppress(OSError):  # the terminal went away: the work goes on
        for frame in itertools.cycle(_FRAMES if utf8 else _PLAIN_FRAMES):
            line = f"{frame} {what} ({time.monotonic() - start:.0f} s)"
            sys.stderr.write("\r" + clipped(line, shutil.get_terminal_size().columns - 1) + "\x1b[K")
            sys.stderr.flush()
            if done.wait(_STEP):
                break
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
