"""The fixtures of the end-to-end tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service_parts import Daemon


@pytest.fixture
def home() -> Iterator[Path]:
    """A short directory: a socket's path has to fit in 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="rx"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_daemon(home: Path) -> Iterator[Callable[..., Daemon]]:
    """Make daemons that are cleaned up after."""
    made: list[Daemon] = []

    def make(**environ: str) -> Daemon:
        made.append(Daemon(home, environ))
        return made[-1]

    yield make
    for daemon in made:
        daemon.clean_up()


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon that runs."""
    return make_daemon().start()
