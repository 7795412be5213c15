"""Programs with a deadline."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rexray import child
from rexray.errors import RexrayError, TimedOut, Unsupported


def run(script: str, seconds: float = 5) -> child.Ended:
    return child.run(["/bin/sh", "-c", script], seconds=seconds, action="try")


def test_how_it_ended_and_what_it_said() -> None:
    ended = run("echo one; echo two >&2; exit 3")
    assert (ended.program, ended.status, ended.stdout, ended.stderr) == ("sh", 3, "one\n", "two\n")
    assert ended.complaint == "two"
    assert run("exit 4").complaint == "sh ended with status 4 and said nothing"


def test_what_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(TimedOut, match=r"cannot try: sh did not end within 0.3 s"):
        run(f"sleep 60 & echo $! > {tmp_path}/pid; wait", 0.3)
    status = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    deadline = time.monotonic() + 5
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline


@pytest.mark.parametrize("end", ["wait", "exit 0"])
def test_a_child_that_left_the_group_holds_nothing_up(end: str) -> None:
    start = time.monotonic()
    if end == "wait":
        with pytest.raises(TimedOut):
            run("setsid sleep 8 & wait", 0.3)
    else:
        assert run("echo said; setsid sleep 8 & exit 0").stdout == "said\n"
    assert time.monotonic() - start < 3


def test_what_is_not_installed_is_named() -> None:
    assert child.find("no-such-program") is None
    with pytest.raises(Unsupported, match="install the package some-package"):
        child.need("no-such-program", "some-package")
    with pytest.raises(RexrayError, match="cannot try: /no/such"):
        child.run(["/no/such"], seconds=1, action="try")
