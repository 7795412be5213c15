"""The daemon's log: ``INFO[0000] message  key=value`` for people, one JSON object a line for programs.

Every record goes through the handler that :func:`configure` gives to the root logger, whichever library it is of:
there it gets the id of the request that its thread works on, loses the secrets, and counts as repeated or not.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any, TextIO

from rexray import calls
from rexray.core_settings import CoreSettings
from rexray.settings import Sources
from rexray_server.log_settings import LogSettings
from rexray_server.logs_calls import told_at_debug
from rexray_server.logs_records import Prepared, Preparing
from rexray_server.logs_repeats import Repeats
from rexray_server.logs_text import line_of

_WORDS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn", logging.ERROR: "error"}
LEVELS = {word: level for level, word in _WORDS.items()}
QUIET = ("asyncio", "stevedore", "grpc", "urllib3", "boto3", "botocore", "s3transfer")
"""Libraries that tell each of their steps at debug, and nothing that an operator can use below a warning."""
_STARTED = time.monotonic()
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""What some readers take for the end of a line, and JSON does not escape."""

log = logging.getLogger(__name__)


class TextFormatter(logging.Formatter):
    """The level, the seconds since the start, the message, the fields; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        found = Prepared.of(record)
        seconds = int(time.monotonic() - _STARTED)
        ids = {"request_id": found.request_id} if found.request_id else {}
        return line_of(_word(record), f"{seconds:04}", found.message, {**found.fields, **ids}, found.traceback)


class JsonFormatter(logging.Formatter):
    """One JSON object: ``time`` (RFC 3339, UTC), ``level``, ``msg``, ``logger``, ``request_id``, then the fields.

    An error is ``error`` and ``traceback``. A field that is called like one of these has ``_`` after its name.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        found = Prepared.of(record)
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        content: dict[str, Any] = {
            "time": when.replace("+00:00", "Z"),
            "level": _word(record),
            "msg": found.message,
            "logger": record.name,
        }
        if found.request_id:
            content["request_id"] = found.request_id
        own = {*content, "request_id", "traceback"}
        content |= {f"{key}_" if key in own else key: value for key, value in found.fields.items()}
        if found.error:
            content.setdefault("error", found.error)
        if found.traceback:
            content["traceback"] = found.traceback
        return json.dumps(content, ensure_ascii=False).translate(_LINE_ENDS)


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes the records that are no mere repetitions, and in time how often those were repeated."""

    def __init__(self, stream: TextIO, repeats: Repeats) -> None:
        super().__init__(stream)
        self._repeats = repeats
        self._timer: threading.Timer | None = None
        self.addFilter(Preparing())

    def emit(self, record: logging.LogRecord) -> None:
        """Write what is to be written now; ``Handler.handle`` holds the lock."""
        for admitted in self._repeats.admit(record):
            super().emit(admitted)
        self._watch()

    def close(self) -> None:
        """Write what is still only counted."""
        with self._held():
            if self._timer is not None:
                self._timer.cancel()
            for counted in self._repeats.flush():
                super().emit(counted)
        super().close()

    def _watch(self) -> None:
        """Have a thread write what nobody comes to write: after a burst there may be silence."""
        if self._timer is None and (seconds := self._repeats.due_in()) is not None:
            timer = threading.Timer(seconds, self._tell_counted)
            timer.daemon = True
            with contextlib.suppress(RuntimeError):  # no thread can be started: who logs next tells it
                timer.start()
                self._timer = timer

    def _tell_counted(self) -> None:
        with self._held():
            self._timer = None
            for counted in self._repeats.due():
                super().emit(counted)
            self._watch()

    def _held(self) -> threading.RLock:
        assert self.lock is not None  # a handler has one from its beginning
        return self.lock


def start(sources: Sources) -> None:
    """The log of a daemon, from the settings on: with its calls at debug, and what no part of it has caught."""
    apply(sources)
    calls.observe(told_at_debug)
    sys.excepthook = lambda kind, error, trace: _tell_uncaught("the process", error)
    threading.excepthook = lambda told: _tell_uncaught(f"thread {told.thread and told.thread.name}", told.exc_value)
    sys.unraisablehook = lambda told: _tell_uncaught(f"{told.err_msg or 'clean-up'}", told.exc_value)
    logging.captureWarnings(True)


def apply(sources: Sources) -> None:
    """The level and the form that the settings say; ``SettingsError``."""
    level, form = sources.load(CoreSettings).effective_log_level, sources.load(LogSettings).format
    configure(level, form)


def configure(level: str, form: str = "auto", stream: TextIO | None = None) -> None:
    """Send the log of everything to a stream (default: standard error) from that level on."""
    stream = stream or sys.stderr
    handler = LogHandler(stream, Repeats())
    is_text = form == "text" or (form == "auto" and stream.isatty())
    if not is_text and isinstance(stream, io.TextIOWrapper):  # JSON is UTF-8 (RFC 8259, 8.1), whatever the locale says
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(TextFormatter() if is_text else JsonFormatter())
    root = logging.getLogger()
    before = tuple(root.handlers)
    root.setLevel(LEVELS[level])
    root.addHandler(handler)  # before the others go: what is logged without any is written as it is, secrets and all
    for old in before:
        root.removeHandler(old)
        old.close()
    for noisy in QUIET:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _word(record: logging.LogRecord) -> str:
    return _WORDS[max((level for level in _WORDS if level <= record.levelno), default=logging.DEBUG)]


def _tell_uncaught(where: str, error: BaseException | None) -> None:
    if error is not None:
        log.error("an error that nobody expected", exc_info=error, extra={"fields": {"where": where}})
