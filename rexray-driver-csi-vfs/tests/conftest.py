"""The fixtures of the tests of csi-vfs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vfs_parts import NOBODY, Vfs, unmount_below


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A directory where whatever is mounted is unmounted at the end."""
    yield tmp_path
    unmount_below(tmp_path)


@pytest.fixture
def vfs(home: Path) -> Vfs:
    return Vfs(home)


@pytest.fixture
def nobodys_home() -> Iterator[Path]:
    """A directory of the user ``nobody``, below directories that everybody may enter."""
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY, NOBODY)
        yield Path(name)
        unmount_below(Path(name))
