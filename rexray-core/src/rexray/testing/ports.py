"""Ports for simulators that are stopped and started again."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def lasting_port(host: str = "127.0.0.1") -> int:
    """A free TCP port that the kernel gives to nobody by itself.

    One that it had chosen could go to a client of anybody's, or to the very client that calls the port, while nobody
    listens there. ``OSError`` if none is free.
    """
    first = int(_EPHEMERAL.read_text().split()[0])
    for port in random.sample(range(first // 2, first), 64):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"none of 64 ports between {first // 2} and {first} of {host} is free")
