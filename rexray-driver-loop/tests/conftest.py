"""The fixtures of the tests of loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loop_parts import Host, clean


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The directory of a platform whose devices and mounts are gone at the end."""
    yield tmp_path / "root"
    clean(tmp_path)


@pytest.fixture
def host(root: Path) -> Host:
    return Host(root)


@pytest.fixture
def other(host: Host) -> Host:
    """Another host on the same platform directory."""
    return Host(host.root, "there")
