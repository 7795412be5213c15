"""How a call ended, in the words of its protocol."""

from __future__ import annotations

from werkzeug.exceptions import HTTPException

from rexray.csi.status import status_of
from rexray.errors import RexrayError
from rexray_server.docker import wire


def code_of(protocol: str, error: BaseException | None) -> str:
    """The HTTP status of a Docker call, the name of the gRPC status of a CSI call, as their answers have them."""
    return _csi_code(error) if protocol == "csi" else _docker_code(error)


def _docker_code(error: BaseException | None) -> str:
    if error is None:
        return "200"
    if isinstance(error, RexrayError):
        return str(wire.status_of(error))
    return str(error.code or 500) if isinstance(error, HTTPException) else "500"


def _csi_code(error: BaseException | None) -> str:
    if error is None:
        return "OK"
    if isinstance(error, RexrayError):
        return status_of(error).name
    # gRPC's own abort() raises a bare Exception: the status is the context's, which is not seen from here.
    return "UNKNOWN" if type(error) is Exception and not error.args else "INTERNAL"
