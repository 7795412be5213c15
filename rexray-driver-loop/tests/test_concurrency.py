"""Threads and processes that want the same."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loop_parts import MIB, SECONDS, Host, devices_of
from rexray.errors import Busy, InUse, NotFound, NotReady, RexrayError
from rexray.types import VolumeId

RACE = """
import sys
from pathlib import Path
from loop_parts import Host
from rexray.errors import InUse, NotReady
host = Host(Path(sys.argv[1]), sys.argv[2])
sys.stdin.readline()
had = 0
for _ in range(int(sys.argv[3])):
    try:
        attachment = host.attach("v")
    except InUse:
        continue
    device = host.node.connect(attachment, deadline=20).path
    with open(device, "r+b", buffering=0) as file:
        file.write(sys.argv[2].encode().ljust(512))
        file.seek(0)
        assert file.read(512).strip() == sys.argv[2].encode()
    host.node.disconnect(attachment)
    host.detach("v", sys.argv[2])
    had += 1
print(had)
"""

MAKE = """
import sys
from pathlib import Path
from loop_parts import Host
host = Host(Path(sys.argv[1]), sys.argv[2])
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    print(host.create(f"v{number}", 2 << 20).created, host.snap(f"s{number}", "old").created, flush=True)
"""


def race(script: str, root: Path, count: int, rounds: int) -> list[str]:
    """Run a script in so many processes that start together; what each wrote."""
    command = [sys.executable, "-c", script, str(root)]
    environ = {"PYTHONPATH": str(Path(__file__).parent), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(
            [*command, f"host{number}", str(rounds)], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environ
        )
        for number in range(count)
    ]
    try:
        with ThreadPoolExecutor(count) as pool:
            ended = list(pool.map(lambda process: process.communicate("go\n", timeout=60), started))
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert [errors for _, errors in ended] == [""] * count
    return [output for output, _ in ended]


def at_once(calls: list[Callable[[], object]]) -> list[object]:
    """What calls that start together return or raise."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return call()
        except RexrayError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_of_many_hosts_one_gets_it(host: Host) -> None:
    hosts = [Host(host.root, f"host{number}") for number in range(8)]
    host.create()
    for _ in range(10):
        results = at_once([one.attach for one in hosts])
        refused = [result for result in results if isinstance(result, InUse)]
        assert len(refused) == 7, results
        [holder] = host.get().attachments
        assert all(holder.instance_id in str(error) for error in refused)
        host.detach()


def test_what_many_threads_make_is_there_once(host: Host) -> None:
    results = at_once([lambda: host.create("v", 3 * MIB)] * 8)
    assert set(map(repr, results)) == {repr(host.get())}
    results = at_once([lambda: host.snap("s", "v")] * 8)
    assert len(set(map(repr, results))) == 1
    results = at_once([lambda: host.clone("c", "v")] * 8)
    assert set(map(repr, results)) == {repr(host.get("c"))}
    assert host.names() == ["c", "v"]
    assert host.leftovers() == []
    assert at_once([host.remove] * 8) == [None] * 8
    assert host.names() == ["c"]


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
def test_many_threads_connect_one_device(host: Host) -> None:
    host.create()
    attachment = host.attach()
    for _ in range(5):
        results = at_once([lambda: host.node.connect(attachment, deadline=SECONDS)] * 8)
        assert len(set(map(repr, results))) == 1, results
        assert len(devices_of(host.root)) == 1
        assert at_once([lambda: host.node.disconnect(attachment)] * 8) == [None] * 8
        assert devices_of(host.root) == []


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
def test_many_threads_connect_many_devices(host: Host) -> None:
    names = [f"v{number}" for number in range(16)]
    for name in names:
        host.create(name)
    found = at_once([lambda name=name: host.connect(name) for name in names])  # type: ignore[misc]
    assert len(set(found)) == 16, found
    shown = {path: device for device, path in devices_of(host.root)}
    assert [shown[str(host.data(name))] for name in names] == found
    assert at_once([lambda name=name: host.detach(name) for name in names]) == [None] * 16  # type: ignore[misc]
    assert devices_of(host.root) == []


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
def test_processes_fight_over_one_volume(host: Host) -> None:
    host.create()
    had = [int(output) for output in race(RACE, host.root, 4, 25)]
    assert sum(had) >= 4
    assert devices_of(host.root) == []
    assert host.get().attachments == ()


def test_processes_make_the_same(host: Host) -> None:
    host.create("old")
    outputs = race(MAKE, host.root, 4, 10)
    assert len(set(outputs)) == 1
    assert len(host.names()) == 11
    assert len(host.snaps()) == 10
    assert host.leftovers() == []


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
def test_whatever_happens_at_once_nothing_is_torn(host: Host, other: Host) -> None:
    """Threads of two hosts do everything; an error is one of those that tell who was faster."""
    stop = threading.Event()

    def keep_at(call: Callable[[], object]) -> None:
        while not stop.is_set():
            with contextlib.suppress(Busy, InUse, NotFound, NotReady):
                call()

    calls: list[Callable[[], object]] = [
        lambda: host.create("v", 0),
        host.remove,
        host.connect,
        lambda: other.node.connect(other.attach(force=True), deadline=SECONDS),
        host.disconnect,
        host.detach,
        lambda: host.expand("v", host.get().size_bytes + MIB),
        lambda: list(host.storage.volumes()),
        host.node.devices,
        lambda: host.clone("c", "v"),
        lambda: host.remove("c"),
        lambda: host.storage.health(VolumeId("v")),
    ]
    with ThreadPoolExecutor(len(calls)) as pool:
        doing = [pool.submit(keep_at, call) for call in calls]
        stop.wait(3)
        stop.set()
    for one in doing:
        one.result()
    host.detach()
    host.remove()
    host.remove("c")
    assert devices_of(host.root) == []
    assert host.leftovers() == []


def test_who_waits_is_told_for_whom(host: Host, other: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.create()
    attachment = host.attach()
    with (
        host.storage._pool.volumes.changing("v", "rearranging"),
        pytest.raises(Busy, match="connecting volume 'v': pending behind rearranging volume 'v'"),
    ):
        host.node.connect(attachment, deadline=0.1)


def test_lock_files_stay_where_they_are(host: Host) -> None:
    """What one host has unlinked, another one of a shared directory may still see and lock."""
    host.create()
    before = {path.name: path.stat().st_ino for path in (host.root / "locks").iterdir()}
    host.attach()
    host.detach()
    after = {path.name: path.stat().st_ino for path in (host.root / "locks").iterdir()}
    assert before
    assert before.items() <= after.items()
