"""Errors and gRPC status codes: one table, read both ways."""

from __future__ import annotations

import grpc

from rexray import errors

STATUS: dict[type[errors.RexrayError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.InUse: grpc.StatusCode.FAILED_PRECONDITION,
    errors.NotReady: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Busy: grpc.StatusCode.ABORTED,
    errors.OutOfCapacity: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.OutOfRange: grpc.StatusCode.OUT_OF_RANGE,
    errors.Unauthorized: grpc.StatusCode.UNAUTHENTICATED,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.TimedOut: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.PluginError: grpc.StatusCode.INTERNAL,
    errors.RexrayError: grpc.StatusCode.INTERNAL,
}
"""The status of each error; a subclass without a row of its own has its nearest parent's."""

_ERRORS: dict[grpc.StatusCode, type[errors.RexrayError]] = {status: error for error, status in reversed(STATUS.items())}


def status_of(error: errors.RexrayError) -> grpc.StatusCode:
    """The gRPC status that tells a client of the error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def error_of(status: grpc.StatusCode, message: str) -> errors.RexrayError:
    """The error that a gRPC status stands for."""
    return _ERRORS.get(status, errors.RexrayError)(message)
