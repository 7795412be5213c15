"""The driver in front of a simulated cloud, with waits that are short, and what its tests ask for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ec2_parts import REGION, ZONE, Cloud, environ
from rexray.settings import Sources
from rexray.types import VolumeId, VolumeSpec
from rexray_driver_ec2.storage import Ec2Storage

GIB = 1 << 30
QUICK = {"REXRAY_REMOTEMANAGEMENT": "true", "EC2_STATUSINITIALDELAY": "20ms"}
NO_VOLUME = VolumeId("vol-0123456789abcdef0")

T = TypeVar("T")
R = TypeVar("R")


def sources(url: str, region: str = REGION, **more: str) -> Sources:
    """What configures a driver that manages the cloud from anywhere."""
    return Sources(environ=environ(url, region, **{**QUICK, **more}))


def storage(url: str, region: str = REGION, **more: str) -> Ec2Storage:
    """A driver of its own, which knows nothing yet."""
    return Ec2Storage.make(sources(url, region, **more))


def spec(name: str, gib: int = 1, **more: Any) -> VolumeSpec:
    """A wish for a volume in the first zone."""
    return VolumeSpec(name=name, **{"size_bytes": gib * GIB, "zone": ZONE, **more})


def together(threads: int, what: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """What comes of doing it to all things, that many at a time; the first ones begin at one moment."""
    todo = list(things)
    gate = threading.Barrier(min(threads, len(todo)))

    def run(numbered: tuple[int, T]) -> R:
        number, thing = numbered
        if number < gate.parties:
            gate.wait(30)
        return what(thing)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, enumerate(todo)))


def names_in(cloud: Cloud, region: str = REGION) -> list[str]:
    """The Name tags of all volumes that are there to stay."""
    found = [item for item in cloud.state(region)["volumes"].values() if item["state"] != "deleting"]
    return sorted(item["tags"]["Name"] for item in found if "Name" in item["tags"])
