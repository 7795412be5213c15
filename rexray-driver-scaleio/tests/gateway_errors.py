"""What the simulated gateway refuses with: cluster-manager codes, malformed requests, and the fields of a body."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

MESSAGES = {
    3: "Not found",
    79: "Could not find the volume",
    80: "Could not find the SDC",
    81: "The volume is mapped to this SDC already",
    82: "The volume is mapped to all SDCs already",
    84: "The volume is not mapped to this SDC",
    99: "Volume name already in use. Please use a different name.",
    104: "The volume is mapped",
    133: "The capacity of a volume can only grow",
    142: "Could not find the Protection Domain",
    171: "Could not find the Storage Pool",
    182: "The VTree has too many snapshots",
    183: "There are no volumes to delete",
    190: "The volume size is too large",
    212: "The volume is being removed",
    225: "The volume size must be in blocks of 8 GB",
    226: "The name is longer than 31 characters",
    227: "The name is invalid: letters, digits and punctuation only",
    294: "The SDC has too many volumes",
    297: "The volume is mapped already and may not be mapped several times",
    300: "The request exceeds the pool's allocation limit",
    315: "The volume is mapped to an SDC already",
    322: "The SDC is not approved",
}
"""The words are the simulator's, but for those of 3, 79, 80 and 99, which clients are known to compare."""

_SYMBOLS = {182: "TOO_MANY_SNAPS_IN_VTREE"}
_NAME_LIMIT = 31


class Refusal(Exception):
    """An error that the gateway answers; ``code`` is that of a 3.x cluster manager."""

    def __init__(self, status: int, code: int, message: str, details: list[Json] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    def body(self, code: int, in_details: bool) -> Json:
        """The JSON of the error, with the code that this version has for it, in the head or in ``details``."""
        details = self.details
        if in_details and details is None and self.status == 500:
            symbol = _SYMBOLS.get(self.code, f"ERROR_{self.code}")
            details = [{"rc": code, "error": symbol, "errorMessage": self.message}]
            return {"message": "Error with details", "httpStatusCode": 500, "errorCode": 0, "details": details}
        head: Json = {"message": self.message, "httpStatusCode": self.status, "errorCode": code}
        return head if details is None else {**head, "details": details}


def refuse(code: int) -> Refusal:
    """What the cluster manager refuses: HTTP 500."""
    return Refusal(500, code, MESSAGES[code])


def malformed(message: str) -> Refusal:
    """What the gateway itself refuses: HTTP 400 with errorCode 0."""
    return Refusal(400, 0, message)


def missing(names: str) -> Refusal:
    return malformed(f"The request is not valid: the body lacks {names}")


def known_id(text: Any) -> str:
    """An id as it is stored; ids are numbers, so the case of their digits does not count."""
    if not isinstance(text, str) or not re.fullmatch(r"[0-9a-fA-F]{1,16}", text):
        raise malformed("id must be a hexadecimal number")
    return f"{int(text, 16):016x}"


def checked_name(text: str) -> str:
    if len(text) > _NAME_LIMIT:
        raise refuse(226)
    if not re.fullmatch(r"[!-~]+", text):
        raise refuse(227)
    return text


@dataclass(frozen=True, slots=True)
class Body:
    """The fields of a request; numbers and booleans may be JSON's own or, as clients send them, strings."""

    fields: Mapping[str, Any]

    def only(self, *names: str) -> None:
        """Refuse fields that the action does not have in this version."""
        extra = sorted(set(self.fields) - set(names))
        if extra:
            raise malformed(f"The request is not valid: the body has the unknown {', '.join(extra)}")

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        if value is None:
            raise missing(name)
        if not isinstance(value, str):
            raise malformed(f"{name} must be a string")
        return value

    def id(self, name: str) -> str:
        if self.fields.get(name) is None:
            raise missing(name)
        return known_id(self.fields[name])

    def choice(self, name: str, choices: Iterable[str], default: str | None = None) -> str:
        if default is not None and name not in self:
            return default
        value = self.text(name)
        if value not in choices:
            raise malformed(f"{name} must be one of {', '.join(choices)}")
        return value

    def number(self, name: str) -> int:
        value = self.fields.get(name)
        if value is None:
            raise missing(name)
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,18}", str(value)):
            raise malformed(f"{name} must be a number")
        return int(value)

    def flag(self, name: str) -> bool:
        value = str(self.fields.get(name, "false")).lower()
        if value not in ("true", "false"):
            raise malformed(f"{name} must be TRUE or FALSE")
        return value == "true"

    def bodies(self, name: str) -> list[Body]:
        value = self.fields.get(name)
        if value is None:
            raise missing(name)
        if not isinstance(value, list) or not value or not all(isinstance(entry, dict) for entry in value):
            raise malformed(f"{name} must be a list of objects")
        return [Body(entry) for entry in value]

    def texts(self, name: str) -> list[str]:
        value = self.fields.get(name)
        if value is None:
            raise missing(name)
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise malformed(f"{name} must be a list of strings")
        return value
