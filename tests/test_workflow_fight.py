"""Threads and processes fighting over a few volumes with every verb, checked against a model of what must hold."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from workflow_parts import NOTHING, Host, mounted, program, quick_home

from loop_parts import MIB, devices_of, mounts_of
from rexray.errors import Busy, InUse, NotFound, RexrayError
from rexray.locks import Locks
from rexray.mixins import Snapshots
from rexray.paths import find_paths
from rexray.types import SnapshotId, VolumeId

pytestmark = pytest.mark.needs("root", "loop", "mkfs.ext4")

SECONDS = float(os.environ.get("REXRAY_FIGHT_SECONDS") or "20")
PROCESSES = 4
THREADS = 8
"""Of each process."""
KEPT = [f"kept{number}" for number in range(6)]
"""Volumes that nobody removes: what was written to them is there for ever, and a holder's path is good."""
REMOVED = ["removed0", "removed1"]
"""Volumes that anybody removes at any time, unless somebody has a file of them open."""
ALLOWED: dict[str, tuple[type[RexrayError], ...]] = {
    "use": (),
    "look": (NotFound,),
    "snapshot": (),
    "attach": (InUse,),
    "create and remove": (InUse, NotFound),
    "expand": (),
}
"""What each verb may meet when others are at the same volumes; anything else is a defect."""


