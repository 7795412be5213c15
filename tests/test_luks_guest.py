"""Encrypted volumes of the platform loop, on a kernel with dm-crypt."""

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
