"""``make bench``: what this machine measures, medians and ratios of one run.

Arguments name the parts to run: ``startup``, ``calls``, ``memory``, ``block``, ``ec2``, ``ceph``,
``scaleio``, ``plugins``; all by default.
``--quick`` takes a tenth of the samples.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from block import measure_block
from calls import measure_calls
from ceph import measure_ceph
from ec2 import measure_ec2
from memory import measure_memory
from plugins import measure_plugins
from scaleio import measure_scaleio
from startup import measure_startup

PARTS = {
    "startup": measure_startup,
    "calls": measure_calls,
    "memory": measure_memory,
    "block": measure_block,
    "ec2": measure_ec2,
    "ceph": measure_ceph,
    "scaleio": measure_scaleio,
    "plugins": measure_plugins,
}


def main(arguments: list[str]) -> int:
    """Run the parts that are named."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # installed programs have their bytecode beside them
    quick = "--quick" in arguments
    names = [name for name in arguments if name != "--quick"] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        print(f"unknown part {sorted(unknown)[0]!r}: there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, uid {os.geteuid()}")
    for name in names:
        with tempfile.TemporaryDirectory(prefix="rxb") as folder:
            PARTS[name](Path(folder), 0.1 if quick else 1.0)
    return 0


sys.exit(main(sys.argv[1:]))
