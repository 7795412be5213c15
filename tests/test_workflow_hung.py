"""Volumes whose server stops answering: their calls end at a deadline, and those of other volumes do not notice."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from workflow_parts import NOTHING, Host, Server, mount_at, program, quick_home

from linux_parts import HungFuse, at_most
from loop_parts import devices_of, mounts_of
from rexray.errors import Busy, InUse, RexrayError, TimedOut
from rexray_os_linux.deadlines import Deadlines
from rexray_os_linux.driver import LinuxOS

pytestmark = pytest.mark.needs("root", "loop", "mkfs.ext4")

DEADLINE = 1.0
ALL_RIGHT = 8.0
"""Seconds that calls for other volumes may take on a machine that is busy; the hung ones would take for ever."""


@pytest.fixture
def home() -> Iterator[Path]:
    with quick_home() as folder:
        yield folder


@pytest.fixture
def host(home: Path) -> Host:
    """A host that has no patience, with a volume ``well`` and a volume ``hung`` that has a file."""
    made = impatient(Host(home))
    for name in ("well", "hung"):
        made.create(name)
        made.write(name)
    return made


def give_up(host: Host) -> None:
    """Tidy up as an administrator would whose server is dead."""
    devices = [device for device, _ in devices_of(host.root)]  # they lose their name with the server's mount
    for target in reversed(mounts_of(host.home)):
        subprocess.run(["umount", "--lazy", target], check=False, timeout=30)
    for device in devices:
        while (Path("/sys/block") / device.name / "loop").exists():
            subprocess.run(["losetup", "--detach", str(device)], check=False, timeout=30, capture_output=True)
            time.sleep(0.05)


def impatient(host: Host) -> Host:
    return host.over(os_driver=LinuxOS(Deadlines(system_call=DEADLINE, probe=DEADLINE)))


@pytest.fixture
def server(host: Host) -> Iterator[Server]:
    """The server in which the volume ``hung`` lives; it answers until a test has it stop."""
    made = Server(host, "hung")
    yield made
    made.die()
    give_up(host)


def check_others(host: Host) -> None:
    """Everything that can be done with another volume is done."""
    with at_most(ALL_RIGHT):
        assert "hung" in host.names()
        assert host.read("well") == "precious"
        path = host.mount("well")
        host.snap("snap", "well")
        (path / "more").write_text("writable")
        host.unmount("well")
        host.create("new")
        host.write("new")
        host.remove("new")


@contextmanager
def in_background(work: Callable[[], object], seconds: float = 20) -> Iterator[list[BaseException | None]]:
    """A call that may hang; how it ended is in the list, once it has."""
    ended: list[BaseException | None] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 it is what the test looks at
            ended.append(error)
        else:
            ended.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield ended
    thread.join(seconds)
    assert not thread.is_alive(), f"it hangs for longer than {seconds} s"


def check_fails(seconds: float, kind: type[RexrayError], work: Callable[[], object]) -> str:
    """The call fails so in that time; if it hangs, the test fails and does not hang with it."""
    with in_background(work, seconds) as ended:
        pass
    assert isinstance(ended[0], kind), ended
    return str(ended[0])


def test_a_volume_on_a_server_that_answers_is_like_any_other(host: Host, server: Server) -> None:
    path = host.mount("hung")
    (path / "file").write_text("served")
    host.unmount("hung")
    assert host.read("hung") == "served"
    with at_most(ALL_RIGHT):
        check_others(host)


def test_unmounting_a_hung_volume_ends_at_its_deadline_and_is_done_later(host: Host, server: Server) -> None:
    (host.mount("hung") / "file").write_text("not on disk yet")
    server.stop()
    assert "no answer within 1 s" in check_fails(DEADLINE * 2 + 3, TimedOut, lambda: host.unmount("hung"))
    assert "hung in the kernel" in check_fails(2, Busy, lambda: host.unmount("hung"))
    check_others(host)
    server.go_on()
    with at_most(10):
        while True:
            try:
                host.unmount("hung")
                break
            except (Busy, TimedOut):
                time.sleep(0.1)
    assert [path for _, path in devices_of(host.root) if path == str(host.data("hung"))] == []
    assert host.read("hung") == "not on disk yet"


def test_a_snapshot_of_a_hung_volume_ends_at_its_deadline_and_leaves_nothing_frozen(host: Host, server: Server) -> None:
    path = host.mount("hung")
    (path / "file").write_text("not on disk yet")
    server.stop()
    check_fails(DEADLINE * 2 + 3, TimedOut, lambda: host.snap("snap", "hung"))
    check_others(host)
    server.go_on()
    deadline = time.monotonic() + 10
    while subprocess.run(["sh", "-c", 'echo well > "$0"', path / "more"], check=False, timeout=10).returncode != 0:
        assert time.monotonic() < deadline


def test_mounting_a_hung_volume_ends_at_its_deadline_and_holds_up_no_other(host: Host, server: Server) -> None:
    hasty = impatient(Host(host.home, REXRAY_VOLUME_MOUNT_ATTACHTIMEOUT="1s"))
    server.stop()
    assert "no answer within" in check_fails(8, TimedOut, lambda: hasty.mount("hung"))
    assert "hung in the kernel" in check_fails(3, Busy, lambda: hasty.mount("hung"))
    check_others(hasty)
    assert mount_at(host.home / "var/lib/volumes/hung") is None
    server.go_on()
    with at_most(20):
        while True:
            try:
                path = hasty.mount("hung")
                break
            except (Busy, TimedOut):
                time.sleep(0.1)
    assert (path / "file").read_text() == "precious"
    hasty.unmount("hung")


@pytest.mark.parametrize(
    "verb", ["host.mount('hung')", "host.volumes.attach('hung', host.instance)", "host.remove('hung')"]
)
def test_a_process_that_hangs_for_a_volume_ends_by_a_kill(host: Host, server: Server, verb: str) -> None:
    server.stop()
    with subprocess.Popen(program(host.home, f"print('on', flush=True)\n{verb}"), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        time.sleep(0.3)
        process.kill()
        assert process.wait(5) == -9
    server.go_on()
    assert host.again().read("hung") == "precious"


def test_recovery_is_not_held_up_by_a_mount_that_hangs(host: Host) -> None:
    for name in ("hung", "well"):
        path = host.mount(name)
        subprocess.run(["umount", str(path)], check=True)
    fuse = HungFuse(host.home / "var/lib/volumes/hung")
    try:
        with at_most(ALL_RIGHT):
            lines = list(impatient(host.again()).volumes.recover())
        assert lines == ["hung: mounted for 1 holder", "well: mounted again for 1 holder"]
        with at_most(3):
            assert host.volumes.path("well")
            assert {volume.name for volume in host.volumes.list()} == {"hung", "well"}
            assert host.volumes.get("hung").name == "hung"
    finally:
        fuse.close()


def test_a_hung_mount_where_a_volume_belongs_is_refused_and_not_waited_for(host: Host) -> None:
    fuse = HungFuse(host.home / "var/lib/volumes/hung")
    try:
        with at_most(ALL_RIGHT), pytest.raises((InUse, TimedOut)):
            host.mount("hung")
        assert [path for _, path in devices_of(host.root) if "hung" in path] == []
        check_others(host)
    finally:
        fuse.close()


def test_when_the_server_of_a_mounted_volume_dies_everything_of_it_ends(host: Host, server: Server) -> None:
    host.mount("hung")
    server.stop()
    check_fails(DEADLINE * 2 + 3, TimedOut, lambda: host.unmount("hung"))
    server.die()
    with at_most(15):
        while mount_at(host.home / "var/lib/volumes/hung"):
            with contextlib.suppress(RexrayError, OSError):
                host.unmount("hung")
            time.sleep(0.1)
    give_up(host)
    assert host.in_use() == NOTHING
    assert host.read("hung") == "precious", "what is below is the volume's file from before the server"
