"""What the XMS refuses, as REX-Ray's errors: one line that names the cause and the setting.

Facts: errors come as HTTP 400 with ``{"message": ..., "error_code": 400}``, where only the message tells them apart; a
missing object is 400 and not 404, wrong credentials are 401 (goxtremio; OpenStack Cinder's driver for XtremIO).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rexray.errors import (
    AlreadyExists,
    Busy,
    Forbidden,
    InvalidRequest,
    NotFound,
    OutOfCapacity,
    RexrayError,
    SettingsError,
    Unauthorized,
    Unavailable,
)
from rexray.http import Answer, NoAnswer

BUSY = "system_is_busy"
MISSING = "obj_not_found"
TAKEN = "not_unique"
MAPPED = "already_mapped"
MALFORMED = "Command Syntax Error"
NO_PATH = "HTTP 404"
"""What :func:`said` tells where there is no such path, in the place of a message."""
LONGEST = 300
"""Characters of a message that are shown."""

_ENDPOINT = "check xtremio.endpoint ($GOXTREMIO_ENDPOINT)"

_REFUSED: tuple[tuple[Callable[[str, str], bool], str, type[RexrayError], str], ...] = (
    (str.__eq__, f"cluster_{MISSING}", SettingsError, "there is no such cluster any more: check xtremio.cluster"),
    (str.endswith, MISSING, NotFound, "the array does not have it"),
    (str.endswith, TAKEN, AlreadyExists, "the name or the address is taken"),
    (str.__contains__, MAPPED, AlreadyExists, "it is mapped already"),
    (str.__eq__, BUSY, Busy, "the array is still busy (xtremio.busyTimeout): try again later"),
    (str.__eq__, "too_many_objs", OutOfCapacity, "the array can have no more objects of that kind: remove some"),
    (str.__eq__, "too_many_snapshots_per_vol", OutOfCapacity, "the volume can have no more snapshots: remove some"),
    (str.startswith, MALFORMED, InvalidRequest, "this version of the XMS does not take such a request"),
)
"""How a message is recognised, and what it means."""


class _Said(Exception):
    """The array's own words, as the cause of an error of ours."""


def said(error: BaseException) -> str:
    """The message of the XMS that an error of ours was made of; empty if there was none."""
    return str(error.__cause__) if isinstance(error.__cause__, _Said) else ""


def is_busy(answer: Answer) -> bool:
    """Whether the array did nothing but say that it is busy."""
    return (200 <= answer.status < 300 or answer.status == 400) and _message(_parsed(answer)) == BUSY


def content_of(
    answer: Answer, method: str, what: str, server: str, *, hide: Callable[[str], str] = str
) -> dict[str, Any]:
    """The JSON of an answer, empty where PUT and DELETE answer with nothing; else the error that it stands for.

    ``what`` says what was asked, ``server`` of whom, ``hide`` takes secrets out of a text as the array sent it.
    ``NoAnswer`` where a change may have taken effect.
    """
    found = _parsed(answer)
    message = hide(_message(found))
    unsure = method != "GET"
    if 200 <= answer.status < 300:
        if isinstance(found, dict) and (message or "error_code" in found):  # a proxy may make a success of an error
            raise _refusal(what, message or hide(f"error_code {found['error_code']}"))
        if isinstance(found, dict):
            return found
        if not answer.text.strip() and method in ("PUT", "DELETE"):
            return {}
        raise _strange(answer, what, server, unsure=unsure)
    if answer.status == 401:
        raise Unauthorized(
            f"{what}: the XMS refused the user or the password: check xtremio.userName ($GOXTREMIO_USERNAME) and "
            "xtremio.password ($GOXTREMIO_PASSWORD)"
        )
    if answer.status == 403:
        raise Forbidden(f"{what}: the XMS does not allow that to the user of xtremio.userName ($GOXTREMIO_USERNAME)")
    if answer.status in (404, 405):
        raise SettingsError(
            f"{what}: {server} has nothing there (HTTP {answer.status}): {_ENDPOINT}, and the version of the XMS"
        ) from _Said(f"HTTP {answer.status}")
    if answer.status == 429:
        raise Busy(f"{what}: {server} still answers that there are too many requests: try again later")
    if answer.status >= 500:
        text = f"{what}: the XMS failed (HTTP {answer.status}{_shown(message)}): try again later"
        raise NoAnswer(text) if unsure else Unavailable(text)
    if not message:
        raise _strange(answer, what, server, unsure=False)
    raise _refusal(what, message)


def strange(what: str, server: str) -> Unavailable:
    """An answer that is JSON, but not what an XMS says."""
    return Unavailable(f"{what}: {server} did not answer as an XMS does: {_ENDPOINT}")


def _refusal(what: str, message: str) -> RexrayError:
    known = ((kind, hint) for matches, word, kind, hint in _REFUSED if matches(message, word))
    kind, hint = next(known, (RexrayError, "the array refused that"))
    error = kind(f"{what}: {hint}{_shown(message, ' (', ')')}")
    error.__cause__ = _Said(message)
    return error


def _strange(answer: Answer, what: str, server: str, *, unsure: bool) -> Unavailable:
    kind = answer.headers.get("content-type", "").partition(";")[0] or "no type"
    text = f"{what}: {server} did not answer as an XMS does (HTTP {answer.status}, {kind}): {_ENDPOINT}"
    return NoAnswer(text) if unsure else Unavailable(text)


def _parsed(answer: Answer) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _message(content: Any) -> str:
    message = content.get("message") if isinstance(content, dict) else None
    return message.strip() if isinstance(message, str) else ""


def _shown(message: str, before: str = ": ", after: str = "") -> str:
    line = " ".join(message.split())
    return f"{before}{line[:LONGEST]}{after}" if line else ""
