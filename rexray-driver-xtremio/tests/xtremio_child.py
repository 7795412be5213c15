"""A process that makes one call of the driver, and may be killed at a fault point. Run as a program.

Its argument is JSON: the driver's variables, the method and its parameters, those of ``create`` being a spec's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

Call = tuple[str, dict[str, Any]]


def run(environ: Mapping[str, str], call: Call, fault: str = "") -> int:
    """Have a process make the call; its exit status, or a signal's negative number."""
    command = [sys.executable, __file__, json.dumps([dict(environ), *call])]
    done = subprocess.run(
        command, env={**os.environ, "REXRAY_FAULT": fault}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode <= 0, done.stderr
    return done.returncode


def main() -> None:
    from rexray.settings import Sources
    from rexray.types import VolumeSpec
    from rexray_driver_xtremio.storage import XtremIoStorage

    environ, method, parameters = json.loads(sys.argv[1])
    storage = XtremIoStorage.make(Sources(environ=environ))
    arguments = {"spec": VolumeSpec(**parameters)} if method == "create" else parameters
    getattr(storage, method)(**arguments)


if __name__ == "__main__":
    main()
