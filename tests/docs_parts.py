"""What the tests of READMEs and of the documentation site share: commands in pages that run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

TESTED = re.compile(r"<!-- tested: (\w+) -->\n```sh\n(.*?)```", re.DOTALL)
"""A block of commands that is run, and whether it needs ``root`` or can be said by ``anyone``."""


def run_as_it_stands(script: str, home: Path) -> None:
    """Run a block in an empty home, without settings from outside; it has to succeed and leave nothing mounted."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "X_CSI_", "CSI_"))}
    environ = {
        **clean,
        "PATH": f"{Path(sys.executable).parent}:{clean['PATH']}",
        "HOME": str(home),
        "REXRAY_HOME": str(home / "rexray"),
    }
    try:
        answer = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=home,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert ("rexray start" in script) == ("is running at PID" in answer.stdout)
        assert "rexray stop" not in script or answer.stdout.rstrip().endswith("REX-Ray is stopped")
    finally:
        subprocess.run(["rexray", "stop"], env=environ, check=False, capture_output=True)
    assert str(home) not in Path("/proc/self/mountinfo").read_text()
