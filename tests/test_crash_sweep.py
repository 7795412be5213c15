"""The daemon killed at every named fault point of Docker's calls, started again, and asked again."""

from __future__ import annotations

import re
from collections.abc import Callable
from http.client import RemoteDisconnected
from pathlib import Path

import pytest

from service_parts import Daemon, eventually

pytestmark = pytest.mark.needs("root")

ROOT = Path(__file__).resolve().parents[1]
POINTS = sorted(
    {
        point
        for pattern in ("core/src/rexray/csi/*.py", "core/src/rexray/holding.py", "driver-csi-vfs/src/**/*.py")
        for path in ROOT.glob(f"rexray-{pattern}")
        for point in re.findall(r'faults\.point\("([\w-]+)"\)', path.read_text())
    }
)
ELSEWHERE = {"vfs-group-member"}
"""Points that none of Docker's calls passes; the driver's own tests sweep those."""

CALLS = {
    "Create": {"Name": "data"},
    "Mount": {"Name": "data", "ID": "c1"},
    "Unmount": {"Name": "data", "ID": "c1"},
    "Remove": {"Name": "data"},
}


def until(daemon: Daemon, call: str) -> None:
    """All calls before that one; a file is written while the volume is mounted."""
    for name, body in CALLS.items():
        if name == call:
            return
        answer = daemon.docker(f"VolumeDriver.{name}", **body)
        if name == "Mount":
            Path(str(answer["Mountpoint"]), "file").write_text("precious")


def died_in(daemon: Daemon, call: str) -> bool:
    """Whether the daemon died in the call."""
    try:
        daemon.docker(f"VolumeDriver.{call}", **CALLS[call])
    except (RemoteDisconnected, ConnectionError):
        assert daemon.process is not None
        return daemon.process.wait(10) == -9
    return False


def check_end(daemon: Daemon, *, data: bool) -> None:
    """From wherever the volume is now, the rest of its life works and leaves nothing."""
    known = daemon.docker("VolumeDriver.List")["Volumes"]
    assert known in ([], [{"Name": "data"}]), "one volume or none, and not mounted for nobody"
    daemon.docker("VolumeDriver.Create", **CALLS["Create"])
    where = Path(str(daemon.docker("VolumeDriver.Mount", **CALLS["Mount"])["Mountpoint"]))
    if data:
        assert (where / "file").read_text() == "precious"
    (where / "more").write_text("writable")
    assert (daemon.data / "vol/data/more").read_text() == "writable"
    daemon.docker("VolumeDriver.Unmount", **CALLS["Unmount"])
    assert daemon.mounts() == []
    daemon.docker("VolumeDriver.Remove", **CALLS["Remove"])
    assert [path.name for path in (daemon.data / "vol").iterdir()] == [".rexray"]
    assert list((daemon.data / "vol/.rexray/tmp").iterdir()) == []
    assert list((daemon.home / "var/lib/volumes").iterdir()) == []


@pytest.mark.parametrize("point", [point for point in POINTS if point not in ELSEWHERE])
def test_a_daemon_killed_there_and_asked_again_has_one_volume_and_no_leftovers(
    make_daemon: Callable[..., Daemon], point: str
) -> None:
    passed = []
    for call in CALLS:
        armed = make_daemon(REXRAY_FAULT=point)
        safe = make_daemon().start()
        until(safe, call)
        safe.stop()
        armed.start()
        if call in ("Unmount", "Remove"):
            assert eventually(lambda daemon=armed: daemon.docker("Plugin.Activate"))
        if not died_in(armed, call):
            armed.stop()
        else:
            passed.append(call)
        again = make_daemon().start()
        if call != "Remove" and (call != "Unmount" or call not in passed):
            again.docker(f"VolumeDriver.{call}", **CALLS[call])
        if call == "Mount":
            again.docker("VolumeDriver.Unmount", **CALLS["Unmount"])
        settled = eventually(lambda daemon=again: daemon.mounts() == [])
        assert settled, (call, again.mounts(), again.log.read_text()[-2000:])
        check_end(again, data=call == "Unmount")
        again.stop()
    assert passed, f"no call of Docker's passes {point}"
