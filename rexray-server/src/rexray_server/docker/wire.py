"""Docker's volume plug-in messages: JSON in, JSON out, and errors.

Facts: the Docker Engine volume plug-in API, v1.1, and what dockerd sends: no Content-Type, a body that ends in a
newline, ``"Opts": null`` without options.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from rexray import errors
from rexray.types import Volume

CONTENT_TYPE = "application/vnd.docker.plugins.v1.1+json"

STATUS: dict[type[errors.RexrayError], int] = {
    errors.InvalidRequest: 400,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.InUse: 409,
    errors.NotReady: 409,
    errors.Busy: 409,
    errors.OutOfCapacity: 507,
    errors.OutOfRange: 400,
    errors.Forbidden: 403,
    errors.Unavailable: 503,
    errors.TimedOut: 504,
    errors.Unsupported: 501,
    errors.RexrayError: 500,
}
"""The HTTP status of each error; a subclass without a row of its own has its nearest parent's.

dockerd shows ``Err`` for every status but 200, with the method's name before it.
"""


def status_of(error: errors.RexrayError) -> int:
    """The HTTP status of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The body of a request; what a call does not use is empty."""

    name: str = ""
    id: str = ""
    instance_id: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


def parse(body: bytes) -> Call:
    """The request in a body; an empty one is an empty request. ``InvalidRequest`` says what is malformed."""
    if not body.strip(b" \t\r\n\0"):
        return Call()
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidRequest(f"the request's body is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise errors.InvalidRequest(f"the request's body is {_kind(content)}, not an object")
    options = content.get("Opts")
    if options is None:
        options = {}
    if not isinstance(options, dict):
        raise errors.InvalidRequest(f"Opts is {_kind(options)}, not an object")
    for key, value in options.items():
        if not isinstance(value, str):
            raise errors.InvalidRequest(f"Opts[{key!r}] is {_kind(value)}, not a string")
    return Call(
        name=_text(content, "Name"),
        id=_text(content, "ID"),
        instance_id=_text(content, "Instanceid"),
        options=options,
    )


def _text(content: Mapping[str, object], key: str) -> str:
    value = content.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise errors.InvalidRequest(f"{key} is {_kind(value)}, not a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise errors.InvalidRequest(f"{key} is not valid Unicode") from None
    return value


def _kind(value: object) -> str:
    kinds = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return kinds.get(type(value), "an array" if isinstance(value, list) else "an object")


def describe(volume: Volume, *, detailed: bool = False) -> dict[str, object]:
    """A volume as Docker lists it: the mount point only while there is one, the status only in detail."""
    answer: dict[str, object] = {"Name": volume.name or volume.id}
    mounted = next((item.mount_point for item in volume.attachments if item.mount_point), "")
    if mounted:
        answer["Mountpoint"] = mounted
    if volume.created is not None:
        answer["CreatedAt"] = volume.created.isoformat()
    if detailed:
        facts = {"id": volume.id, "state": volume.state.value, "type": volume.type, "availabilityZone": volume.zone}
        status: dict[str, object] = {key: value for key, value in facts.items() if value}
        if volume.size_bytes:
            status["size"] = volume.size_bytes
        if volume.fields:
            status["fields"] = dict(volume.fields)
        answer["Status"] = status
    return answer


def encode(answer: Mapping[str, object]) -> bytes:
    """An answer's body."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def fault(message: str) -> bytes:
    """The body of an answer that is an error; what is no Unicode in the message is spelt out."""
    return encode({"Err": message.encode(errors="backslashreplace").decode()})