class Fighter:
    """One thread: it has a holder id of its own, and knows what it has written to which volume."""

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        self.name = name
        self.random = random.Random(name)
        self.written: dict[str, int] = {}
        self.counted: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []

    def run(self, until: float) -> None:
        verbs: dict[str, Callable[[], None]] = {
            "use": self.use,
            "look": self.look,
            "snapshot": self.snapshot,
            "attach": self.attach,
            "create and remove": self.create_and_remove,
            "expand": self.expand,
        }
        while time.time() < until and not self.errors:
            [verb] = self.random.choices(list(verbs), (10, 4, 1, 2, 4, 1))
            try:
                verbs[verb]()
            except ALLOWED[verb] as error:
                self.done[f"{verb}: {type(error).__name__}"] += 1
            except BaseException:  # noqa: BLE001 it is told at the end
                self.errors.append(f"{self.name}: {verb}: {traceback.format_exc()}")
            else:
                self.done[verb] += 1

    def use(self) -> None:
        """Mount, find what was there, write, look again, unmount."""
        name = self.random.choice(KEPT)
        path = self.host.mount(name, self.name)
        try:
            file = path / self.name
            assert (int(file.read_text()) if file.exists() else 0) == self.written.get(name, 0), "a lost update"
            for _ in range(self.random.randrange(1, 4)):
                self.written[name] = self.written.get(name, 0) + 1
                file.write_text(str(self.written[name]))
                self.count(path, name)
                time.sleep(self.random.random() / 50)
                assert int(file.read_text()) == self.written[name]
                self.check_held(name, path)
        finally:
            self.host.unmount(name, self.name)

    def count(self, path: Path, name: str) -> None:
        """Add one to what all of them count together."""
        with open(path / "count", "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            number = int(file.read() or "0")
            file.truncate(0)
            file.write(str(number + 1))
            file.flush()
        self.counted[name] += 1

    def check_held(self, name: str, path: Path) -> None:
        """What must hold while we do."""
        assert len([target for target in mounts_of(self.host.home) if target == str(path)]) == 1, "one mount"
        [(device, _)] = [item for item in devices_of(self.host.root) if item[1] == str(self.host.data(name))]
        assert mounted(path).source == str(device), "one device"
        assert self.host.volumes.path(name) == path
        [attachment] = self.host.volumes.get(name).attachments
        assert attachment.instance_id == "here"
        assert attachment.mount_point == str(path)

    def look(self) -> None:
        assert {*KEPT} <= set(self.host.names())
        self.host.volumes.get(self.random.choice(KEPT + REMOVED))
        list(self.host.volumes.devices())

    def snapshot(self) -> None:
        volume, name = self.random.choice(KEPT), f"{self.name}-snap"
        snapshots = self.host.volumes.capability(Snapshots)
        assert self.host.snap(name, volume).volume_id == volume
        assert [item.id for item in snapshots.snapshots(volume_id=VolumeId(volume), snapshot_id=SnapshotId(name))]
        snapshots.remove_snapshot(SnapshotId(name))

    def attach(self) -> None:
        name = self.random.choice(KEPT)
        assert self.host.volumes.attach(name, self.host.instance).instance_id == "here"
        self.host.volumes.detach(name, self.host.instance)

    def create_and_remove(self) -> None:
        name = self.random.choice(REMOVED)
        self.host.create(name)
        path = self.host.mount(name, self.name)
        try:
            with contextlib.suppress(FileNotFoundError), open(path / self.name, "w+") as file:
                file.write("mine")
                file.seek(0)
                assert file.read() == "mine"
        finally:
            self.host.unmount(name, self.name)
        self.host.remove(name)

    def expand(self) -> None:
        volume = self.random.choice(REMOVED)
        with contextlib.suppress(NotFound, InUse):
            self.host.expand(MIB, volume)


def fight(home: Path, process: str, seconds: float) -> None:
    """One process of the fight; prints what its threads did."""
    host = Host(home)
    fighters = [Fighter(host, f"p{process}t{number}") for number in range(THREADS)]
    until = time.time() + seconds
    threads = [threading.Thread(target=fighter.run, args=(until,), daemon=True) for fighter in fighters]
    for thread in threads:
        thread.start()
    for fighter, thread in zip(fighters, threads, strict=True):
        thread.join(until + 60 - time.time())
        if thread.is_alive():
            frame = sys._current_frames()[thread.ident or 0]
            fighter.errors.append(f"{fighter.name} hangs: {''.join(traceback.format_stack(frame))}")
    done, counted = Counter[str](), Counter[str]()
    for fighter in fighters:
        done.update(fighter.done)
        counted.update(fighter.counted)
    print(json.dumps([done, counted, [error for fighter in fighters for error in fighter.errors]]), flush=True)
    os._exit(0)


@pytest.fixture
def home() -> Iterator[Path]:
    with quick_home() as folder:
        yield folder


def test_nobody_loses_anything_in_a_fight_over_eight_volumes(home: Path) -> None:
    host = Host(home)
    for name in KEPT:
        host.create(name)
    script = "from test_workflow_fight import fight\nfight(host.home, '{}', {})"
    commands = [program(home, script.format(number, SECONDS)) for number in range(PROCESSES)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
    done: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    errors: list[str] = []
    for process in processes:
        output, _ = process.communicate(timeout=SECONDS + 90)
        verbs, counts, failed = json.loads(output)
        done.update(verbs)
        counted.update(counts)
        errors += failed
    assert not errors, "\n".join(errors)
    print(dict(done))

    after = host.again()
    assert list(after.volumes.unmount_all()) == [], "everybody has unmounted"
    for name in KEPT:
        after.volumes.detach(name, after.instance)  # attached and not yet detached by somebody else's mount's end
    assert after.in_use() == NOTHING
    for name in KEPT:
        if counted[name]:
            assert int((after.mount(name) / "count").read_text()) == counted[name], "no write was lost"
            after.unmount(name)
    for name in after.names():
        after.remove(name)
    assert after.in_use() == NOTHING
    assert {verb for verb in done if ":" not in verb} == set(ALLOWED), "every verb succeeded now and then"
    stray = {path.name for path in (home / "var/lib/volumes").iterdir()}
    assert stray <= set(REMOVED), "only who writes to a path that is not theirs any more leaves something there"
    assert list((home / "var/lib/docker/loop").glob("*.json")) == []
    assert list((host.root / "tmp").iterdir()) == []


def test_the_lock_of_a_process_that_was_killed_is_free_and_until_then_says_whose_it_is(home: Path) -> None:
    host = Host(home)
    host.create("data")
    locks = find_paths(host.environ).run / "locks"
    script = (
        f"from rexray.locks import Locks\n"
        f"with Locks(Path({str(locks)!r})).hold('data', owner='Test of data', timeout=5):\n"
        f"  print('held', flush=True)\n"
        f"  sys.stdin.read()"
    )
    with subprocess.Popen(program(home, script), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        waiting: list[object] = []
        thread = threading.Thread(target=lambda: waiting.append(host.mount("data")))
        thread.start()
        thread.join(0.5)
        assert waiting == [], "it waits for the lock"
        impatient = Locks(locks).hold("data", owner="impatient", timeout=0.1)
        with pytest.raises(Busy, match=rf"pending behind Test of data in process {process.pid}: try again"), impatient:
            pytest.fail("two have the lock")
        process.send_signal(signal.SIGKILL)
        thread.join(5)
        assert not thread.is_alive()
    assert waiting
    host.unmount("data")
    assert host.in_use() == NOTHING
