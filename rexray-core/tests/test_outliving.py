"""Helpers that go on when whoever started them is ended, with all that belongs to him."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rexray import outliving
from rexray.errors import TimedOut, Unavailable

SERVICE = """
import sys
from rexray import outliving
{do}
print("ready", flush=True)
sys.stdin.read()
"""
BACKGROUND = """
ended = outliving.run(
    ["/bin/sh", "-c", "sleep 1000 & echo $!"], name="sleeper", seconds=10, action="sleep", keep=({keep}))
print(ended.program, ended.stdout.strip(), flush=True)
"""
FAKE = """#!/bin/sh
printf '%s\\n' "$@" >>{folder}/arguments
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


class Service:
    """A process in a session of its own, as a daemon is, and what it prints."""

    def __init__(self, do: str, *before: str, **environ: str) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", SERVICE.format(do=do)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**{key: value for key, value in os.environ.items() if key != "INVOCATION_ID"}, **environ},
        )

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill_its_session(self) -> None:
        """End all of its session, whatever process group it is in."""
        for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
            with suppress(ProcessLookupError):
                if os.getsid(pid) == self.process.pid:
                    os.kill(pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def helpers() -> Iterator[list[int]]:
    """The helpers that a test has started, which are ended after it."""
    started: list[int] = []
    yield started
    for pid in started:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def systemd(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """What is said before a program for it to see systemd as the init system, with that for its ``systemd-run``."""

    def before(script: str) -> tuple[str, ...]:
        program = tmp_path / "bin" / "systemd-run"
        program.parent.mkdir()
        program.write_text(script)
        program.chmod(0o755)
        run = 'mount -t tmpfs none /run && mkdir -p /run/systemd/system && PATH="$0:$PATH" exec "$@"'
        return ("unshare", "--mount", "/bin/sh", "-c", run, str(program.parent))

    return before


def ends(pid: int, seconds: float) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(handle):
        return bool(select.select([handle], [], [], seconds)[0])


def test_a_helper_in_the_background_outlives_the_session_that_started_it(helpers: list[int]) -> None:
    service = Service(BACKGROUND.format(keep=""))
    program, pid = service.said().split()
    helpers.append(int(pid))
    assert program == "sh"
    assert service.said() == "ready"
    service.kill_its_session()
    assert not ends(int(pid), 0.3)
    facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert facts[4] == "0", "it has no terminal"
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"


def test_a_helper_in_the_foreground_outlives_the_session_and_sees_that_it_ended(
    helpers: list[int], tmp_path: Path
) -> None:
    told = tmp_path / "told"
    os.mkfifo(told)
    reader = os.open(told, os.O_RDWR)
    script = f"cat; echo ended >{told}"
    service = Service(
        f"""p = outliving.start(["/bin/sh", "-c", {script!r}], name="waiter", seconds=10, action="wait")
print(p.pid, flush=True)"""
    )
    helpers.append(int(service.said()))
    assert service.said() == "ready"
    service.kill_its_session()
    with os.fdopen(reader, "rb", buffering=0) as stream:
        assert select.select([stream], [], [], 10)[0], "the helper did not live to tell"
        assert stream.read(6) == b"ended\n"


def test_a_helper_whose_starter_is_in_no_unit_asks_nobody_for_a_scope(tmp_path: Path) -> None:
    assert outliving.scope("image", {}, systemd=tmp_path) == []
    assert outliving.scope("image", {"INVOCATION_ID": "1"}, systemd=tmp_path / "none") == []


@pytest.mark.needs("root")
def test_in_a_unit_of_systemd_a_helper_gets_a_scope_of_its_own(
    helpers: list[int], tmp_path: Path, systemd: Callable[[str], tuple[str, ...]]
) -> None:
    before = systemd(FAKE.format(folder=tmp_path))
    service = Service(BACKGROUND.format(keep="sys.stdin.fileno(),"), *before, INVOCATION_ID="0123")
    helpers.append(int(service.said().split()[1]))
    service.kill_its_session()
    assert not ends(helpers[0], 0.3)
    arguments = (tmp_path / "arguments").read_text().splitlines()
    options = arguments[: arguments.index("--")]
    (unit,) = (option for option in options if option.startswith("--unit="))
    assert unit.startswith("--unit=rexray-sleeper-")
    wanted = {"--scope", "--collect", "--quiet", "--slice=system.slice", "--property=DefaultDependencies=no"}
    assert {*options} - {unit} == wanted


@pytest.mark.needs("root")
@pytest.mark.parametrize("way", ["run", "start"])
def test_without_a_scope_a_helper_is_not_started(
    tmp_path: Path, systemd: Callable[[str], tuple[str, ...]], way: str
) -> None:
    before = systemd("#!/bin/sh\necho 'Failed to start transient scope unit: Access denied' >&2\nexit 1\n")
    made = tmp_path / "made"
    service = Service(
        f"""import json
try:
    outliving.{way}(["/usr/bin/touch", {str(made)!r}], name="toucher", seconds=10, action="touch it")
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]), flush=True)""",
        *before,
        INVOCATION_ID="0123",
    )
    kind, message = json.loads(service.said())
    service.kill_its_session()
    assert kind == Unavailable.__name__
    assert message == (
        "cannot touch it: systemd gives the helper no scope of its own: "
        "Failed to start transient scope unit: Access denied"
    )
    assert not made.exists()


def test_what_a_program_says_and_how_it_ends_is_told_as_it_is() -> None:
    def run(script: str) -> tuple[int, str, str]:
        ended = outliving.run(["/bin/sh", "-c", script], name="sh", seconds=10, action="try")
        return ended.status, ended.stdout, ended.complaint

    assert run("echo one; echo two >&2; exit 3") == (3, "one\n", "two")
    assert run("exit 4") == (4, "", "sh ended with status 4 and said nothing")
    with pytest.raises(TimedOut, match="cannot try"):
        outliving.run(["/bin/sleep", "60"], name="sleep", seconds=0.3, action="try")
