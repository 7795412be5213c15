"""What Docker's plug-in protocols have in common: a WSGI application whose calls are POSTs of JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.wrappers import Request, Response

from rexray import calls
from rexray.errors import InvalidRequest, RexrayError
from rexray.redaction import scrub
from rexray_server.docker import wire
from rexray_server.logs_calls import failures_told

ACTIVATE = "/Plugin.Activate"
"""The call that every plug-in has: which protocols it speaks."""

REQUEST_ID = "X-Request-ID"
"""The header of a request's id, as proxies and clients of HTTP name it."""
_LONGEST_ID = 128

_INSTANT_BODY = 4096
"""A longer body is parsed in a thread: it would hold every other connection up."""

Method = Callable[[wire.Call], Mapping[str, object]]


class PluginApplication:
    """A plug-in of one protocol. ``methods`` are its calls by their paths; the ``instant`` ones need no driver."""

    def __init__(self, protocol: str, methods: Mapping[str, Method], *, instant: Iterable[str] = ()) -> None:
        self._methods = {ACTIVATE: lambda _: {"Implements": [protocol]}, **methods}
        self._instant = frozenset({ACTIVATE, *instant})

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ, populate_request=False)
        status, body = self._answer(request)
        response = Response(body, status, content_type=wire.CONTENT_TYPE)
        return response(environ, start_response)

    def is_instant(self, environ: Mapping[str, Any]) -> bool:
        """Whether the call needs no driver: dockerd hears from us even when every thread waits for a backend."""
        return environ["PATH_INFO"] in self._instant and int(environ["CONTENT_LENGTH"]) <= _INSTANT_BODY

    def _answer(self, request: Request) -> tuple[int, bytes]:
        try:
            return 200, self._dispatch(request)
        except HTTPException as error:
            return error.code or 500, wire.fault(str(error.description))
        except RexrayError as error:
            return wire.status_of(error), wire.fault(scrub(str(error)))
        except Exception:  # noqa: BLE001 whatever a driver raises, dockerd gets an answer; the log has it
            return 500, wire.fault("internal error: see the log of rexray")

    def _dispatch(self, request: Request) -> bytes:
        method = self._methods.get(request.path)
        if method is None:
            raise NotFound(f"{request.path}: no such call; there are {', '.join(self._methods)}")
        if request.method != "POST" and (request.path, request.method) != (ACTIVATE, "GET"):
            raise MethodNotAllowed(["POST"], f"{request.path} is called by POST, not {request.method}")
        verb, request_id = request.path.rpartition(".")[2], request.headers.get(REQUEST_ID, "")[:_LONGEST_ID]
        trace = request.headers.get("traceparent", "")
        with calls.call("docker", verb, request_id=request_id, traceparent=trace) as made, failures_told(made):
            return wire.encode(method(wire.parse(request.get_data())))


def name_of(call: wire.Call) -> str:
    """The volume that is meant; ``InvalidRequest`` without one."""
    if not call.name:
        raise InvalidRequest("Name is missing: say which volume is meant")
    return call.name
