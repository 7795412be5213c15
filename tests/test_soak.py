"""A minute of ``make soak``: a busy daemon is killed again and again, and nothing is lost or left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("root", "loop", "mkfs.ext4")

SOAK = Path(__file__).resolve().parents[1] / "tools/soak"
SECONDS = os.environ.get("SOAK_SECONDS", "60")


def test_a_busy_daemon_that_is_killed_at_any_moment_loses_nothing_and_leaves_nothing() -> None:
    answer = subprocess.run(
        [sys.executable, str(SOAK)],
        env={**os.environ, "SOAK_SECONDS": SECONDS},
        capture_output=True,
        text=True,
        timeout=600 + float(SECONDS),
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = re.search(r"soak: (\d+) kills, (\d+) settled, (\d+) calls, (\d+) MiB", answer.stdout)
    assert found is not None, answer.stdout
    assert all(int(number) > 0 for number in found.groups()), answer.stdout
