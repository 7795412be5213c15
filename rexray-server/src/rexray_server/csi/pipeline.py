"""What every CSI call passes through before it reaches the plug-in: log, validation, one call at a time a volume.

Docker's side and the gRPC server call the same pipeline, so both keep to the same locks.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.message import Message

from rexray import calls, redaction
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.local import Handler, handlers_of
from rexray.csi.plugin import SERVICES, CSIPlugin
from rexray.csi.redaction import secrets_of
from rexray.errors import SettingsError
from rexray.locks import Locks
from rexray_server.csi.validation import validate
from rexray_server.logs_calls import failures_told
from rexray_server.settings import ServerSettings

log = logging.getLogger(__name__)

REQUEST_ID = "csi.requestid"
"""The metadata key of the id that a caller gives its request: gocsi's name for it (its README)."""
_LONGEST_ID = 128

_HIDDEN = {"controller": {"Node"}, "node": {"Controller", "GroupController", "SnapshotMetadata"}}
"""The services that a mode leaves out."""

_LOCKED = {
    "CREATE_VOLUME",
    "DELETE_VOLUME",
    "CONTROLLER_PUBLISH_VOLUME",
    "CONTROLLER_UNPUBLISH_VOLUME",
    "CONTROLLER_EXPAND_VOLUME",
    "CONTROLLER_MODIFY_VOLUME",
    "CREATE_SNAPSHOT",
    "DELETE_SNAPSHOT",
    "CREATE_VOLUME_GROUP_SNAPSHOT",
    "DELETE_VOLUME_GROUP_SNAPSHOT",
    "NODE_STAGE_VOLUME",
    "NODE_UNSTAGE_VOLUME",
    "NODE_PUBLISH_VOLUME",
    "NODE_UNPUBLISH_VOLUME",
    "NODE_EXPAND_VOLUME",
}
LOCKED_CALLS = frozenset(getattr(rpc, name) for name in _LOCKED)
"""The calls that change a volume; those that only look run beside them."""


class Pipeline:
    """The calls of one plug-in, wrapped. ``settings`` may be replaced while calls run."""

    def __init__(self, plugin: CSIPlugin, settings: ServerSettings) -> None:
        self.settings = settings
        self._locks = Locks()
        wanted = [service for service in SERVICES if service not in _HIDDEN.get(settings.mode, ())]
        served = handlers_of(plugin, wanted)
        self.handlers: Mapping[str, Handler] = {
            call.path: functools.partial(self._run_stream if call.streams else self._run, call, served[call.path])
            for call in rpc.CALLS
            if call.path in served
        }

    def _run(self, call: rpc.Call[Any, Any], handler: Handler, request: Message, context: Any) -> Any:
        with self._told(call, request, context):
            return self._checked(call, handler, request, context)

    def _run_stream(
        self, call: rpc.Call[Any, Any], handler: Handler, request: Message, context: Any
    ) -> Iterator[Message]:
        with self._told(call, request, context):
            yield from self._checked(call, handler, request, context)

    @contextlib.contextmanager
    def _told(self, call: rpc.Call[Any, Any], request: Message, context: Any) -> Iterator[None]:
        """Work on a call, which the log tells of by its id; the secrets that it brings are known from now on."""
        for secret in secrets_of(request):
            redaction.register(secret, passing=True)
        given = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        request_id, trace = given.get(REQUEST_ID, "")[:_LONGEST_ID], given.get("traceparent", "")
        with (
            calls.call("csi", call.name, request_id=request_id, traceparent=trace) as made,
            failures_told(made, answered=lambda: has_answered(context)),
        ):
            if log.isEnabledFor(logging.DEBUG):
                log.debug("request", extra={"fields": {"call": call.name, **describe(request)}})
            yield

    def _checked(self, call: rpc.Call[Any, Any], handler: Handler, request: Message, context: Any) -> Any:
        if self.settings.spec_validation:
            validate(call, request)
        if call is rpc.GET_PLUGIN_INFO and self.settings.plugin_info:
            return parse_plugin_info(self.settings.plugin_info)
        if not self.settings.serial or call not in LOCKED_CALLS:
            return handler(request, context)
        with self._locks.hold(*keys_of(request), owner=call.name, timeout=self._patience(context)):
            return handler(request, context)

    def _patience(self, context: Any) -> float:
        remaining = context.time_remaining()
        return self.settings.serial_timeout if remaining is None else min(self.settings.serial_timeout, remaining)


def has_answered(context: Any) -> bool:
    """Whether a plug-in has given gRPC its own status, by ``abort``: the exception after it means nothing more."""
    code = getattr(context, "code", None)
    return callable(code) and code() is not None


def keys_of(request: Message) -> Iterator[str]:
    """The names and ids of the volumes and snapshots that a request works on.

    A new volume is locked by its name and an existing one by its id, with one prefix for both: where a plug-in's
    ids are its names, as they often are, creating and deleting exclude each other.
    """
    for field in ("name", "volume_id", "source_volume_id"):
        if value := getattr(request, field, ""):
            yield f"volume {value}"
    for value in getattr(request, "source_volume_ids", ()):
        yield f"volume {value}"
    for field in ("snapshot_id", "group_snapshot_id"):
        if value := getattr(request, field, ""):
            yield f"snapshot {value}"
    if isinstance(request, pb.CreateVolumeRequest):
        source = request.volume_content_source
        if source.volume.volume_id:
            yield f"volume {source.volume.volume_id}"
        if source.snapshot.snapshot_id:
            yield f"snapshot {source.snapshot.snapshot_id}"


def describe(request: Message) -> dict[str, str | int]:
    """The short fields of a request for the log; secrets are a map, and maps never show."""
    return {descriptor.name: value for descriptor, value in request.ListFields() if isinstance(value, (str, int, bool))}


def parse_plugin_info(text: str) -> pb.GetPluginInfoResponse:
    """``NAME,VERSION[,KEY=VALUE...]``; ``SettingsError`` if it is anything else."""
    name, _, rest = text.partition(",")
    version, _, manifest = rest.partition(",")
    pairs = [pair.partition("=") for pair in manifest.split(",") if pair]
    if not name or not version or not all(key and equals for key, equals, _ in pairs):
        raise SettingsError(f"$X_CSI_PLUGIN_INFO: {text!r} is not NAME,VERSION[,KEY=VALUE...]")
    return pb.GetPluginInfoResponse(name=name, vendor_version=version, manifest={key: value for key, _, value in pairs})
