"""The daemon's log: ``INFO[0000] message  key=value`` on a terminal, logfmt with the time anywhere else."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

_WORDS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn", logging.ERROR: "error"}
LEVELS = {word: level for level, word in _WORDS.items()}
_STARTED = time.monotonic()


class _Formatter(logging.Formatter):
    """Adds the record's ``fields``, and keeps every record on one line but for a traceback."""

    def _fields(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, object] = getattr(record, "fields", {})
        return "".join(f" {key}={_quote(str(value))}" for key, value in fields.items())

    def _trace(self, record: logging.LogRecord) -> str:
        return "\n" + self.formatException(record.exc_info) if record.exc_info else ""


class TerminalFormatter(_Formatter):
    """The level, the seconds since the start, the message, the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        level = _WORDS.get(record.levelno, "info").upper()[:4]
        seconds = int(time.monotonic() - _STARTED)
        return f"{level}[{seconds:04}] {record.getMessage():<44}{self._fields(record)}{self._trace(record)}"


class LineFormatter(_Formatter):
    """Time, level, message and fields as logfmt."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        level = _WORDS.get(record.levelno, "info")
        message = _quote(record.getMessage())
        return f"time={when} level={level} msg={message}{self._fields(record)}{self._trace(record)}"


def _quote(text: str) -> str:
    plain = text.isprintable() and not set(text) & set(' "=')
    return text if plain and text else json.dumps(text, ensure_ascii=False)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send the log of everything to a stream (default: standard error) from that level on."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TerminalFormatter() if stream.isatty() else LineFormatter())
    logging.basicConfig(handlers=[handler], level=LEVELS[level], force=True)
    for noisy in ("asyncio", "stevedore", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
