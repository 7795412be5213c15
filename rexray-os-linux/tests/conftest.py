"""The fixtures of the tests of the OS driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from linux_parts import HungFuse, Loop, Loops, unmount_below
from rexray_os_linux.driver import LinuxOS


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A directory where whatever is mounted is unmounted at the end."""
    yield tmp_path
    unmount_below(tmp_path)


@pytest.fixture
def loops(home: Path) -> Iterator[Loops]:
    """``loops(size)`` is a loop device of that many bytes over a new file, ``loops(image=PATH)`` over that one."""
    made: list[Loop] = []

    def make(size: int = 16 << 20, image: Path | None = None) -> Loop:
        made.append(Loop(image or home / f"image{len(made)}", size))
        return made[-1]

    yield make
    unmount_below(home)
    for loop in made:
        loop.detach()


@pytest.fixture
def loop(loops: Loops) -> Loop:
    """A blank loop device of 16 MiB."""
    return loops()


@pytest.fixture
def linux() -> LinuxOS:
    return LinuxOS()


@pytest.fixture
def hung(home: Path) -> Iterator[HungFuse]:
    """A mounted filesystem whose server hangs until the end of the test."""
    server = HungFuse(home / "hung")
    yield server
    server.close()
