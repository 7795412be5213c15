"""The driver scaleio against a simulated gateway: how many requests its operations take, and what a list takes.

The gateway shares this process with the driver's threads; the command is a process of its own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "rexray-driver-scaleio" / "tests"))

from figures import timed

from gateway_parts import Gateway
from rexray.http import Server, basic
from rexray.settings import Sources
from rexray.types import InstanceId, Volume, VolumeSpec
from rexray_driver_scaleio.storage import ScaleIoStorage
from service_parts import REXRAY

WIDTH = 64
HOSTS = 40


def measure_scaleio(folder: Path, scale: float) -> None:
    """Requests of each operation, then lists."""
    with Gateway(pool_gib=1 << 20) as gateway:
        environ = {
            "REXRAY_STORAGEDRIVERS": "scaleio",
            "REXRAY_HOME": str(folder / "home"),
            "GOSCALEIO_ENDPOINT": gateway.url,
            "SCALEIO_CAFILE": str(gateway.ca_file),
            "GOSCALEIO_USERNAME": gateway.username,
            "GOSCALEIO_PASSWORD": gateway.password,
        }
        _measure_requests(gateway, environ, max(WIDTH, int(640 * scale)))
        _measure_lists(gateway, environ, max(500, int(5000 * scale)))


def _measure_requests(gateway: Gateway, environ: dict[str, str], count: int) -> None:
    storage = ScaleIoStorage.make(Sources(environ=environ))
    guids = [f"00000000-0000-0000-0000-{number:012d}" for number in range(HOSTS)]
    for number, guid in enumerate(guids):
        gateway.add_sdc(guid, f"10.0.1.{number}")
    hosts = [InstanceId(guid) for guid in guids]
    print(f"\nscaleio: {count} volumes, {WIDTH} threads, {HOSTS} hosts")
    print(f"{'':10} {'requests':>9} {'logins':>7} {'a volume':>9} {'seconds':>8}")
    run = partial(_measure_operation, gateway)
    made = run("create", storage.create, [(VolumeSpec(name=f"v{n}", size_bytes=8 << 30),) for n in range(count)])
    volumes: list[Volume] = made
    at = [(volume.id, hosts[number % HOSTS]) for number, volume in enumerate(volumes)]
    run("attach", storage.attach, at)
    run("expand", storage.expand, [(volume.id, 16 << 30) for volume in volumes])
    run("snapshot", storage.create_snapshot, [(volume.id, f"of-{volume.name}") for volume in volumes])
    run("detach", storage.detach, at)
    run("remove", storage.remove, [(volume.id,) for volume in volumes])


def _measure_operation(
    gateway: Gateway, name: str, action: Callable[..., Any], arguments: Sequence[tuple[object, ...]]
) -> list[Any]:
    gateway.clear_calls()
    began = time.perf_counter()
    with ThreadPoolExecutor(WIDTH) as threads:
        found = list(threads.map(lambda words: action(*words), arguments))
    took = time.perf_counter() - began
    logins = sum(call.path.endswith("/login") for call in gateway.calls)
    each = len(gateway.calls) / len(arguments)
    print(f"{name:10} {len(gateway.calls):9} {logins:7} {each:9.2f} {took:8.2f}")
    return found


def _measure_lists(gateway: Gateway, environ: dict[str, str], count: int) -> None:
    gateway.fill(count)
    ours = partial(
        subprocess.run, [REXRAY, "volume", "ls"], env=environ, stdout=subprocess.DEVNULL, check=True, timeout=120
    )
    ours()
    gateway.clear_calls()
    took = statistics.median(timed(ours) for _ in range(3))
    requests = len(gateway.calls) / 3
    bare = statistics.median(timed(partial(_bare_list, gateway)) for _ in range(3))
    print(f"\nscaleio: {'volumes':>7} {'volume ls s':>12} {'requests':>9} {'login and list, bare, s':>24}")
    print(f"         {count:7} {took:12.2f} {requests:9.1f} {bare:24.2f}")


def _bare_list(gateway: Gateway) -> None:
    server = Server(gateway.url, prefix="scaleio", ca_file=str(gateway.ca_file))
    login = server.send("GET", "/api/login", headers={"Authorization": basic(gateway.username, gateway.password)})
    words = {"Authorization": basic("", login.json())}
    server.send("GET", "/api/types/Volume/instances", headers=words).json()
