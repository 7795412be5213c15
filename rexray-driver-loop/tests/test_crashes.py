"""A process that is killed at any fault point leaves what the next one puts right."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
from pathlib import Path

import pytest

import rexray_driver_loop
from loop_parts import MIB, Host, devices_of, room, run_script

SOURCE = Path(rexray_driver_loop.__file__).parent
PASSED = re.compile(r'faults\.point\("(.+?)"\)')
FOUND = {point for file in SOURCE.glob("*.py") for point in PASSED.findall(file.read_text())}
POINTS = sorted(point for point in FOUND if not point.startswith("loop-group-"))
"""Those of group snapshots are swept by their own tests."""

DIE = "import sys; from pathlib import Path; from loop_parts import Host; host = Host(Path(sys.argv[1])); {}"

ATTACHED = ["create('v')", "attach('v')"]
CONNECTED = ["create('v')", "connect('v')"]
SNAPPED = ["create('v', 3 << 20)", "write('v', b'one')", "snap('s')", "write('v', b'two')"]
MAKING = ["create('v', 2 << 20)", "create('v', type='thick')", "clone('v', 'old')", "restore('v', 'kept')"]

CALLS: list[tuple[str, list[str], list[str]]] = [
    ("loop-create-", [], [*MAKING, "snap('s', 'old')"]),
    ("loop-save-", [], [*MAKING, "snap('s', 'old')"]),
    ("loop-save-", ["create('v')"], ["attach('v')", "expand('v', 9 << 20)", "modify('v', type='thick')"]),
    ("loop-save-", ATTACHED, ["detach('v')", "attach('v', 'there', force=True)"]),
    ("loop-remove-", ["create('v')", "snap('s', 'v')"], ["remove('v')", "remove_snap('s')"]),
    ("loop-attach-", ["create('v')"], ["attach('v')"]),
    ("loop-attach-", CONNECTED, ["attach('v', 'there', force=True)"]),
    ("loop-detach-", CONNECTED, ["detach('v')"]),
    ("loop-connect-", ATTACHED, ["connect('v')"]),
    ("loop-disconnect-", CONNECTED, ["disconnect('v')", "detach('v')", "attach('v', 'there', force=True)"]),
    ("loop-expand-", ["create('v')"], ["expand('v', 9 << 20)"]),
    ("loop-expand-", CONNECTED, ["expand('v', 9 << 20)"]),
    ("loop-modify-", ["create('v')"], ["modify('v', type='thick')"]),
    ("loop-modify-", ["create('v', type='thick')"], ["modify('v', type='thin')"]),
    ("loop-rollback-", SNAPPED, ["rollback('v', 's')"]),
]
"""For the points that begin so: what comes before, and the calls that pass the point."""

CASES = [
    (point, before, call)
    for point in POINTS
    for prefix, before, calls in CALLS
    if point.startswith(prefix)
    for call in calls
]
IDS = [f"{point} in {call} after {len(before)} steps" for point, before, call in CASES]


def do(host: Host, call: str) -> None:
    eval(f"host.{call}", {"host": host})


def state(host: Host) -> object:
    """Everything that can be seen, but for what is new each time."""
    records = {}
    for file in sorted(host.root.glob("*/**/*.json")):
        record = json.loads(file.read_text())
        records[str(file)] = {
            key: value for key, value in record.items() if key not in ("uid", "volume_uid", "created")
        }
    files = {str(file): (room(file), file.read_bytes()[:3]) for file in sorted(host.root.rglob("data"))}
    sizes = {path: int(Path(f"/sys/block/{device.name}/size").read_text()) for device, path in devices_of(host.root)}
    return host.names(), host.snaps(), records, files, sizes, sorted(host.root.glob("volumes/*"))


def undo(host: Host) -> None:
    host.disconnect("v")
    host.detach("v")
    host.remove("v")
    host.remove_snap("s")


@pytest.fixture
def world(host: Host, other: Host) -> Host:
    """A platform with two instances, a volume and a snapshot, which no call harms."""
    host.create("old", 2 * MIB)
    host.write("old", b"old")
    host.snap("kept", "old")
    return host


def test_every_fault_point_is_swept() -> None:
    assert len(POINTS) >= 14
    assert {point for point, *_ in CASES} == set(POINTS)


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
@pytest.mark.parametrize(("point", "before", "call"), CASES, ids=IDS)
def test_after_a_crash_the_next_try_is_like_the_first(world: Host, point: str, before: list[str], call: str) -> None:
    host = world
    empty = state(host)
    for step in before:
        do(host, step)
    ended = run_script(DIE.format(f"host.{call}"), host.root, fault=point)
    assert ended.status == -signal.SIGKILL, ended.errors

    fresh = Host(host.root)
    assert list((host.root / "tmp").iterdir()) == []
    do(fresh, call)
    assert fresh.leftovers() == []
    after_crash = state(fresh)
    do(fresh, call)
    assert state(fresh) == after_crash, "the call is not idempotent"

    undo(fresh)
    assert state(fresh) == empty
    for step in before:
        do(fresh, step)
    do(fresh, call)
    assert state(fresh) == after_crash, "a try without a crash ends otherwise"


@pytest.mark.needs("root")
@pytest.mark.needs("loop")
@pytest.mark.parametrize(("point", "before", "call"), CASES, ids=IDS)
def test_after_a_crash_the_way_back_leads_to_nothing(world: Host, point: str, before: list[str], call: str) -> None:
    empty = state(world)
    for step in before:
        do(world, step)
    run_script(DIE.format(f"host.{call}"), world.root, fault=point)
    fresh = Host(world.root)
    undo(fresh)
    assert state(fresh) == empty
    assert fresh.leftovers() == []
    assert devices_of(world.root) == []


def test_a_half_made_volume_is_not_seen_and_takes_no_room_in_the_end(host: Host) -> None:
    assert host.names() == []
    for _ in range(3):
        run_script(DIE.format("host.create('v', 8 << 20, type='thick')"), host.root, fault="loop-create-filled")
    [leftover] = (host.root / "tmp").iterdir()  # each process deletes what the one before left
    assert room(leftover / "entry/data") >= 8 * MIB
    assert host.names() == []
    host.create("w")
    assert host.leftovers() == []


def test_a_half_written_note_is_deleted_by_whatever_comes_next(host: Host) -> None:
    host.create()
    run_script(DIE.format("host.attach('v')"), host.root, fault="loop-save-written")
    assert [path.name for path in host.leftovers()] == ["volume.json.new"]
    assert host.get().attachments == ()
    host.detach()
    assert host.leftovers() == []


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_whatever_lies_about_is_deleted(host: Host, tmp_path: Path, kind: str) -> None:
    (tmp_path / "precious").mkdir()
    stray = host.root / "tmp/stray"
    if kind == "file":
        stray.touch()
    elif kind == "link":
        stray.symlink_to(tmp_path / "precious")
    else:
        (stray / "deep").mkdir(parents=True)
        (stray / "deep/link").symlink_to(tmp_path / "precious")
    Host(host.root)
    assert not os.path.lexists(stray)
    assert (tmp_path / "precious").exists()


def test_what_another_process_is_at_is_left_alone(host: Host) -> None:
    theirs = host.root / "tmp/theirs"
    theirs.mkdir()
    descriptor = os.open(theirs, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    Host(host.root)
    host.create("v")
    assert theirs.exists()
    os.close(descriptor)
    Host(host.root)
    assert not theirs.exists()
