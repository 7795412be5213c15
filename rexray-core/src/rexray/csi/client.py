"""A client of CSI endpoints, and the seam behind which a plug-in in the same process looks like one."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.redaction import redacted
from rexray.csi.rpc import Call, Rep, Req
from rexray.csi.settings import parse_endpoint
from rexray.csi.status import error_of
from rexray.errors import RexrayError, Unavailable

log = logging.getLogger(__name__)

Metadata = Sequence[tuple[str, str]]

ListRequest = TypeVar(
    "ListRequest", pb.ListVolumesRequest, pb.ListSnapshotsRequest, pb.ControllerListVolumeHealthRequest
)
ListResponse = TypeVar(
    "ListResponse", pb.ListVolumesResponse, pb.ListSnapshotsResponse, pb.ControllerListVolumeHealthResponse
)

_OPTIONS = (
    ("grpc.default_authority", "localhost"),  # a socket's path is no authority that servers accept
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),  # a list may have any length
    ("grpc.min_reconnect_backoff_ms", 5000),  # how long a host may take to accept a connection
    ("grpc.use_local_subchannel_pool", 1),  # a new client does not wait out the back-off of an older one
)


class Caller(Protocol):
    """Who can make the calls of CSI: a :class:`CSIClient`, or the server, for a plug-in that it hosts."""

    def call(self, call: Call[Req, Rep], request: Req, *, timeout: float, metadata: Metadata = ()) -> Rep:
        """Make a call and wait for its answer, at most ``timeout`` seconds; errors are rexray's own."""
        ...


class CSIClient:
    """A connection to a CSI endpoint, safe to use from many threads; a context manager that closes itself.

    The endpoint may be written as :func:`~rexray.csi.settings.parse_endpoint` reads it; ``SettingsError`` otherwise.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        address = parse_endpoint(endpoint)
        self._path = address.path
        self._channel = grpc.insecure_channel(address.target, options=_OPTIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._channel.close()

    def call(self, call: Call[Req, Rep], request: Req, *, timeout: float, metadata: Metadata = ()) -> Rep:
        """Make a call and wait for its answer, at most ``timeout`` seconds.

        A failure is the :class:`~rexray.errors.RexrayError` of its gRPC status, caused by its RpcError;
        an endpoint that is not there is ``Unavailable`` at once.
        """
        self._check_socket()
        log.debug("%s: %s %s", self.endpoint, call.name, redacted(request))
        method = self._channel.unary_unary(
            call.path,
            request_serializer=call.request.SerializeToString,
            response_deserializer=call.response.FromString,
        )
        try:
            response: Rep = method(request, timeout=timeout, metadata=tuple(metadata))
        except grpc.RpcError as error:
            raise self._error(call, error, timeout) from error
        return response

    def stream(self, call: Call[Req, Rep], request: Req, *, timeout: float, metadata: Metadata = ()) -> Iterator[Rep]:
        """The answers of a call that streams; errors as of :meth:`call`, ``timeout`` is for all of it."""
        self._check_socket()
        log.debug("%s: %s %s", self.endpoint, call.name, redacted(request))
        method = self._channel.unary_stream(
            call.path,
            request_serializer=call.request.SerializeToString,
            response_deserializer=call.response.FromString,
        )
        try:
            yield from method(request, timeout=timeout, metadata=tuple(metadata))
        except grpc.RpcError as error:
            raise self._error(call, error, timeout) from error

    def _check_socket(self) -> None:
        """Say clearly what gRPC would only hint at."""
        if self._path is None:
            return
        try:
            mode = os.stat(self._path).st_mode
        except OSError as error:
            raise self._unavailable(error.strerror or str(error)) from None
        if not stat.S_ISSOCK(mode):
            raise self._unavailable("it is not a socket")

    def _unavailable(self, why: str) -> Unavailable:
        return Unavailable(f"no CSI service at {self.endpoint}: {why}")

    def _error(self, call: Call[Req, Rep], error: grpc.RpcError, timeout: float) -> RexrayError:
        code: grpc.StatusCode = error.code()
        details = str(error.details() or "")
        if code is grpc.StatusCode.UNAVAILABLE and details.startswith("failed to connect"):
            return self._unavailable(details.rpartition(": ")[2])
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and details == "Deadline Exceeded":
            details = f"no answer from {self.endpoint} within {timeout:g}s"
        return error_of(code, f"{call.name}: {details or 'failed without a message'}")


def pages(
    caller: Caller,
    call: Call[ListRequest, ListResponse],
    request: ListRequest,
    *,
    timeout: float,
    metadata: Metadata = (),
) -> Iterator[ListResponse]:
    """Every page of a list, from the request's ``starting_token`` on; ``timeout`` is for each page.

    A plug-in that hands out a token twice would be listed for ever: that is a ``RexrayError``.
    """
    asked = type(request)()
    asked.CopyFrom(request)
    seen = {asked.starting_token}
    while True:
        page = caller.call(call, asked, timeout=timeout, metadata=metadata)
        yield page
        if not page.next_token:
            return
        if page.next_token in seen:
            raise RexrayError(f"{call.name}: the plug-in handed out the page token {page.next_token!r} twice")
        seen.add(page.next_token)
        asked.starting_token = page.next_token
