"""The settings of the daemon's log; its level is one of the core's, which every command has."""

from __future__ import annotations

from dataclasses import dataclass

from rexray.settings import setting

FORMATS = ("auto", "text", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Settings under ``rexray``."""

    format: str = setting(
        "auto",
        key="rexray.logFormat",
        choices=FORMATS,
        help="The form of the service's log: text, json, or auto, which is text on a terminal and json anywhere else",
    )
