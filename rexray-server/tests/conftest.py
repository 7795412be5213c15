"""The fixtures of the server's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rexray_server.settings import ServerSettings
from server_parts import Running, serving


@pytest.fixture
def short_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path leaves room for the name of a socket."""
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def running(short_dir: Path) -> Iterator[Running]:
    with serving(short_dir, ServerSettings()) as running:
        yield running


@pytest.fixture
def serve(short_dir: Path) -> Iterator[Callable[..., Running]]:
    """Serve with other settings."""
    with ExitStack() as stack:
        yield lambda settings, **more: stack.enter_context(serving(short_dir, settings, **more))
