"""A process that is killed at any fault point leaves what the next one puts right."""

from __future__ import annotations

import fcntl
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import rexray_driver_csi_vfs
from vfs_parts import Vfs, mounts_below, run_script

SOURCE = Path(rexray_driver_csi_vfs.__file__).parent
PASSED = re.compile(r'faults\.point\("(.+?)"\)')
POINTS = sorted({point for file in SOURCE.glob("*.py") for point in PASSED.findall(file.read_text())})

DIE = "import sys; from pathlib import Path; from vfs_parts import Vfs; vfs = Vfs(Path(sys.argv[1])); {}"

MOUNT = ["attach('v')", "stage('v')", "publish('v')"]

CALLS: dict[str, tuple[list[str], list[str]]] = {
    "vfs-create-": ([], ["create('v')", "snap('s', 'old')", "create('v', source=from_volume('old'))"]),
    "vfs-remove-": (["create('v')", "snap('s', 'old')"], ["delete('v')", "delete_snap('s')"]),
    "vfs-group-": (["create('v')"], ["group('g', 'old', 'v')"]),
    "vfs-attach-": (["create('v')"], ["attach('v')", "attach('v', read_only=True)"]),
    "vfs-detach-": (["create('v')", MOUNT[0]], ["detach('v')"]),
    "vfs-stage-": (["create('v')", MOUNT[0]], ["stage('v')"]),
    "vfs-unstage-": (["create('v')", *MOUNT[:2]], ["unstage('v')"]),
    "vfs-publish-": (["create('v')", *MOUNT[:2]], ["publish('v')"]),
    "vfs-unpublish-": (["create('v')", *MOUNT], ["unpublish('v')"]),
}
"""For the points that begin so: what comes before, and the calls that pass the point."""

CASES = [
    (point, before, call)
    for point in POINTS
    for prefix, (before, calls) in CALLS.items()
    if point.startswith(prefix)
    for call in calls
]


def do(vfs: Vfs, call: str) -> None:
    from vfs_parts import from_volume

    eval(f"vfs.{call}", {"vfs": vfs, "from_volume": from_volume})


def state(vfs: Vfs) -> object:
    """Everything that an orchestrator can see."""
    snapshots = [(entry.snapshot.snapshot_id, entry.snapshot.source_volume_id) for entry in vfs.snaps().entries]
    mounted = [(mount.target, "ro" in mount.options) for mount in mounts_below(vfs.home)]
    paths = sorted(str(path) for folder in (vfs.paths, vfs.data / "dev", vfs.data / "mnt") for path in folder.iterdir())
    kept = sorted(str(path) for path in vfs.data.glob("*/.rexray/*/*.json"))
    entries = [path for kind in ("vol", "snap") for path in (vfs.data / kind).glob("*/*")]
    content = sorted(str(path) for path in entries if ".rexray" not in path.parts)
    return [str(entry) for entry in vfs.page().entries], snapshots, mounted, paths, kept, content


def undo(vfs: Vfs) -> None:
    vfs.unmount("v")
    vfs.delete("v")
    vfs.delete_group("g")
    for entry in vfs.snaps().entries:
        vfs.delete_snap(entry.snapshot.snapshot_id)


def test_every_fault_point_is_swept() -> None:
    assert len(POINTS) >= 10
    assert {point for point, *_ in CASES} == set(POINTS)


@pytest.mark.needs("root")
@pytest.mark.parametrize(("point", "before", "call"), CASES, ids=[f"{point} in {call}" for point, _, call in CASES])
def test_after_a_crash_the_next_try_is_like_the_first(home: Path, point: str, before: list[str], call: str) -> None:
    vfs = Vfs(home)
    vfs.create("old")
    (vfs.volume("old") / "file").write_text("x")
    for step in before:
        do(vfs, step)

    importing = "from vfs_parts import from_volume; "
    ended = run_script(DIE.format(f"{importing}vfs.{call}"), home, fault=point)
    assert ended.status == -signal.SIGKILL, ended.errors

    fresh = Vfs(home)
    assert not fresh.leftovers()
    do(fresh, call)
    after_crash = state(fresh)
    do(fresh, call)
    assert state(fresh) == after_crash, "the call is not idempotent"

    undo(fresh)
    assert mounts_below(home) == []
    assert fresh.names() == ["old"]
    assert fresh.snaps().entries == []
    assert not fresh.leftovers()
    for step in before:
        do(fresh, step)
    do(fresh, call)
    assert state(fresh) == after_crash, "a try without a crash ends otherwise"


@pytest.mark.needs("root")
@pytest.mark.parametrize(("point", "before", "call"), CASES, ids=[f"{point} in {call}" for point, _, call in CASES])
def test_after_a_crash_the_way_back_leads_to_nothing(home: Path, point: str, before: list[str], call: str) -> None:
    vfs = Vfs(home)
    vfs.create("old")
    for step in before:
        do(vfs, step)
    run_script(DIE.format(f"from vfs_parts import from_volume; vfs.{call}"), home, fault=point)
    fresh = Vfs(home)
    undo(fresh)
    assert mounts_below(home) == []
    assert fresh.names() == ["old"]
    assert [path.name for path in vfs.paths.iterdir() if path.name != "staging-v"] == []
    assert list((vfs.data / "dev").iterdir()) == []
    assert list((vfs.data / "mnt/.rexray/meta").iterdir()) == []


def half_done(vfs: Vfs) -> list[Callable[[], object]]:
    return [
        lambda: (vfs.data / "vol/.rexray/tmp/file").touch(),
        lambda: (vfs.data / "vol/.rexray/tmp/dir/deep").mkdir(parents=True),
        lambda: (vfs.data / "vol/.rexray/meta/v.json.tmp").write_text("{"),
        lambda: (vfs.data / "vol/.rexray/meta/v.json").write_text(""),
        lambda: (vfs.data / "vol/.rexray/meta/old.json").write_text(""),
        lambda: (vfs.data / "mnt/.rexray/meta/old.json").write_text("[]"),
    ]


@pytest.mark.parametrize("number", range(6))
def test_whatever_lies_about_it_starts(vfs: Vfs, number: int) -> None:
    vfs.create("old")
    half_done(vfs)[number]()
    fresh = Vfs(vfs.home)
    assert fresh.names() == ["old"]
    fresh.create("v")
    assert not (vfs.data / "vol/.rexray/meta/v.json.tmp").exists()


def test_starting_leaves_alone_what_another_process_is_at(vfs: Vfs) -> None:
    vfs.create("old")
    scratch = vfs.data / "vol/.rexray/tmp/theirs"
    scratch.mkdir()
    (scratch / "file").touch()
    descriptor = os.open(scratch, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    Vfs(vfs.home)
    assert (scratch / "file").exists()
    os.close(descriptor)
    Vfs(vfs.home)
    assert not scratch.exists()
