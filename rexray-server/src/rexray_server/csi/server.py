"""The gRPC server at its private socket, and the translation of errors to statuses."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import grpc

from rexray.csi import rpc
from rexray.csi.local import Handler
from rexray.csi.status import status_of
from rexray.errors import RexrayError, SettingsError
from rexray.redaction import scrub
from rexray_server.csi.pipeline import has_answered

MAX_MESSAGE = 64 << 20
"""The largest message in bytes: a page of volumes is as long as the caller asks for."""

INSTANT = frozenset(
    {
        rpc.PROBE,
        rpc.GET_PLUGIN_INFO,
        rpc.GET_PLUGIN_CAPABILITIES,
        rpc.CONTROLLER_GET_CAPABILITIES,
        rpc.GROUP_CONTROLLER_GET_CAPABILITIES,
        rpc.NODE_GET_CAPABILITIES,
    }
)
"""The calls that need no platform: they have threads of their own, for the others may all be waiting for one."""
INSTANT_THREADS = 4


def make_server(handlers: Mapping[str, Handler], address: str, executor: Executor) -> grpc.Server:
    """A server for the handlers, listening at the address; the caller starts and stops it.

    The address is a gRPC target, with the path of a socket percent-encoded; ``SettingsError`` if it is of no use.
    """
    server = grpc.server(
        executor,  # type: ignore[arg-type]
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
            ("grpc.so_reuseport", 0),
        ],
    )
    by_service: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    instant = ThreadPoolExecutor(INSTANT_THREADS, "csi-instant")
    for call in rpc.CALLS:
        if call.path in handlers:
            own = instant if call in INSTANT else None
            by_service.setdefault(f"csi.v1.{call.service}", {})[call.name] = _method(call, handlers[call.path], own)
    for service, methods in by_service.items():
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, methods)])
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise SettingsError(f"cannot listen at {address}: {' '.join(str(error).split())}") from None
    return server


def _method(
    call: rpc.Call[Any, Any], handler: Handler, executor: ThreadPoolExecutor | None
) -> grpc.RpcMethodHandler[Any, Any]:
    make = grpc.unary_stream_rpc_method_handler if call.streams else grpc.unary_unary_rpc_method_handler
    serve = functools.partial(_stream if call.streams else _unary, handler)
    if executor is not None:
        setattr(serve, "experimental_thread_pool", executor)  # noqa: B010 grpcio's name for it, which partial() lacks
    return make(serve, call.request.FromString, call.response.SerializeToString)


def _unary(handler: Handler, request: Any, context: grpc.ServicerContext) -> Any:
    try:
        return handler(request, context)
    except RexrayError as error:
        context.abort(status_of(error), scrub(str(error)))
    except Exception as error:  # noqa: BLE001 whatever a plug-in raises, the client gets a status
        _fail(context, error)


def _stream(handler: Handler, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
    try:
        yield from handler(request, context)
    except RexrayError as error:
        context.abort(status_of(error), scrub(str(error)))
    except Exception as error:  # noqa: BLE001 whatever a plug-in raises, the client gets a status
        _fail(context, error)


def _fail(context: grpc.ServicerContext, error: Exception) -> None:
    """Answer an unexpected error, which the log has; what the plug-in's own ``abort`` raised has its status already."""
    if has_answered(context):
        raise error
    context.abort(grpc.StatusCode.INTERNAL, "internal error: see the log of rexray")
