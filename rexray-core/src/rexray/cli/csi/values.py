"""The values that users type for ``rexray csi``: pairs, sizes, durations."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping

import click

from rexray.errors import InvalidRequest
from rexray.settings import Secret
from rexray.sizes import parse_size

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")

_MAX_INT64 = 2**63 - 1


def parse_pairs(text: str) -> dict[str, str]:
    """``key=value,key=value``, a pair with a comma in double quotes; the ``ValueError`` has no content."""
    pairs: dict[str, str] = {}
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True))
    except csv.Error:
        raise ValueError("its quotes do not match") from None
    for word in (word for row in rows for word in row if word):
        key, _, value = word.partition("=")
        if not key:
            raise ValueError("a pair has no key")
        pairs[key] = value
    return pairs


def read_secrets(environ: Mapping[str, str]) -> dict[str, Secret]:
    """The secrets of ``$X_CSI_SECRETS``; an error does not show them."""
    try:
        pairs = parse_pairs(environ.get("X_CSI_SECRETS", ""))
    except ValueError as error:
        raise InvalidRequest(f"$X_CSI_SECRETS is not key=value,key=value: {error}") from None
    return {key: Secret(value) for key, value in pairs.items()}


def key_values(text: str) -> dict[str, str]:
    """``key=value,key=value`` as the value of a flag."""
    try:
        return parse_pairs(text)
    except ValueError as error:
        raise click.BadParameter(f"not key=value,key=value: {error}") from None


def size(text: str) -> int:
    """A number of bytes, or one with a unit (``16GiB``, ``512MiB``), in bytes."""
    if text.isdecimal() and int(text) <= _MAX_INT64:
        return int(text)  # to the byte, which a fraction of a unit cannot promise
    try:
        return parse_size(text, unit="B")
    except InvalidRequest as error:
        raise click.BadParameter(str(error)) from None


def duration(text: str) -> float:
    """A duration such as ``500ms``, ``3s`` or ``1m30s``, or a number of seconds, in seconds."""
    parts = _DURATION.findall(text)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    elif parts and "".join(number + unit for number, unit in parts) == text:
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    else:
        raise click.BadParameter(f"{text!r} is no duration: say 500ms, 3s or 1m30s")
    if not seconds:
        raise click.BadParameter("it must be longer than nothing")
    return seconds
