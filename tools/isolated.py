"""Tests each distribution alone: in a fresh environment with it, what it declares, and its group ``test``.

The members are built into wheels, as ``pip install ./rexray-core`` would, so a file that is missing from the
distribution, or a requirement that it forgot to declare, fails here. Arguments go to pytest.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = str(Path(sys.executable).parent / "uv")
LONG = (
    *("concurrency", "conformance", "crashes", "faults", "kit_*", "memory_processes", "policy", "proxy", "refusals"),
    *("scaffold", "simulator*", "storage_*", "versions"),
)
"""Tests of more than what is shown here, that nothing is missing: ``make test`` has them."""
LONG_OF = {
    "rexray-driver-ceph": (
        "test_cluster_parts.py",
        "test_export.py",
        "test_findings.py",
        "test_storage.py",
        "test_node.py::test_an_encrypted_image_",
        "test_node.py::test_a_mapping_that_was_killed_",
        "test_node_findings.py",
    )
}
"""Those of one distribution, by how their names begin: others have modules of the same names, which are short."""
CONSTRAINTS = str(ROOT / "constraints.txt")


def main(pytest_arguments: list[str]) -> int:
    """Test every member; the exit status is 1 if one failed."""
    members = {path.parent.name: tomllib.loads(path.read_text()) for path in ROOT.glob("rexray-*/pyproject.toml")}
    failed = []
    with tempfile.TemporaryDirectory(prefix="rexray-isolated-") as scratch:
        wheels = {member: build(member, Path(scratch, "wheels", member)) for member in members}
        for member in sorted(members):
            started = time.monotonic()
            print(f"=== {member} alone", flush=True)
            needed = [wheels[name] for name in sorted(closure(member, members))]
            environment = Path(scratch, member)
            install(environment, [*needed, "--group", f"{member}/pyproject.toml:test"])
            status = run_tests(environment, member, pytest_arguments)
            print(f"=== {member} alone: exit status {status}, {time.monotonic() - started:.1f} s", flush=True)
            if status != 0:
                failed.append(member)
    print(f"isolated: {', '.join(failed)} failed" if failed else "isolated: every distribution stands alone")
    return 1 if failed else 0


def build(member: str, directory: Path) -> str:
    """Build a member's wheel; its path."""
    uv("build", "--quiet", "--wheel", "--no-sources", "-b", CONSTRAINTS, "--out-dir", str(directory), member)
    (wheel,) = directory.glob("*.whl")
    return str(wheel)


def closure(member: str, members: dict[str, dict[str, dict[str, list[str]]]]) -> set[str]:
    """The member and the members that it declares, directly or not."""
    found: set[str] = set()
    waiting = [member]
    while waiting:
        name = waiting.pop()
        found.add(name)
        words = (re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in members[name]["project"]["dependencies"])
        waiting += [word for word in words if word in members and word not in found]
    return found


def install(environment: Path, what: list[str]) -> None:
    """Make an environment with those requirements, in the tested versions."""
    uv("venv", "--quiet", "--python", sys.executable, str(environment))
    uv("pip", "install", "--quiet", "--python", str(environment), "--no-sources", "-c", CONSTRAINTS, *what)


def run_tests(environment: Path, member: str, arguments: list[str]) -> int:
    """Run the member's own tests; pytest's exit status."""
    left_out = [f"--ignore-glob=*/test_{word}.py" for word in LONG]
    left_out += [f"--deselect={member}/tests/{name}" for name in LONG_OF.get(member, ())]
    pytest = [str(environment / "bin" / "pytest"), "-p", "no:cacheprovider", *left_out, f"{member}/tests", *arguments]
    return subprocess.run(pytest, check=False, cwd=ROOT).returncode


def uv(*arguments: str) -> None:
    """Run uv from the root of the checkout."""
    subprocess.run([UV, *arguments], check=True, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
