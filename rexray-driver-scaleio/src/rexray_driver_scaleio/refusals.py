"""The gateway's refusals as REX-Ray's errors: one line that names the cause and what to do.

Facts: the MDM's return codes as goscaleio, cinder and csi-powerflex handle them. They come with HTTP status 500;
malformed input and authentication come with statuses of their own and the code 0. A code is also in ``details``, whose
head then has the code 0. Releases have renumbered some, so that a message counts as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from rexray.errors import (
    AlreadyExists,
    Busy,
    Forbidden,
    InUse,
    InvalidRequest,
    NotFound,
    NotReady,
    OutOfCapacity,
    OutOfRange,
    RexrayError,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from rexray.http import Answer


class Why(Enum):
    """Refusals that the driver acts upon."""

    NO_SUCH_NAME = auto()
    NO_VOLUME = auto()
    NO_SDC = auto()
    MAPPED_TO_IT = auto()
    MAPPED_TO_ALL = auto()
    MAPPED_ELSEWHERE = auto()
    NOT_MAPPED = auto()
    IS_MAPPED = auto()
    NAME_IN_USE = auto()
    NOT_LARGER = auto()
    BEING_REMOVED = auto()
    LOGGED_OUT = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    error: type[RexrayError]
    why: Why = Why.OTHER
    hint: str = ""


_TAKE_LESS = "remove what is not needed, or choose another pool by the volume's type"
_CODES: dict[int, _Row] = {
    3: _Row(error=NotFound, why=Why.NO_SUCH_NAME),
    79: _Row(error=NotFound, why=Why.NO_VOLUME),
    80: _Row(
        error=NotFound, why=Why.NO_SDC, hint="is that host's SDC connected to this system (drv_cfg --query_mdms)?"
    ),
    81: _Row(error=AlreadyExists, why=Why.MAPPED_TO_IT),
    4037: _Row(error=AlreadyExists, why=Why.MAPPED_TO_IT),
    82: _Row(error=InUse, why=Why.MAPPED_TO_ALL),
    84: _Row(error=NotFound, why=Why.NOT_MAPPED),
    4039: _Row(error=NotFound, why=Why.NOT_MAPPED),
    87: _Row(error=OutOfCapacity, hint="the volume has as many mappings as it can have"),
    88: _Row(error=NotFound, why=Why.NO_VOLUME),
    90: _Row(error=NotFound, why=Why.NO_SDC),
    99: _Row(error=AlreadyExists, why=Why.NAME_IN_USE),
    104: _Row(error=InUse, why=Why.IS_MAPPED, hint="detach it first"),
    133: _Row(error=OutOfRange, why=Why.NOT_LARGER),
    142: _Row(error=InvalidRequest, hint="check scaleio.protectionDomainID and scaleio.protectionDomainName"),
    168: _Row(error=Forbidden, hint="the user of scaleio.userName needs a role that may do that"),
    171: _Row(error=InvalidRequest, hint="check scaleio.storagePoolID and scaleio.storagePoolName"),
    182: _Row(error=OutOfCapacity, hint="remove snapshots of it that are not needed"),
    183: _Row(error=NotFound, why=Why.NO_VOLUME),
    190: _Row(error=OutOfRange),
    191: _Row(error=OutOfCapacity, hint=_TAKE_LESS),
    212: _Row(error=Busy, why=Why.BEING_REMOVED, hint="try again later"),
    225: _Row(error=OutOfRange, hint="sizes are multiples of 8 GiB"),
    226: _Row(error=InvalidRequest),
    227: _Row(error=InvalidRequest),
    247: _Row(error=Forbidden, hint="the user of scaleio.userName needs a role that may do that"),
    294: _Row(error=OutOfCapacity, hint="detach what that host does not need"),
    297: _Row(error=InUse, why=Why.MAPPED_ELSEWHERE),
    300: _Row(error=OutOfCapacity, hint=_TAKE_LESS),
    314: _Row(error=OutOfCapacity, hint=_TAKE_LESS),
    315: _Row(error=InUse, why=Why.MAPPED_ELSEWHERE),
    322: _Row(error=NotReady, hint="approve that host's SDC on the array, which is in restricted mode"),
    337: _Row(error=OutOfCapacity, hint="the pool has to get room before it takes thin volumes"),
    717: _Row(error=Busy, hint="a migration of it is under way: try again later"),
    718: _Row(error=Busy, hint="a migration of it is under way: try again later"),
}
_OLD_NO_VOLUME = 78
_ACCOUNT = "check scaleio.userName ($GOSCALEIO_USERNAME) and scaleio.password ($GOSCALEIO_PASSWORD)"


class Refused(Exception):
    """What the gateway said, as the cause of the error that was made of it."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.name)
        self.why = why


def why(error: BaseException) -> Why:
    """Why the gateway refused, if that is what the error tells of."""
    return error.__cause__.why if isinstance(error.__cause__, Refused) else Why.OTHER


def refusal(answer: Answer, action: str) -> RexrayError:
    """The error that an answer tells of, whose status is not one of success; ``action`` says what was asked for."""
    code, text = _code_and_text(answer)
    row = _row(code, text)
    if row is None:
        return _of_status(answer.status, action, text)
    error = row.error(f"{action}: {_sentence(text)} (code {code})" + (f": {row.hint}" if row.hint else ""))
    error.__cause__ = Refused(row.why)
    return error


def _row(code: int, text: str) -> _Row | None:
    if code == _OLD_NO_VOLUME and "volume" in text.lower():
        return _CODES[79]
    return _CODES.get(code)


def _of_status(status: int, action: str, text: str) -> RexrayError:
    if status in (401, 403):
        error: RexrayError = (
            Unauthorized(f"{action}: the gateway refuses the user or the password: {_ACCOUNT}")
            if status == 401
            else Forbidden(f"{action}: the user of scaleio.userName may not do that")
        )
        error.__cause__ = Refused(Why.LOGGED_OUT)
        return error
    said = f": {_sentence(text)}" if text else ""
    if status in (408, 425, 429):
        return Unavailable(f"{action}: the gateway has no time for it (HTTP {status}){said}: try again later")
    if status in (404, 405):
        return Unsupported(f"{action}: this gateway does not know that request (HTTP {status}){said}")
    if 400 <= status < 500:
        return InvalidRequest(f"{action}: the gateway refuses it (HTTP {status}){said}")
    if 300 <= status < 400:
        return Unavailable(f"{action}: the gateway points elsewhere (HTTP {status}): check scaleio.endpoint")
    return Unavailable(f"{action}: the gateway failed (HTTP {status}){said}: try again later")


def _code_and_text(answer: Answer) -> tuple[int, str]:
    """The code and the message, be they at the head or in the details; 0 and nothing for what is not the gateway's."""
    try:
        body = answer.json()
    except ValueError:
        return 0, ""
    if not isinstance(body, dict):
        return 0, ""
    code, text = _number(body.get("errorCode")), str(body.get("message") or "")
    details = body.get("details")
    for detail in details if not code and isinstance(details, list) else ():
        if isinstance(detail, dict) and _number(detail.get("rc")):
            return _number(detail["rc"]), str(detail.get("errorMessage") or detail.get("error") or text)
    return code, text


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".")[:300] or "no reason given"
