"""A gRPC server for tests, which remembers each request, and fails or dawdles where a test says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from rexray.csi.rpc import CALLS, Call
from rexray.csi.status import status_of
from rexray.errors import RexrayError

M = TypeVar("M", bound=Message)


@dataclass
class Fault:
    """What a call answers instead of doing its work."""

    code: grpc.StatusCode
    details: str


@dataclass
class Script:
    """What a test plans for a server, and what it hears back from it."""

    requests: list[Message] = field(default_factory=list)
    """Every request, in the order of arrival."""
    metadata: list[tuple[str, str]] = field(default_factory=list)
    """The metadata of the last call."""
    faults: dict[str, Fault] = field(default_factory=dict)
    """The calls that fail, by name."""
    stalled: set[str] = field(default_factory=set)
    """The calls that give no answer before their caller gives up."""

    def last(self, kind: type[M]) -> M:
        """The last request of a type."""
        return next(request for request in reversed(self.requests) if isinstance(request, kind))


Method = Callable[[Any, grpc.ServicerContext], Any]


def _answer(script: Script, call: Call[Any, Any], service: object) -> Method:
    """The handler of a call: the script first, then the service's method."""
    method: Callable[[Any], Any] = getattr(service, call.name)

    def handle(request: Any, context: grpc.ServicerContext) -> Any:
        script.requests.append(request)
        script.metadata = [(key, str(value)) for key, value in context.invocation_metadata()]
        if call.name in script.stalled:
            gone = threading.Event()
            context.add_callback(gone.set)
            gone.wait(60)
        fault = script.faults.get(call.name)
        if fault is not None:
            context.abort(fault.code, fault.details)
        try:
            response = method(request)
        except RexrayError as error:
            context.abort(status_of(error), str(error))
        return iter(response) if call.streams else response

    return handle


@contextmanager
def serving(service: object, script: Script, address: str, services: Sequence[str] = ()) -> Iterator[str]:
    """Serve an object with a method for each call at ``unix:PATH`` or ``HOST:PORT``; yields the endpoint.

    The methods take the request alone and raise rexray's errors; those of streams return a list. Port 0 is any free
    one. ``services`` limits the server to these.
    """
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    for name in dict.fromkeys(call.service for call in CALLS):
        if services and name not in services:
            continue
        handlers = {call.name: _handler(script, call, service) for call in CALLS if call.service == name}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"csi.v1.{name}", handlers),))
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield address if address.startswith("unix:") else f"tcp://{address.rpartition(':')[0]}:{port}"
    finally:
        server.stop(None).wait()


def _handler(script: Script, call: Call[Any, Any], service: object) -> grpc.RpcMethodHandler[Any, Any]:
    make = grpc.unary_stream_rpc_method_handler if call.streams else grpc.unary_unary_rpc_method_handler
    handler: grpc.RpcMethodHandler[Any, Any] = make(
        _answer(script, call, service),
        request_deserializer=call.request.FromString,
        response_serializer=call.response.SerializeToString,
    )
    return handler
