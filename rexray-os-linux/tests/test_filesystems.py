"""How full, freezing, thawing, trimming and growing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from linux_parts import MIB, Loop, Loops, in_a_unit, run
from rexray.errors import Forbidden, NotFound, NotReady, Unsupported, WrongDevice
from rexray.types import Device
from rexray_os_linux.driver import LinuxOS

pytestmark = pytest.mark.needs("loop", "mkfs.ext4")

CAP_SYS_RESOURCE = 24


@pytest.fixture
def mounted(linux: LinuxOS, loops: Loops, home: Path) -> Path:
    loop = loops(64 * MIB)
    linux.format(loop.device, "ext4")
    return linux.mount(loop.device, home / "m", fs_type="ext4").path


def test_how_full_a_filesystem_is(linux: LinuxOS, mounted: Path) -> None:
    before = linux.filesystem_stats(mounted)
    (mounted / "file").write_bytes(bytes(8 * MIB))
    os.sync()
    after = linux.filesystem_stats(mounted)
    assert 48 * MIB < after.total_bytes < 64 * MIB
    assert after.used_bytes - before.used_bytes >= 8 * MIB
    assert before.available_bytes - after.available_bytes >= 8 * MIB
    assert after.used_inodes == before.used_inodes + 1
    assert after.total_inodes == after.used_inodes + after.available_inodes
    with pytest.raises(NotFound):
        linux.filesystem_stats(mounted / "none")


def test_a_frozen_filesystem_holds_writes_until_it_is_thawed(linux: LinuxOS, mounted: Path) -> None:
    try:
        for _ in range(2):
            linux.freeze(mounted)
        writer = threading.Thread(target=lambda: (mounted / "file").write_text("x"), daemon=True)
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
    finally:
        for _ in range(2):
            linux.thaw(mounted)
    writer.join(5)
    assert not writer.is_alive()


@pytest.mark.parametrize("in_unit", [False, True])
def test_a_filesystem_thaws_when_the_process_that_froze_it_is_killed(
    mounted: Path, tmp_path: Path, in_unit: bool
) -> None:
    """With systemd the guard is in a scope of its own, for systemd would end it with the rest of the unit."""
    freeze = (
        "import os, signal, sys; from pathlib import Path; from rexray_os_linux.driver import LinuxOS; "
        "LinuxOS().freeze(Path(sys.argv[1])); print('frozen', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [*(in_a_unit(tmp_path) if in_unit else ()), sys.executable, "-c", freeze, str(mounted)]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=30)
    assert ended.stdout == b"frozen\n"
    if in_unit:
        assert "--unit=rexray-thaw-guard-" in (tmp_path / "scopes").read_text()
    writer = threading.Thread(target=lambda: (mounted / "file").write_text("x"), daemon=True)
    writer.start()
    writer.join(10)
    assert not writer.is_alive()


def test_trimming_gives_blocks_back(linux: LinuxOS, mounted: Path, home: Path) -> None:
    (mounted / "file").write_bytes(os.urandom(8 * MIB))
    os.sync()
    held = (home / "image0").stat().st_blocks
    (mounted / "file").unlink()
    os.sync()
    assert linux.trim(mounted) > 8 * MIB
    assert (home / "image0").stat().st_blocks < held - 8 * MIB // 512


def test_what_is_no_mount_point_is_never_frozen_trimmed_or_grown(linux: LinuxOS, loop: Loop, home: Path) -> None:
    for action in (linux.freeze, linux.thaw, linux.trim, lambda path: linux.grow(loop.device, path)):
        with pytest.raises(NotReady, match="nothing is mounted"):
            action(home)


def test_a_mount_that_another_one_hides_is_not_confused_with_it(linux: LinuxOS, mounted: Path, home: Path) -> None:
    outer = home / "outer"
    outer.mkdir()
    linux.bind(mounted, outer / "m")
    run("mount", "-t", "tmpfs", "tmpfs", outer)
    (outer / "m").mkdir()
    with pytest.raises(NotReady, match="no longer"):
        linux.trim(outer / "m")


def test_a_file_that_is_a_mount_point_is_none_of_theirs(linux: LinuxOS, loop: Loop, home: Path) -> None:
    linux.bind(loop.path, home / "node")
    with pytest.raises(NotReady, match="not a directory"):
        linux.freeze(home / "node")


def test_what_cannot_be_trimmed_says_so(linux: LinuxOS, home: Path) -> None:
    with pytest.raises(Unsupported, match="cannot trim"):
        linux.trim(Path("/proc"))


def can_grow_ext4_online() -> bool:
    with open("/proc/self/status") as lines:
        bounding = next(int(line.split()[1], 16) for line in lines if line.startswith("CapBnd"))
    return bool(bounding >> CAP_SYS_RESOURCE & 1)


@pytest.mark.parametrize(
    "kind",
    [
        "ext4",
        pytest.param("xfs", marks=pytest.mark.needs("mkfs.xfs")),
        pytest.param("btrfs", marks=pytest.mark.needs("mkfs.btrfs")),
    ],
)
def test_a_filesystem_grows_with_its_device_and_only_then(
    linux: LinuxOS, loops: Loops, home: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = loops(320 * MIB)
    linux.format(loop.device, kind)
    linux.mount(loop.device, home / "m", fs_type=kind)
    small = linux.filesystem_stats(home / "m").total_bytes
    with monkeypatch.context() as nowhere:  # as large already: no program is run
        nowhere.setattr("rexray.child._SBIN", "")
        nowhere.setenv("PATH", "")
        linux.grow(loop.device, home / "m")
    loop.resize(640 * MIB)
    if kind == "ext4" and not can_grow_ext4_online():
        with pytest.raises(Forbidden, match=r"CAP_SYS_RESOURCE.* resize2fs /dev/loop"):
            linux.grow(loop.device, home / "m")
        return
    for _ in range(2):
        linux.grow(loop.device, home / "m")
        assert linux.filesystem_stats(home / "m").total_bytes > small + 290 * MIB


def test_a_filesystem_of_another_device_and_a_read_only_one_do_not_grow(
    linux: LinuxOS, loops: Loops, mounted: Path, home: Path
) -> None:
    with pytest.raises(WrongDevice, match="not on device"):
        linux.grow(loops().device, mounted)
    loop = loops()
    linux.format(loop.device, "ext4")
    linux.mount(loop.device, home / "r", options=("ro",))
    linux.grow(loop.device, home / "r")
    loop.resize(32 * MIB)
    with pytest.raises(NotReady, match="read-only"):
        linux.grow(loop.device, home / "r")


def test_a_network_filesystem_has_nothing_to_grow(linux: LinuxOS, mounted: Path) -> None:
    linux.grow(Device(), mounted)
