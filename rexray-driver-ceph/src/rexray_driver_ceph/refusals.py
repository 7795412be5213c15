"""What Ceph's programs say when they fail, in the words of :mod:`rexray.errors`.

Facts: ``rbd`` ends with the error's number (Ceph 16: 2 for a missing image, pool, namespace or snapshot, but also for a
missing keyring; 13 for wrong keys), ``rados`` with 1 whatever it was, and both say the number in brackets in their
last line, ``ceph`` as ``Error EACCES`` or ``[errno 13]``.
"""

from __future__ import annotations

import errno
import re

from rexray.child import Ended
from rexray.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    InvalidRequest,
    NotFound,
    OutOfCapacity,
    RexrayError,
    TimedOut,
    Unauthorized,
    Unavailable,
    Unsupported,
)

_NUMBER = re.compile(r"\((\d+)\)|\[errno (\d+)\]|Error (E[A-Z0-9]+)")
_NO_CONNECTION = ("couldn't connect to the cluster", "error connecting to the cluster", "couldn't connect to cluster")
_NO_SETTINGS = ("unable to open config file", "conf_read_file", "unable to get monitor info")
_NO_AUTH = ("failed to fetch mon config", "unable to find a keyring", "handle_auth_bad_method", "auth: unable to find")
_ERRORS: dict[int, type[RexrayError]] = {
    errno.EPERM: Forbidden,
    errno.ENOENT: NotFound,
    errno.EACCES: Forbidden,  # of a monitor that knows the user: who it does not know has no connection
    errno.EBUSY: InUse,
    errno.EEXIST: AlreadyExists,
    errno.EINVAL: InvalidRequest,
    errno.ENOSPC: OutOfCapacity,
    errno.EROFS: InUse,
    errno.EDOM: InvalidRequest,
    errno.ENOTEMPTY: InUse,
    errno.EDQUOT: OutOfCapacity,
    errno.EOPNOTSUPP: Unsupported,
    errno.ENOSYS: Unsupported,
    errno.ETIMEDOUT: TimedOut,
    errno.ESHUTDOWN: Forbidden,  # librados: this client is on the blocklist
}


class NoImage(NotFound):
    """The cluster answered that there is no such image: what may be told as "it is gone already"."""


def no_connection(text: str, code: int, said: str) -> RexrayError:
    """Why there is no session with the cluster, by what the library wrote into its log and the error's number."""
    if any(words in text.lower() for words in _NO_SETTINGS):
        return Unavailable(f"{said}: say where the cluster is by rbd.conf ($RBD_CONF) or rbd.monitors")
    if code in (errno.ETIMEDOUT, 0):
        return Unavailable(f"{said}: no monitor answered")
    return Unauthorized(f"{said}: check rbd.user and rbd.keyring, which the cluster does not accept")


def number(ended: Ended) -> int:
    """The error's number, 0 where the program does not say any; ``rbd`` says that of a real EPERM."""
    for first, second, name in reversed(_NUMBER.findall(ended.stderr)):
        return int(first or second or 0) or int(getattr(errno, name, 0))
    if ended.status == 1 and ended.program.startswith("rbd"):  # a call that it does not understand
        return errno.EINVAL if ended.program == "rbd" else 0
    return ended.status if ended.program.startswith("rbd") else 0


def refusal(ended: Ended, action: str) -> RexrayError:
    """The error of a program that failed while it was to do that."""
    text, said = ended.stderr.lower(), f"cannot {action}: {_complaint(ended)}"
    if any(words in text for words in (*_NO_SETTINGS, *_NO_CONNECTION, *_NO_AUTH)):
        return no_connection(text, number(ended) or errno.EACCES, said)
    code = number(ended)
    if code == errno.ENOENT and ended.program == "rbd" and _is_image_missing(text):
        return NoImage(said)
    if _ERRORS.get(code) is Forbidden and code != errno.ESHUTDOWN:
        said = f"{said}: 'rexray policy rbd' prints what the user must be allowed"
    return _ERRORS.get(code, Unavailable if code else RexrayError)(said)


def _is_image_missing(text: str) -> bool:
    """The pool and the cluster answered, and the image is not there."""
    return "error opening image" in text or "error opening parent image" in text


def _complaint(ended: Ended) -> str:
    """The line that says what is wrong, without the program's name and the log's time."""
    lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if not re.match(r"\d{4}-\d\d-\d\dT", line)] or lines
    return telling[-1].removeprefix("rbd: ") if telling else ended.complaint
