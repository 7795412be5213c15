"""A process killed at every named fault point of the workflow and of the loop platform, and what the next one finds."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from workflow_parts import NOTHING, ROOT, Host, exists, mounted, program, quick_home, run_host

from loop_parts import devices_of
from rexray.errors import NotFound
from rexray.mixins import Snapshots
from rexray.types import AttachmentState, SnapshotId

pytestmark = pytest.mark.needs("root", "loop", "mkfs.ext4")

POINTS = sorted(
    {
        point
        for pattern in ("core/src/rexray/volumes/*.py", "core/src/rexray/holding.py", "driver-loop/src/**/*.py")
        for path in ROOT.glob(f"rexray-{pattern}")
        for point in re.findall(r'faults\.point\(\s*"([\w-]+)"', path.read_text())
    }
)
ELSEWHERE = {
    "loop-expand-grown": "a volume does not grow while it is created, mounted, unmounted, removed or snapped",
    "loop-expand-saved": "the same",
    "loop-group-member": "the workflow takes no snapshots of several volumes",
    "loop-group-noted": "the same",
    "loop-group-removed": "the same",
    "loop-modify-done": "the workflow modifies nothing",
    "loop-rollback-copied": "the workflow rolls nothing back",
    "loop-rollback-replaced": "the same",
}
"""Points that none of the calls below passes, and why; the driver's own tests sweep them."""

CREATE = "host.create('data', fstype='ext4')"
OVERWRITE = "host.create('data', snapshotname='kept', overwritefs='true')"
CALLS: dict[str, tuple[str, list[str]]] = {
    "create": (CREATE, []),
    "create with overwritefs": (OVERWRITE, []),
    "first mount": ("host.mount()", [CREATE]),
    "later mount": ("host.mount()", [CREATE, "host.write()"]),
    "second holder": ("host.mount(holder='c2')", [CREATE, "(host.mount() / 'file').write_text('precious')"]),
    "unmount": ("host.unmount()", [CREATE, "(host.mount() / 'file').write_text('precious')"]),
    "snapshot": ("host.snap()", [CREATE, "(host.mount() / 'file').write_text('precious')"]),
    "remove": ("host.remove()", [CREATE, "host.write()"]),
    "remove of a mounted one": ("host.remove()", [CREATE, "(host.mount() / 'file').write_text('precious')"]),
}
"""Each call with those that come before it. After all but the first three, the volume has a file."""

WITH_DATA = {"later mount", "second holder", "unmount", "snapshot"}

PASSED: dict[str, set[str]] = {}
"""The points that each call has been killed at."""

TRACE = """
import threading
from rexray import faults
def note(frame, event, _):
    if event == 'call' and frame.f_code is faults.point.__code__:
        print(frame.f_locals['name'])
sys.setprofile(note)
threading.setprofile(note)
"""
"""Prints the name of each point that is passed."""


@pytest.fixture
def host() -> Iterator[Host]:
    """A host of a platform that has a volume and a snapshot which no call harms."""
    with quick_home() as home:
        made = Host(home)
        made.create("kept")
        made.write("kept", "kept")
        made.snap("kept", "kept")
        yield made


def write_in_time(file: Path) -> None:
    """Write to a filesystem that may be frozen, without being held up by that."""
    ended = subprocess.run(["sh", "-c", 'echo well > "$0"', file], check=False, timeout=10)
    assert ended.returncode == 0


def test_a_filesystem_is_not_frozen_for_longer_than_the_snapshot_lives(host: Host) -> None:
    host.create()
    path = host.mount()
    kill(host, "snapshot", "loop-create-filled")
    write_in_time(path / "more")


@pytest.mark.parametrize("verb", ["unmount", "remove", "unmount_all", "recover", "snapshot"])
def test_a_filesystem_that_was_left_frozen_all_the_same_holds_up_nothing(host: Host, verb: str) -> None:
    """As when whoever was to thaw it was killed too."""
    host.create()
    path = host.mount()
    (path / "file").write_text("precious")
    subprocess.run(["fsfreeze", "--freeze", str(path)], check=True)
    script = {
        "unmount": "host.unmount()",
        "remove": "host.remove()",
        "unmount_all": "list(host.volumes.unmount_all())",
        "recover": "list(host.volumes.recover()); (host.mount() / 'more').touch()",
        "snapshot": "host.snap(); (host.mount() / 'more').touch()",
    }[verb]
    process = subprocess.Popen(program(host.home, script))
    try:
        assert process.wait(20) == 0
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", str(path)], check=False, capture_output=True)  # or it cannot die
        process.kill()
        process.wait(20)
    if verb not in ("recover", "snapshot"):
        assert host.in_use() == NOTHING


