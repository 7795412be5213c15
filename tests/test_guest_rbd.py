"""Ceph's images by the kernel's own client and by rbd-nbd, on a kernel that has both, with a cluster in the guest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from uml_parts import run_tests

MAPPERS = ("krbd", "nbd")


@pytest.mark.long
@pytest.mark.needs("root")
@pytest.mark.needs("uml")
def test_the_node_driver_in_a_guest(tmp_path: Path, tool: Callable[[str], str]) -> None:
    """What this host can do too, in user space, is tested on it."""
    tests = "rexray-driver-ceph/tests/test_node.py"
    ended = run_tests(tmp_path, tests, "-k", " or ".join(MAPPERS), linux=tool("linux.uml"), memory="2G", timeout=2400)
    assert ended.status == 0, ended.console
    assert ended.skipped == (), ended.console
    for mapper in MAPPERS:
        assert f"test_what_is_written_is_there_when_it_is_mapped_again[{mapper}]" in ended.passed
        assert len([name for name in ended.passed if f"[{mapper}" in name]) >= 11
