"""A storage platform that is away when the daemon starts: it refuses, it never answers, it comes up later."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from docker_parts import Engine
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.client import CSIClient
from rexray.errors import RexrayError
from scaleio_host_parts import Array, scaleio_array
from service_parts import BRIDGE, Daemon, eventually

pytestmark = [pytest.mark.needs("root", "loop", "mkfs.ext4")]

SOON = 1.0
"""Seconds within which what needs no platform is answered."""
PATIENCE = 1.0
"""Seconds that the daemon gives its platform in these tests."""
BOUND = 8 * PATIENCE
"""Seconds within which a call that needs the platform ends, with one that never answers."""
CALLS = 70
"""More calls at once than the daemon has threads for a protocol."""


class Deaf:
    """A listener at the platform's port that takes connections and never says a word."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._taken.append(self._listener.accept()[0])

    @property
    def taken(self) -> int:
        """How many connections were made."""
        return len(self._taken)

    def close(self) -> None:
        """Close the port and hang up."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for connection in self._taken:
            connection.close()


@pytest.fixture
def array(tmp_path: Path) -> Iterator[Array]:
    with scaleio_array(tmp_path) as array:
        yield array


@pytest.fixture
def platform(array: Array) -> dict[str, str]:
    """The daemon's environment; the platform is reachable."""
    return {**BRIDGE, **array.environ, "SCALEIO_TIMEOUT": f"{PATIENCE:g}s"}


@contextlib.contextmanager
def deaf(array: Array) -> Iterator[Deaf]:
    """The platform takes connections and never answers, until this ends."""
    port = urlsplit(array.gateway.url).port
    assert port is not None
    array.gateway.stop()
    listener = Deaf(port)
    try:
        yield listener
    finally:
        listener.close()
        array.gateway.start()


@contextlib.contextmanager
def refusing(array: Array) -> Iterator[None]:
    """Nobody listens at the platform's port, until this ends."""
    array.gateway.stop()
    try:
        yield
    finally:
        array.gateway.start()


def check_instant(daemon: Daemon) -> None:
    """What needs no platform is answered at once, by both protocols, to new connections."""
    for call, answer in (
        ("Plugin.Activate", {"Implements": ["VolumeDriver"]}),
        ("VolumeDriver.Capabilities", {"Capabilities": {"Scope": "local"}}),
    ):
        started = time.monotonic()
        assert daemon.docker(call) == answer
        assert time.monotonic() - started < SOON, call
    with CSIClient(str(daemon.endpoint)) as client:
        started = time.monotonic()
        assert client.call(rpc.PROBE, pb.ProbeRequest(), timeout=SOON).ready.value
        assert client.call(rpc.GET_PLUGIN_INFO, pb.GetPluginInfoRequest(), timeout=SOON).name == "scaleio.rexray.io"
        assert client.call(rpc.GET_PLUGIN_CAPABILITIES, pb.GetPluginCapabilitiesRequest(), timeout=SOON).capabilities
        assert time.monotonic() - started < SOON


def check_clear(daemon: Daemon, array: Array, call: str, body: dict[str, str]) -> None:
    """One call of Docker's fails in bounded time, by a line that names the platform."""
    started = time.monotonic()
    status, answer = daemon.docker_raw(f"VolumeDriver.{call}", json.dumps(body).encode())
    assert time.monotonic() - started < BOUND
    assert status in (503, 504), answer
    message = str(answer["Err"])
    assert "127.0.0.1" in message
    assert "\n" not in message
    assert array.gateway.password not in message


def names(daemon: Daemon) -> list[str]:
    """The volumes that Docker is told of."""
    found = daemon.docker("VolumeDriver.List")["Volumes"]
    assert isinstance(found, list)
    return [volume["Name"] for volume in found]


