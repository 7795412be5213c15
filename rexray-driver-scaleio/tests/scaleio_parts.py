"""The driver in front of a simulated gateway, and what its tests ask for. Run as a program, one call of the driver."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway_parts import Gateway
from rexray.errors import RexrayError
from rexray.settings import Sources
from rexray.types import InstanceId, SnapshotGroup, VolumeId, VolumeSpec
from rexray_driver_scaleio.storage import ScaleIoStorage

GIB = 1 << 30
WEB = InstanceId("F1E7B4A2-0000-4000-8000-0000000000AA")
OTHER = InstanceId("F1E7B4A2-0000-4000-8000-0000000000BB")
NO_SDC = InstanceId("F1E7B4A2-0000-4000-8000-0000000000FF")
NO_VOLUME = VolumeId("00000000000000ff")
LOGINS = ("GET /api/login", "POST /rest/auth/login")

T = TypeVar("T")
R = TypeVar("R")


def environ(gateway: Gateway, **more: str) -> dict[str, str]:
    """What configures a driver of that gateway; this host has no SDC."""
    return {
        "GOSCALEIO_ENDPOINT": gateway.url,
        "GOSCALEIO_USERNAME": gateway.username,
        "GOSCALEIO_PASSWORD": gateway.password,
        "SCALEIO_CAFILE": str(gateway.ca_file),
        "SCALEIO_DRVCFG": "/nowhere/drv_cfg",
        **more,
    }


def storage(gateway: Gateway, **more: str) -> ScaleIoStorage:
    """A driver of its own, which knows nothing yet."""
    return ScaleIoStorage.make(Sources(environ=environ(gateway, **more)))


def spec(name: str, gib: int = 8, **more: Any) -> VolumeSpec:
    """A wish for a volume; 0 is one of no size."""
    return VolumeSpec(name=name, size_bytes=gib * GIB, **more)


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


def asked(gateway: Gateway) -> Counter[str]:
    """How often each thing was asked of the gateway, ids left out."""
    return Counter(f"{call.method} {re.sub('::[0-9a-f]+', '', call.path)}" for call in gateway.calls)


def done(gateway: Gateway, what: str) -> int:
    """How many requests whose path ends so did not fail."""
    return sum(call.path.endswith(what) and call.status == 200 for call in gateway.calls)


def logins(gateway: Gateway) -> int:
    """How many logins succeeded."""
    return sum(f"{call.method} {call.path}" in LOGINS and call.status == 200 for call in gateway.calls)


def names_in(gateway: Gateway) -> list[str]:
    """The names of everything on the array."""
    return sorted(str(raw["name"]) for raw in gateway.volumes())


def holders(gateway: Gateway, volume_id: str) -> list[str]:
    """The SDCs that a volume is mapped to, by their GUIDs."""
    raw = gateway.volume(volume_id)
    assert raw is not None
    return sorted(gateway.store.sdcs[item["sdcId"]].guid for item in raw["mappedSdcInfo"] or ())


def write(gateway: Gateway, volume_id: str, text: bytes) -> None:
    """Write to the volume as a host would."""
    with gateway.backing(volume_id).open("r+b") as file:
        file.write(text)


def read(gateway: Gateway, volume_id: str, length: int) -> bytes:
    """What the volume begins with."""
    with gateway.backing(volume_id).open("rb") as file:
        return file.read(length)


def refused(kind: type[RexrayError], said: str, call: Callable[[], object], *secrets: str) -> str:
    """The one line of an error of exactly that kind for callers, which shows none of the secrets."""
    with pytest.raises(RexrayError, match=said) as caught:
        call()
    known = next(it for it in type(caught.value).__mro__ if it.__module__ == RexrayError.__module__)
    assert known is kind, repr(caught.value)
    text = str(caught.value)
    assert "\n" not in text
    for secret in secrets:
        assert secret not in text
    return text


def timeless(item: Any) -> Any:
    """A volume, snapshot or group but for when it was made: who made it may go by a clock of its own."""
    if isinstance(item, SnapshotGroup):
        item = replace(item, snapshots=tuple(map(timeless, item.snapshots)))
    return replace(item, created=None)


@dataclass(frozen=True)
class Ending:
    status: int
    """An exit status, or a signal's negative number."""
    output: str


def die(gateway: Gateway, fault: str, method: str, parameters: dict[str, Any], **more: str) -> Ending:
    """Have a process of its own make one call of the driver, and end at the fault point of that name."""
    own = environ(gateway, REXRAY_FAULT=fault, PYTHONDONTWRITEBYTECODE="1", **more)
    own["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    command = [sys.executable, __file__, json.dumps([method, parameters])]
    ended = subprocess.run(command, env=own, check=False, capture_output=True, text=True, timeout=60)
    return Ending(ended.returncode, ended.stdout + ended.stderr)


def do(driver: ScaleIoStorage, method: str, parameters: dict[str, Any]) -> Any:
    """Make a call of the driver; the parameters of ``create`` are a spec's."""
    arguments = {"spec": VolumeSpec(**parameters)} if method == "create" else parameters
    return getattr(driver, method)(**arguments)


if __name__ == "__main__":
    do(ScaleIoStorage.make(Sources()), *json.loads(sys.argv[1]))