def prepare(host: Host, call: str) -> None:
    """Make the calls that come before."""
    for step in CALLS[call][1]:
        exec(step, {"host": host})


def points_of(host: Host, call: str) -> list[str]:
    """The points that the call passes when nothing stops it, after which the volume is as if it had not been made."""
    prepare(host, call)
    ended = run_host(host.home, TRACE + CALLS[call][0])
    assert ended.status == 0, ended.errors
    host = host.again()
    if exists(host, "data"):
        host.remove()
    remove_snapshot(host)
    return list(dict.fromkeys(ended.output.split()))


def kill(host: Host, call: str, point: str) -> None:
    """Have a process make the call which is killed at the point."""
    ended = run_host(host.home, CALLS[call][0], fault=point)
    assert ended.status == -signal.SIGKILL, (point, ended)


def recover(host: Host) -> None:
    """What the service does first."""
    lines = list(host.volumes.recover())
    assert not [line for line in lines if "not recovered" in line], lines


def say_again(host: Host, call: str) -> None:
    """The same call; a volume that was removed already may be said not to be there."""
    try:
        exec(CALLS[call][0], {"host": host})
    except NotFound:
        assert call.startswith("remove")


def check_rest_of_life(host: Host, *, data: bool) -> None:
    """From wherever the volume is now, each call works and nothing is left in the end."""
    if not exists(host, "data"):
        host.create("data")
    assert host.names() == ["data", "kept"], "one volume"
    path = host.mount()
    assert mounted(path).fs_type == "ext4"
    assert host.holders_of_platform() == ["here"], "one attachment"
    assert len(devices_of(host.root)) == 1
    if data:
        assert (path / "file").read_text() == "precious"
    write_in_time(path / "more")
    for holder in ("c1", "c2"):
        host.unmount(holder=holder)
    assert host.in_use() == NOTHING
    assert host.volumes.get("data").state is AttachmentState.AVAILABLE
    host.remove()
    check_nothing_left(host)


def check_nothing_left(host: Host) -> None:
    assert host.names() == ["kept"]
    assert host.in_use() == NOTHING
    assert host.read("kept") == "kept"
    assert list((host.home / "var/lib/volumes").iterdir()) == []
    assert list((host.root / "tmp").iterdir()) == []
    assert [path.name for path in host.record_file().parent.glob("*") if "data" in path.name] == []
    with pytest.raises(NotFound):
        host.remove()


@pytest.mark.parametrize("recovered", [True, False], ids=["by the service", "by a shell"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_killed_at_any_point_and_said_again_is_as_if_it_had_been_said_once(
    host: Host, call: str, recovered: bool
) -> None:
    """Each point in turn: killed there, said again by a new process, which recovers first or does not, and lived on."""
    for point in points_of(host, call):
        prepare(host.again(), call)
        kill(host, call, point)
        PASSED.setdefault(point, set()).add(call)
        again = host.again()
        if recovered:
            recover(again)
            if call in ("first mount", "later mount", "unmount"):
                assert again.in_use() == NOTHING, "Docker does not ask again: nobody holds it any more"
        say_again(again, call)
        if call.startswith("remove"):
            check_nothing_left(again)
        else:
            check_rest_of_life(again, data=call in WITH_DATA)
        remove_snapshot(again)


def remove_snapshot(host: Host) -> None:
    host.volumes.capability(Snapshots).remove_snapshot(SnapshotId("snap"))


def test_every_point_was_passed_by_some_call() -> None:
    if not PASSED:
        pytest.skip("the sweep did not run")
    assert set(PASSED) == set(POINTS) - set(ELSEWHERE)
    assert set(ELSEWHERE) <= set(POINTS)
