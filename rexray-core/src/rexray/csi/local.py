"""Calling a CSI plug-in in this process: no socket, no encoding, the same errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn

import grpc

from rexray.csi.plugin import SERVICES, CSIPlugin
from rexray.csi.rpc import CALLS, Call, Rep, Req
from rexray.csi.status import error_of
from rexray.errors import BrokenPlugin, Unsupported

Handler = Callable[[Any, Any], Any]
"""``handler(request, context) -> response``, the signature of a gRPC servicer's method."""


def handlers_of(plugin: CSIPlugin, wanted: Collection[str] = SERVICES) -> Mapping[str, Handler]:
    """The plug-in's method for each call of the wanted services that it serves, by the call's path.

    ``BrokenPlugin`` for a service that CSI does not have.
    """
    services = plugin.services(wanted)
    unknown = sorted(set(services) - set(SERVICES))
    if unknown:
        raise BrokenPlugin(f"CSI plug-in {plugin.name!r} has unknown services: {', '.join(unknown)}")
    return {
        call.path: getattr(services[call.service], call.name)
        for call in CALLS
        if call.service in wanted and hasattr(services.get(call.service), call.name)
    }


class LocalContext:
    """What a servicer's method may ask of, and tell, the caller of one call."""

    def __init__(self, timeout: float | None, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._metadata = tuple(metadata)
        self._code: grpc.StatusCode | None = None
        self._details = ""

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def is_active(self) -> bool:
        """A local caller waits for the answer."""
        return True

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of the call."""
        return self._metadata

    def peer(self) -> str:
        """Who calls."""
        return "local:"

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the status of the answer."""
        self._code = code

    def set_details(self, details: str) -> None:
        """Set the message of the status."""
        self._details = details

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call with an error."""
        raise error_of(code, details)

    def check(self) -> None:
        """Raise the error that :meth:`set_code` set, if any."""
        if self._code is not None and self._code is not grpc.StatusCode.OK:
            raise error_of(self._code, self._details)


class LocalCaller:
    """A :class:`~rexray.csi.client.Caller` that calls handlers in this process."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def call(
        self, call: Call[Req, Rep], request: Req, *, timeout: float, metadata: Sequence[tuple[str, str]] = ()
    ) -> Rep:
        """Make one call; raises the plug-in's own errors."""
        handler = self._handlers.get(call.path)
        if handler is None:
            raise Unsupported(f"the CSI plug-in does not serve {call.name}")
        context = LocalContext(timeout, metadata)
        response: Rep = handler(request, context)
        context.check()
        return response
