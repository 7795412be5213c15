"""XtremIO's node driver over real iSCSI sessions and multipath, on a kernel that has both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from uml_parts import run_tests

pytestmark = pytest.mark.long


@pytest.mark.needs("root")
@pytest.mark.needs("uml")
def test_the_node_driver_in_a_guest(tmp_path: Path, tool: Callable[[str], str]) -> None:
    """What this host can do too is tested on it."""
    tests = "tests/test_xtremio_iscsi.py"
    ended = run_tests(tmp_path, tests, linux=tool("linux.uml"), timeout=900)
    assert ended.status == 0, ended.console
    assert ended.skipped == (), ended.console
    for how in ("raw", "multipath", "mapper"):
        assert f"test_what_is_written_is_there_when_it_is_connected_again[{how}]" in ended.passed
    assert len(ended.passed) >= 15


@pytest.mark.needs("root")
@pytest.mark.needs("uml")
@pytest.mark.needs("csi-sanity")
def test_the_whole_of_it_in_a_guest(tmp_path: Path, tool: Callable[[str], str]) -> None:
    """The shell, the bridge and the seed's example, over a simulated XMS and its target."""
    ended = run_tests(tmp_path, "tests/test_xtremio.py", linux=tool("linux.uml"), memory="1500M", timeout=900)
    assert ended.status == 0, ended.console
    assert ended.skipped == (), ended.console
    assert len(ended.passed) == 8
