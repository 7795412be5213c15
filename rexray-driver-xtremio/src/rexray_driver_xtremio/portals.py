"""The array's iSCSI portals: those that an attachment names, and which of them this host uses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rexray.errors import InvalidRequest, SettingsError
from rexray.types import Attachment
from rexray_driver_xtremio.initiator import NAME

_PORTAL = re.compile(r"\[?([0-9A-Za-z.:-]+?)\]?:(\d{1,5})")
_BARE = re.compile(r"\[?([0-9A-Fa-f.:]+)\]?")
_PORT = 3260
"""iSCSI's: RFC 7143 13.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """One address of the array, and the target that is there."""

    target: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def key(self) -> str:
        """Its name among the notes."""
        return f"{self.target},{self.address},{self.port}"

    @classmethod
    def of_key(cls, key: str) -> Portal:
        """The portal of that name."""
        target, address, port = key.split(",")
        return cls(target=target, address=address, port=int(port))


def portals_of(attachment: Attachment) -> tuple[Portal, ...]:
    """The portals that the attachment names, none for Fibre Channel; ``InvalidRequest`` if they make no sense."""
    addresses, targets = (_words(attachment, name) for name in ("portals", "targets"))
    if len(addresses) != len(targets):
        raise InvalidRequest(
            f"the attachment of {attachment.volume_id!r} has {len(addresses)} portals and {len(targets)} targets, and "
            "needs a target for each portal"
        )
    return tuple(dict.fromkeys(map(_portal, addresses, targets)))


def chosen(portals: Sequence[Portal], setting: Sequence[str]) -> tuple[Portal, ...]:
    """Those of the portals that ``xtremio.portals`` names, all if it is empty; ``SettingsError`` if none is left."""
    named = {_named(word.strip()) for word in setting if word.strip()}
    left = tuple(portal for portal in portals if not named or (portal.address, portal.port) in named)
    if portals and not left:
        raise SettingsError(
            f"xtremio.portals: none of {', '.join(setting)} is among the array's portals "
            f"{', '.join(map(str, portals))}: name some of these, or unset it"
        )
    return left


def plain(address: str) -> str:
    """The address in its one spelling; a name as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _words(attachment: Attachment, name: str) -> list[str]:
    return [word.strip() for word in attachment.fields.get(name, "").split(",") if word.strip()]


def _portal(address: str, target: str) -> Portal:
    match = _PORTAL.fullmatch(address)
    if match is None or not NAME.fullmatch(target):
        raise InvalidRequest(f"{address!r} with target {target!r} is no iSCSI portal such as 10.0.0.1:3260 with an IQN")
    return Portal(target=target, address=plain(match[1]), port=int(match[2]))


def _named(word: str) -> tuple[str, int]:
    """The address and port of an entry of the setting."""
    if match := _BARE.fullmatch(word):
        try:
            return str(ipaddress.ip_address(match[1])), _PORT
        except ValueError:
            pass  # it has a port
    match = _PORTAL.fullmatch(word)
    if match is None:
        raise SettingsError(f"xtremio.portals: {word!r} is no portal such as 10.0.0.1:3260 or [fd00::1]:3260")
    return plain(match[1]), int(match[2])
