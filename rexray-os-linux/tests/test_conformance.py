"""The OS driver keeps to the contract, by the conformance kit, on real loop devices and mounts."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from linux_parts import MIB, HungFuse, unmount_below
from rexray.drivers import OSDriver
from rexray.settings import Sources
from rexray.testing.conformance import OSConformance
from rexray.testing.kit.disks import LoopDisks
from rexray.testing.kit.os_rig import OSRig
from rexray_os_linux.deadlines import Deadlines
from rexray_os_linux.driver import LinuxOS

ANSWER = 2.0


@pytest.mark.needs("root", "loop", "mkfs.ext4", "mkfs.xfs")
class TestLinux(OSConformance):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[OSRig]:
        @contextlib.contextmanager
        def hung() -> Iterator[tuple[OSDriver, Path]]:
            server = HungFuse(tmp_path / "hung")
            try:
                yield LinuxOS(Deadlines(system_call=ANSWER)), server.target
            finally:
                server.close()

        disks = LoopDisks(tmp_path / "disks")
        yield OSRig(
            LinuxOS,
            Sources(environ={}),
            disks,
            tmp_path,
            fs_type="xfs",  # ext4 grows online only with a capability that containers often lack
            other_fs_type="ext4",
            size_bytes=320 * MIB,
            hung=hung,
            answer=ANSWER,
        )
        unmount_below(tmp_path)
        disks.close()


@pytest.mark.needs("root", "loop", "mkfs.ext4")
def test_what_is_installed_is_checked_by_its_name(tmp_path: Path) -> None:
    some = "mount_says_what or probe_of_a_blank"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rexray-driver=linux", "-k", some]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stdout
    assert "os driver linux (rexray-os-linux" in ended.stdout
    assert "2 passed" in ended.stdout
