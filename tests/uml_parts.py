"""Running tests in a User-Mode Linux guest: a kernel of its own as a process, with modules that the host's lacks.

Facts: Documentation/virt/uml/user_mode_linux_howto_v2.rst of Linux, unshare(1). ``tools/uml`` makes the guest's root.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GUEST = ROOT / ".tools" / "uml"

SCRIPT = """
for folder in {folders}; do mkdir -p "$folder" && mount --bind "/host$folder" "$folder"; done
for module in loop fuse; do modprobe "$module"; done
# multipath-tools' rules look at every disk of every guest, and are needed by those only whose disks have several paths
case "{arguments}" in
    *xtremio*) ;;
    *) rm -f /lib/udev/rules.d/*multipath*.rules; udevadm control --reload || true ;;
esac
cd {root}
export PYTHONDONTWRITEBYTECODE=1
exec {python} -m pytest -p no:cacheprovider --color=no --junitxml=/out/junit.xml {arguments}
"""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a guest ended: its tests' exit status and names by outcome, and all that was on its console."""

    status: int
    passed: tuple[str, ...]
    skipped: tuple[str, ...]
    console: str


def run_tests(folder: Path, *arguments: str, linux: str, memory: str = "1G", timeout: float = 300) -> Ended:
    """Boot a guest that runs pytest in this checkout, and wait for its end; ``folder`` is for its answers.

    The guest sees the host's files at the same paths and read-only, and has its own devices, /tmp and modules.
    """
    out = folder / "out"
    out.mkdir()
    shutil.copy(ROOT / "tests" / "uml_init", GUEST / "sbin" / "rexray-init")
    folders = shlex.join(dict.fromkeys([sys.base_prefix, sys.prefix, str(ROOT)]))
    guest = folder / "guest"  # a kernel's command line has no way to quote a space
    guest.symlink_to(GUEST)
    job = folder / "job.sh"
    job.write_text(
        SCRIPT.format(
            folders=folders,
            root=shlex.quote(str(ROOT)),
            python=shlex.quote(sys.executable),
            arguments=shlex.join(arguments),
        ),
    )
    root = ["root=/dev/root", "rootfstype=hostfs", f"rootflags={guest}", "ro", "init=/sbin/rexray-init"]
    console = ["con=null", "con0=fd:0,fd:1", "quiet"]
    command = [linux, f"mem={memory}", *root, *console, f"job=/host{job}", f"out={out}"]
    written = _run(["unshare", "--pid", "--fork", "--kill-child", *command], timeout)
    status = out / "status"
    passed, skipped = _results(out / "junit.xml")
    return Ended(
        status=int(status.read_text()) if status.exists() else -1, passed=passed, skipped=skipped, console=written
    )


def _run(command: list[str], timeout: float) -> str:
    """Run a program with everything that it starts in one group, which is killed in any case."""
    environ = {**os.environ, "TMPDIR": "/dev/shm"}  # where the guest's memory is
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
        env=environ,
    )
    try:
        written, _ = process.communicate(timeout=timeout)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return written.decode(errors="replace")


def _results(report: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not report.exists():
        return (), ()
    passed, skipped = [], []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name = str(case.get("name"))
        if case.find("skipped") is not None:
            skipped.append(name)
        elif len(case) == 0:
            passed.append(name)
    return tuple(passed), tuple(skipped)
