"""Messages as logs may show them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from rexray.csi._pb import csi_pb2 as pb

_SECRET: Any = pb.csi_secret  # the annotations of extensions say less than they should


def secrets_of(message: Message) -> Iterator[str]:
    """The values of the ``csi_secret`` fields of a message."""
    for field, value in message.ListFields():
        if field.GetOptions().Extensions[_SECRET]:
            yield from value.values()


def redacted(message: Message) -> str:
    """One line of text about a message, each value of a ``csi_secret`` field replaced by ``***``."""
    shown = type(message)()
    shown.CopyFrom(message)
    for field, value in shown.ListFields():
        if field.GetOptions().Extensions[_SECRET]:
            for key in value:
                value[key] = "***"
    return " ".join(str(shown).split())
