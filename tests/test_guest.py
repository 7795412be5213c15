"""What this host's kernel cannot do, on one that can: encrypted volumes, and ext4 that grows while it is mounted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from uml_parts import run_tests


@pytest.mark.needs("root")
@pytest.mark.needs("uml")
def test_encrypted_volumes_in_a_guest(tmp_path: Path, tool: Callable[[str], str]) -> None:
    tests = "rexray-driver-loop/tests"
    ended = run_tests(tmp_path, f"{tests}/test_luks.py", f"{tests}/test_devices.py", linux=tool("linux.uml"))
    assert ended.status == 0, ended.console
    assert ended.skipped == (), ended.console
    assert "test_what_is_written_is_not_in_the_file" in ended.passed
    assert len(ended.passed) > 30


@pytest.mark.needs("root")
@pytest.mark.needs("uml")
def test_mounted_filesystems_grow_in_a_guest_that_may_grow_ext4_too(tmp_path: Path, tool: Callable[[str], str]) -> None:
    tests = "rexray-os-linux/tests/test_filesystems.py"
    ended = run_tests(tmp_path, tests, "-k", "grows_with_its_device", linux=tool("linux.uml"))
    assert ended.status == 0, ended.console
    assert ended.skipped == (), ended.console
    assert any("ext4" in name for name in ended.passed), ended.passed
