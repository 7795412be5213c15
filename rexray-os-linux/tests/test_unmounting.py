"""Unmounting, and who is in the way."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from linux_parts import at_most, later, run
from rexray.errors import InUse
from rexray_os_linux.deadlines import Deadlines
from rexray_os_linux.driver import LinuxOS

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def mounted(home: Path) -> Path:
    target = home / "m"
    target.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", target)
    return target


@pytest.fixture
def quick() -> LinuxOS:
    return LinuxOS(Deadlines(busy=0.2))


def test_nothing_mounted_is_success_and_the_directory_stays(linux: LinuxOS, mounted: Path) -> None:
    for _ in range(2):
        linux.unmount(mounted)
        assert mounted.is_dir()
    linux.unmount(mounted / "none")


def test_everything_that_is_stacked_goes(linux: LinuxOS, mounted: Path) -> None:
    run("mount", "-t", "tmpfs", "second", mounted)
    run("mount", "-t", "tmpfs", "third", mounted)
    assert [point.source for point in linux.mounts(target=mounted)] == ["tmpfs", "second", "third"]
    linux.unmount(mounted)
    assert linux.mounts(target=mounted) == ()


def test_the_mount_on_top_is_the_last_one_also_when_it_is_the_older_one(linux: LinuxOS, mounted: Path) -> None:
    run("mount", "--make-private", mounted)
    for name in ("older", "newer"):
        (mounted / name).mkdir()
        run("mount", "-t", "tmpfs", name, mounted / name)
    run("mount", "--move", mounted / "older", mounted / "newer")
    assert [point.source for point in linux.mounts(target=mounted / "newer")] == ["newer", "older"]


def test_a_busy_mount_names_the_process_that_works_in_it(quick: LinuxOS, mounted: Path) -> None:
    with subprocess.Popen(["sleep", "64"], cwd=mounted) as process:
        try:
            with pytest.raises(InUse, match=rf"process {process.pid} \(sleep\) has its working directory at"):
                quick.unmount(mounted)
        finally:
            process.kill()
    quick.unmount(mounted)


def test_a_busy_mount_names_an_open_file(quick: LinuxOS, mounted: Path) -> None:
    with (mounted / "file").open("w"), pytest.raises(InUse, match=r"\) has open '.*/m/file'"):
        quick.unmount(mounted)
    assert quick.mounted(mounted)


def test_a_mount_inside_is_named(quick: LinuxOS, mounted: Path) -> None:
    (mounted / "inner").mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", mounted / "inner")
    with pytest.raises(InUse, match="/m/inner' is mounted inside of it"):
        quick.unmount(mounted)


def test_a_mount_that_is_busy_for_a_moment_is_tried_again(linux: LinuxOS, mounted: Path) -> None:
    file = (mounted / "file").open("w")
    with later(0.3, file.close), at_most(2):
        linux.unmount(mounted)
    assert not linux.mounted(mounted)
