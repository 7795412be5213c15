"""Making filesystems: on blank devices, over old ones when asked, and what is left when it goes wrong."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linux_parts import MIB, Loop, Loops, at_most, dos, lvm, mkfs, program
from rexray.errors import Busy, NotReady, RexrayError, TimedOut, Unsupported
from rexray.types import Device
from rexray_os_linux.deadlines import Deadlines
from rexray_os_linux.driver import LinuxOS

pytestmark = pytest.mark.needs("loop", "mkfs.ext4")

KINDS = [
    "ext2",
    "ext3",
    "ext4",
    pytest.param("xfs", marks=pytest.mark.needs("mkfs.xfs")),
    pytest.param("btrfs", marks=pytest.mark.needs("mkfs.btrfs")),
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_blank_device_gets_its_filesystem(linux: LinuxOS, loops: Loops, home: Path, kind: str) -> None:
    loop = loops(320 * MIB)
    assert linux.probe(loop.device) == ""
    linux.format(loop.device, kind)
    assert linux.probe(loop.device) == kind
    mounted = linux.mount(loop.device, home / "m")
    assert mounted.fs_type == kind
    (home / "m/file").write_text("content")


def test_old_content_goes_when_that_is_asked_for(linux: LinuxOS, loop: Loop) -> None:
    mkfs("ext4")(loop)
    lvm(loop)
    dos(loop)
    loop.write(16 * MIB - 7, b"trailer")
    linux.format(loop.device, "ext2", overwrite=True)
    assert linux.probe(loop.device) == "ext2"


def test_a_type_that_nobody_can_make_and_a_program_that_is_missing(
    linux: LinuxOS, loop: Loop, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unsupported, match=r"'reiser4': it can be ext2, .*btrfs"):
        linux.format(loop.device, "reiser4")
    monkeypatch.setattr("rexray.child._SBIN", "")
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(Unsupported, match=r"mkfs.ext4 is not installed .* e2fsprogs"):
        linux.format(loop.device, "ext4")


@pytest.mark.needs("mkfs.xfs")
def test_what_mkfs_complains_of_is_told_and_the_device_is_blank_again(linux: LinuxOS, loop: Loop) -> None:
    with pytest.raises(RexrayError, match=r"cannot format device .*: .+"):
        linux.format(loop.device, "xfs")
    assert linux.probe(loop.device) == ""


def test_a_mkfs_that_hangs_is_killed_with_its_children_and_leaves_nothing(
    loop: Loop, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(
        home / "bin",
        "mkfs.ext4",
        f'for last; do :; done; printf "LUKS\\272\\276\\000\\002" | dd of=$last conv=notrunc 2>/dev/null\n'
        f"sleep 61 & echo $! >{home}/child; wait",
    )
    monkeypatch.setenv("PATH", f"{home}/bin", prepend=os.pathsep)
    linux = LinuxOS(Deadlines(format=0.5))
    with at_most(3), pytest.raises(TimedOut, match=r"did not end within 0.5 s"):
        linux.format(loop.device, "ext4")
    assert linux.probe(loop.device) == ""
    assert is_gone((home / "child").read_text().strip())


def is_gone(pid: str) -> bool:
    """A dead process may wait for its parent: that counts as gone."""
    for _ in range(50):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(") ")[-1][0] in "ZX":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_a_mkfs_that_is_killed_at_any_moment_leaves_a_filesystem_or_a_blank_device(loops: Loops, kind: str) -> None:
    loop = loops(320 * MIB)
    outcomes = set()
    for milliseconds in (1, 3, 5, 8, 12, 20, 5000):
        linux = LinuxOS(Deadlines(format=milliseconds / 1000))
        try:
            linux.format(loop.device, kind)
        except TimedOut:
            outcomes.add("killed")
            assert linux.probe(loop.device) == ""
        else:
            outcomes.add("made")
            assert linux.probe(loop.device) == kind
            loop.write(0, bytes(MIB))
    assert outcomes == {"killed", "made"}


def test_a_device_that_somebody_has_locked_is_busy(loop: Loop) -> None:
    linux = LinuxOS(Deadlines(lock=0.2))
    with loop.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        with pytest.raises(Busy, match="locked"):
            linux.format(loop.device, "ext4")
    linux.format(loop.device, "ext4")


def test_a_mkfs_that_outlives_its_process_keeps_others_away(
    loop: Loop, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(home / "bin", "mkfs.ext4", f"echo $$ >{home}/mkfs; sleep 62")
    script = (
        "import sys; from pathlib import Path; from rexray.types import Device\n"
        "from rexray_os_linux.driver import LinuxOS\n"
        "LinuxOS().format(Device(path=Path(sys.argv[1])), 'ext4')"
    )
    environment = os.environ | {"PATH": f"{home}/bin:{os.environ['PATH']}"}
    with subprocess.Popen([sys.executable, "-c", script, str(loop.path)], env=environment) as first:
        while not (home / "mkfs").exists() or not (home / "mkfs").read_text():
            assert first.poll() is None
            time.sleep(0.02)
        first.kill()
    mkfs_group = int((home / "mkfs").read_text())
    linux = LinuxOS(Deadlines(lock=0.2))
    try:
        with pytest.raises(Busy):
            linux.format(loop.device, "ext4")
    finally:
        os.killpg(mkfs_group, signal.SIGKILL)
    linux.format(Device(path=loop.path), "ext4")


def test_a_blank_device_cannot_be_mounted(linux: LinuxOS, loop: Loop, home: Path) -> None:
    with pytest.raises(NotReady, match="blank"):
        linux.mount(loop.device, home / "m")
    assert not (home / "m").exists()


def test_the_size_of_a_device(linux: LinuxOS, loop: Loop) -> None:
    assert linux.device_size(loop.device) == 16 * MIB
