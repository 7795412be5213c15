"""How long the program takes to start, beside what it cannot be faster than."""

from __future__ import annotations

import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path

from figures import timed

from service_parts import REXRAY, Daemon


def measure_startup(folder: Path, scale: float) -> None:
    """Whole processes, interleaved so that a busy moment hits all alike."""
    daemon = Daemon(folder).start()
    try:
        daemon.rexray("csi", "new", "data")
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "python -c 'import click'": [sys.executable, "-c", "import click"],
            "rexray --help": [REXRAY, "--help"],
            "rexray version": [REXRAY, "version"],
            "rexray driver ls": [REXRAY, "driver", "ls"],
            "rexray csi ls": [REXRAY, "csi", "ls"],
            "rexray volume ls": [REXRAY, "volume", "ls"],
        }
        samples: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(max(5, int(30 * scale))):
            for name, command in commands.items():
                run = partial(subprocess.run, command, env=daemon.environ, check=True, stdout=subprocess.DEVNULL)
                samples[name].append(timed(run))
    finally:
        daemon.clean_up()
    base = statistics.median(samples["python -c 'import click'"])
    print(f"\n{'whole process':32} {'median ms':>9} {'x import click':>15}")
    for name, values in samples.items():
        median = statistics.median(values)
        print(f"{name:32} {median * 1000:9.1f} {median / base:15.2f}")
