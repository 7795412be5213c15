"""Traces by OpenTelemetry: a span for each call from outside, for what it makes platforms do, for waits for a lock.

OpenTelemetry is imported only when a collector is configured, and is not needed otherwise. Its own variables rule the
rest: ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_TRACES_SAMPLER``, ``OTEL_EXPORTER_OTLP_HEADERS``,
``OTEL_SDK_DISABLED`` (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).

No span has the name or the id of a volume, or the message of an error: traces go to another host, and messages name
volumes. ``rexray.request_id`` leads from a span to the lines of the log.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rexray import calls
from rexray.csi.rpc import CALLS
from rexray.redaction import register
from rexray_server.monitoring.codes import code_of

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, SpanKind, Tracer
    from opentelemetry.util.types import AttributeValue

log = logging.getLogger(__name__)

INSTALL = "pip install 'rexray-server[otel]'"
CLOSE_SECONDS = 2.0
"""How long an end waits for the collector to take the last spans."""
_TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""The statuses of gRPC that are a server's error (OpenTelemetry's semantic conventions for gRPC)."""


def start(endpoint: str) -> Callable[[], None]:
    """Send a span of every call to the collector; what is returned ends that. Without the packages, say so once."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return _nothing
    _hide_headers()
    try:
        provider, exporter = _exporting(endpoint)
    except ImportError as error:
        fields = {"error": str(error), "install": INSTALL}
        log.warning("no traces: OpenTelemetry is not installed", extra={"fields": fields})
        return _nothing
    except Exception as error:  # noqa: BLE001 a variable of OpenTelemetry that it cannot read stops no volumes
        log.warning("no traces: OpenTelemetry does not start", extra={"fields": {"error": str(error)}})
        return _nothing
    stop = observe(provider)
    log.info("traces", extra={"fields": {"to": endpoint}})

    def close() -> None:
        stop()
        ending = threading.Thread(target=provider.shutdown, name="tracing-end", daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)
        exporter.shutdown()  # which ends what it still tries

    return close


def _hide_headers() -> None:
    """Know a collector's credentials as secrets: OpenTelemetry's log repeats a header that it cannot parse."""
    for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"):
        for header in os.environ.get(name, "").split(","):
            value = unquote(header.partition("=")[2]).strip()
            for secret in (header.strip(), value, *value.split()[1:]):  # a scheme such as Bearer, and its credentials
                register(secret)


def _nothing() -> None:
    """What ends traces that there are none of."""


def _exporting(endpoint: str) -> tuple[TracerProvider, SpanExporter]:
    """What makes spans, and what sends them to the collector; ``ImportError`` without the packages."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # A collector's address for traces alone is the exporter's to read: unlike the general one it is used as it is.
    own = None if os.environ.get(_TRACES_ENDPOINT) else f"{endpoint.rstrip('/')}/v1/traces"
    exporter = OTLPSpanExporter(endpoint=own)
    resource = Resource.create({SERVICE_VERSION: version("rexray-server")})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # what stands there when nobody says
        resource = resource.merge(Resource({SERVICE_NAME: "rexray"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider, exporter


def observe(provider: TracerProvider) -> Callable[[], None]:
    """Make spans of every call by that provider; what is returned ends that."""
    return calls.observe(Tracing(provider.get_tracer("rexray_server")).span)


class Tracing:
    """Makes a span of each call, within that of the call it is part of, whichever thread works on it."""

    def __init__(self, tracer: Tracer) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.tracer = tracer
        self._propagator = TraceContextTextMapPropagator()
        self._methods = {call.name: call.path.lstrip("/") for call in CALLS}
        self._kinds = {calls.PLATFORM: SpanKind.CLIENT, calls.LOCK: SpanKind.INTERNAL, calls.OWN: SpanKind.INTERNAL}
        self._under_way: dict[int, Span] = {}

    def span(self, call: calls.Call) -> CallSpan:
        """What makes the span, for :func:`rexray.calls.observe`."""
        return CallSpan(self, call)

    def begin(self, call: calls.Call) -> Span:
        """Start the span of a call."""
        span = self.tracer.start_span(
            f"{call.driver or call.kind} {call.verb}",
            context=self._around(call),
            kind=self._kind(call),
            attributes=self._attributes(call),
        )
        self._under_way[id(call)] = span
        return span

    def end(self, call: calls.Call) -> None:
        """Forget the span of a call."""
        self._under_way.pop(id(call), None)

    def _around(self, call: calls.Call) -> Context:
        """The span that this one is part of: that of the call around it, or the one that the caller told of."""
        from opentelemetry.context import Context
        from opentelemetry.trace import set_span_in_context

        around = call.within
        while around is not None:
            span = self._under_way.get(id(around))
            if span is not None:
                return set_span_in_context(span, Context())
            around = around.within
        carrier = {"traceparent": call.traceparent} if call.traceparent else {}
        return self._propagator.extract(carrier, context=Context())

    def _kind(self, call: calls.Call) -> SpanKind:
        """A front's call is a server's, but those that Docker's calls make of CSI come from inside."""
        from opentelemetry.trace import SpanKind

        inside = SpanKind.INTERNAL if call.within is not None else SpanKind.SERVER
        return self._kinds.get(call.kind, inside)

    def _attributes(self, call: calls.Call) -> dict[str, AttributeValue]:
        """What is known when a call begins, by OpenTelemetry's semantic conventions for RPC where they have a name."""
        common: dict[str, AttributeValue] = {"rexray.request_id": call.request_id}
        if call.kind == calls.LOCK:
            return common | {"rexray.lock.scope": call.verb}
        if call.kind == calls.OWN:
            return common
        if call.kind == "csi":
            return common | {"rpc.system.name": "grpc", "rpc.method": self._methods.get(call.verb, call.verb)}
        return common | {"rpc.system.name": call.driver or call.kind, "rpc.method": call.verb}


class CallSpan:
    """The span around one call."""

    __slots__ = ("_call", "_span", "_tracing")

    def __init__(self, tracing: Tracing, call: calls.Call) -> None:
        self._tracing = tracing
        self._call = call
        self._span: Span | None = None

    def __enter__(self) -> None:
        self._span = self._tracing.begin(self._call)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        assert self._span is not None
        self._tracing.end(self._call)
        _finish(self._span, self._call, error)


def _finish(span: Span, call: calls.Call, error: BaseException | None) -> None:
    from opentelemetry.trace import StatusCode

    faulty = error is not None
    if call.kind in calls.FRONTS:
        code = code_of(call.kind, error)
        span.set_attribute("rpc.response.status_code", code)
        faulty = code in _SERVER_FAULTS or code.startswith("5")
    if error is not None:
        span.set_attribute("error.type", type(error).__name__)
    if faulty:
        span.set_status(StatusCode.ERROR)
    span.end()
