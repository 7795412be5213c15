"""The driver as the registry sees it, and what it says of a program that it needs."""

from __future__ import annotations

import pytest

from rexray.registry import registry
from rexray_os_linux.driver import LinuxOS


def test_it_is_registered_under_its_name() -> None:
    assert registry().os_driver("linux") is LinuxOS
    assert LinuxOS.name == "linux"
    assert LinuxOS.settings is None


def test_it_is_viable_where_its_programs_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LinuxOS.viable().ok
    monkeypatch.setattr("rexray.child._SBIN", "")
    monkeypatch.setenv("PATH", "")
    answer = LinuxOS.viable()
    assert not answer.ok
    assert "util-linux" in answer.reason