@pytest.mark.parametrize("away", [refusing, deaf])
def test_a_daemon_whose_platform_is_away_starts_and_serves_when_it_comes(
    make_daemon: Callable[..., Daemon],
    array: Array,
    platform: dict[str, str],
    away: Callable[[Array], contextlib.AbstractContextManager[object]],
) -> None:
    array.gateway.add_volume("there")
    with away(array):
        started = time.monotonic()
        daemon = make_daemon(**platform).start()
        took = time.monotonic() - started
        check_instant(daemon)
        asked = {"List": {}, "Get": {"Name": "there"}, "Mount": {"Name": "there", "ID": "me"}}
        with ThreadPoolExecutor() as pool:
            for one in [pool.submit(check_clear, daemon, array, call, body) for call, body in asked.items()]:
                one.result()
        with CSIClient(str(daemon.endpoint)) as client, pytest.raises(RexrayError, match=r"127\.0\.0\.1"):
            client.call(rpc.LIST_VOLUMES, pb.ListVolumesRequest(), timeout=BOUND)
        check_instant(daemon)
    assert took < 10
    assert names(daemon) == ["there"]
    where = Path(str(daemon.docker("VolumeDriver.Mount", Name="there", ID="me")["Mountpoint"]))
    (where / "file").write_text("served")
    daemon.docker("VolumeDriver.Unmount", Name="there", ID="me")
    assert daemon.mounts() == []


def test_more_hanging_calls_than_threads_keep_nobody_from_what_needs_no_platform(
    make_daemon: Callable[..., Daemon], array: Array, platform: dict[str, str]
) -> None:
    array.gateway.add_volume("there")
    daemon = make_daemon(**platform).start()
    ended: list[float] = []

    def hang(stub: Callable[[], object]) -> None:
        with contextlib.suppress(RexrayError, AssertionError, OSError):
            stub()
        ended.append(time.monotonic())

    with deaf(array) as platform_away, CSIClient(str(daemon.endpoint)) as client:

        def docker(number: int) -> object:
            call = ("VolumeDriver.List", "VolumeDriver.Mount")[number % 2]
            return daemon.docker_raw(call, json.dumps({"Name": f"there-{number}", "ID": "me"}).encode())

        def csi(_: int) -> object:
            return client.call(rpc.LIST_VOLUMES, pb.ListVolumesRequest(), timeout=60)

        threads = [
            threading.Thread(target=hang, args=(lambda kind=kind, number=number: kind(number),), daemon=True)
            for number in range(CALLS)
            for kind in (docker, csi)
        ]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        assert eventually(lambda: platform_away.taken > 0)
        check_instant(daemon)
        assert len(ended) < len(threads) / 2, "they were to hang meanwhile"
        for thread in threads:
            thread.join(2 * BOUND)
        assert len(ended) == len(threads)
        assert max(ended) - started < 2 * BOUND, "each waits for the platform once, not for the tries of all others"
    assert names(daemon) == ["there"]


@pytest.mark.needs("docker")
def test_a_docker_engine_that_restarts_meanwhile_is_not_held_up(
    engine: Engine,
    array: Array,
    platform: dict[str, str],
    make_plugin: Callable[[Mapping[str, str]], tuple[Daemon, str]],
) -> None:
    del platform["SCALEIO_TIMEOUT"]  # a minute, as everybody has it
    daemon, driver = make_plugin(platform)
    engine.run("volume", "create", "-d", driver, "-o", "size=8", "data")
    share = ("--network=none", "-v", "data:/data", "--volume-driver", driver, "bb:1")
    engine.run("run", "-d", "--name", "running", *share, "/bin/sleep", "600")
    engine.run("create", "--name", "created", *share, "/bin/sleep", "600")
    daemon.kill()
    with deaf(array):
        daemon.start()
        engine.kill()
        started = time.monotonic()
        engine.start()
        assert engine.run("ps", "-q").stdout.split()
        took = time.monotonic() - started
        assert daemon.docker("VolumeDriver.Path", Name="data")["Mountpoint"], "it is still mounted"
    assert took < 30, "dockerd looks at its volumes first, and waits for none of them as long as the platform does"
    engine.run("rm", "-f", "running", "created")
    engine.run("volume", "rm", "data")
    assert daemon.mounts() == []
