"""Where a cluster's monitors are, in every form that ``mon_host`` has.

Facts: Ceph's documentation, "Messenger v2" and "Configuring monitors"; ``MonMap::init_with_ips`` of Ceph 16. An address
is ``HOST``, ``HOST:PORT`` or ``PROTOCOL:HOST:PORT``, the last with ``/NONCE`` perhaps; IPv6 is in brackets. The
addresses of one monitor in both protocols are a vector, ``[v2:…,v1:…]``. Commas, semicolons and blanks part the
monitors. An address that says no protocol has the one that its port is known for, and both with any other port or none.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rexray.errors import SettingsError

V1, V2 = "v1", "v2"
_PORTS = {6789: V1, 3300: V2}
"""The ports that IANA assigned, with the protocol that is spoken at each."""

_MONITOR = re.compile(r"\[(?:(?:v1|v2|any):[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]|(?:\[[^\[\]]*\]|[^\[\],;\s])+")
_ADDRESS = re.compile(
    r"(?:(?P<protocol>v1|v2|any):)?"
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[A-Za-z0-9_.-]+))"
    r"(?::(?P<port>[0-9]{1,5}))?(?:/(?P<nonce>[0-9]+))?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a monitor; ``port`` is 0 where none is said, ``protocol`` empty where both may be spoken."""

    host: str
    port: int = 0
    protocol: str = ""


def parse(text: str) -> tuple[Address, ...]:
    """The addresses of all monitors, in order; ``SettingsError`` names the part that is none."""
    return tuple(address for monitor in _monitors(text) for address in _addresses(monitor))


def speaks_v1(addresses: tuple[Address, ...]) -> bool:
    """Whether any may be spoken to in the older protocol, as krbd does by default."""
    return any(address.protocol in ("", V1) for address in addresses)


def _monitors(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        if text[at] in ",; \t\n":
            at += 1
            continue
        found = _MONITOR.match(text, at)
        end = found.end() if found else at
        if found is None or (end < len(text) and text[end] not in ",; \t\n"):
            raise _wrong(text[at:])
        yield found[0]
        at = end


def _addresses(monitor: str) -> Iterator[Address]:
    vector = re.match(r"\[(?:v1|v2|any):", monitor) is not None
    for part in monitor[1:-1].split(",") if vector else [monitor]:
        yield _address(part.strip())


def _address(part: str) -> Address:
    found = _ADDRESS.fullmatch(part)
    if found is None or int(found["port"] or 0) > 0xFFFF or not _is_host(found["six"], found["host"]):
        raise _wrong(part)
    port, protocol = int(found["port"] or 0), found["protocol"] or ""
    return Address(found["six"] or found["host"], port, {"any": "", "": _PORTS.get(port, "")}.get(protocol, protocol))


def _is_host(six: str | None, host: str | None) -> bool:
    """Four numbers are an IPv4 address or a mistake, and no name."""
    try:
        if six:
            ipaddress.IPv6Address(six)
        elif re.fullmatch(r"[0-9.]+", host or ""):
            ipaddress.IPv4Address(host or "")
    except ValueError:
        return False
    return True


def _wrong(part: str) -> SettingsError:
    return SettingsError(
        f"mon_host: {part!r} is no monitor's address such as 192.0.2.1, mon1:6789 or "
        "[v2:192.0.2.1:3300,v1:192.0.2.1:6789]: set rbd.monitors ($RBD_MONITORS) or mend ceph.conf"
    )
