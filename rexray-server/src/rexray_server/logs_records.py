"""A record as the log shows it: complete, and without a secret."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from rexray import calls
from rexray.redaction import HIDDEN, scrub

_NAME = "rexray_prepared"
_FORMATTER = logging.Formatter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a record says, in texts that have been through :func:`rexray.redaction.scrub`."""

    message: str
    fields: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    request_id: str = ""
    error: str = ""
    """The exception's type and text; empty without one."""
    traceback: str = ""

    @classmethod
    def of(cls, record: logging.LogRecord) -> Prepared:
        """That of a record, which is prepared now if no filter has done it."""
        found: Prepared | None = getattr(record, _NAME, None)
        if found is None:
            found = _prepare(record)
            found.attach(record)
        return found

    def attach(self, record: logging.LogRecord) -> None:
        """Let the record say this, and nothing else: other handlers may format it by themselves."""
        setattr(record, _NAME, self)
        record.msg, record.args = self.message, None
        record.exc_info, record.exc_text, record.stack_info = None, self.traceback or None, None
        if hasattr(record, "fields"):
            record.fields = self.fields


class Preparing(logging.Filter):
    """Prepares each record in the thread that made it, which is the one that works on the request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged: always."""
        Prepared.of(record)
        return True


def _prepare(record: logging.LogRecord) -> Prepared:
    current = calls.current()
    fields: Mapping[str, object] = getattr(record, "fields", None) or {}
    error = trace = ""
    if record.exc_info and record.exc_info[1] is not None:
        error = f"{type(record.exc_info[1]).__name__}: {_said(record.exc_info[1])}"
        trace = _trace(record)
    elif record.stack_info:
        trace = record.stack_info
    return Prepared(
        message=scrub(_message(record)),
        fields={scrub(str(key)): _shown(value) for key, value in fields.items()},
        request_id=scrub(current.request_id) if current else "",
        error=scrub(error),
        traceback=scrub(trace),
    )


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 a log that is said wrongly is no reason to fail, nor to keep silent
        return f"{_said(record.msg)} {_said(record.args)}"


def _shown(value: object) -> str | int | float | bool:
    text = _said(value)
    scrubbed = scrub(text)
    if scrubbed == text and (isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))):
        return value  # JSON has no others
    return scrubbed


def _said(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 the same
        return f"({type(value).__name__} that cannot be shown: {type(error).__name__})"


def _trace(record: logging.LogRecord) -> str:
    try:
        return _FORMATTER.formatException(record.exc_info) if record.exc_info else ""
    except Exception:  # noqa: BLE001 the same
        return HIDDEN
