"""Volumes as devices of this host over real sessions: the kernel's target and initiator, iscsid and multipathd."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lio_parts import (
    IQN,
    MIB,
    RECORDS,
    Array,
    Disk,
    Host,
    Target,
    die_at,
    disks,
    maps,
    records,
    run,
    sessions,
    wait_until,
)
from rexray.errors import Busy, InUse, TimedOut, Unauthorized, Unavailable, WrongDevice
from rexray.settings import Secret
from rexray.types import Attachment, InstanceId
from rexray_driver_xtremio.settings import XtremIoSettings

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("iscsi")]
CONF = """
defaults {{
    find_multipaths {find}
    polling_interval 1
    max_polling_interval 2
    no_path_retry queue
}}
blacklist {{
    devnode "^(loop|ubd|nbd)"
}}
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Array:
    """The array and the daemons, set up once: the guest ends with them."""
    Path("/run/lock").mkdir(exist_ok=True)
    Path("/etc/iscsi/initiatorname.iscsi").write_text(f"InitiatorName={IQN}\n")
    conf = Path("/etc/iscsi/iscsid.conf")
    text = conf.read_text()
    for name in ("interval", "timeout"):
        text = text.replace(f"noop_out_{name} = 5", f"noop_out_{name} = 1")
    conf.write_text(text)
    RECORDS.mkdir(exist_ok=True, mode=0o700)
    run("iscsid")
    array = Array(tmp_path_factory.mktemp("array"))
    find_multipaths("strict")
    run("multipathd")
    wait_until(lambda: run("multipathd", "show", "daemon", fine=(0, 1)).startswith("pid"))
    return array


@pytest.fixture
def array(network: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Array]:
    """The same with nothing mapped, and afterwards nothing of it left on this host."""
    monkeypatch.setenv("REXRAY_HOME", str(tmp_path / "home"))
    yield network
    for target in network.targets:
        target.restore()
        target.require("", "")
    for lun in network.luns():
        network.unmap(lun)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    run("umount", path, fine=(0, 32))


def find_multipaths(how: str) -> None:
    """Which disks multipathd makes a device over by itself: ``strict`` none that it was not told of, ``yes`` pairs."""
    Path("/etc/multipath.conf").write_text(CONF.format(find=how))
    Path("/etc/multipath").mkdir(exist_ok=True)


def host(**settings: object) -> Host:
    return Host(XtremIoSettings(**settings))  # type: ignore[arg-type] # a test's word


def nothing_is_left() -> bool:
    return not (disks() or maps() or sessions() or records())


@pytest.mark.parametrize("how", ["raw", "multipath", "mapper"])
def test_what_is_written_is_there_when_it_is_connected_again(array: Array, place: Path, how: str) -> None:
    if how == "mapper":
        find_multipaths("yes")
        run("multipathd", "reconfigure")
    here = host(multipath=how == "multipath", device_mapper=how == "mapper")
    disk = array.disk(f"again-{how}")
    array.map(disk, 1)
    attachment = array.attachment(disk, 1, size=64 * MIB)
    device = here.connect(attachment)
    assert len(disks()) == 2
    assert device.name == ("sda" if how == "raw" else "dm-0")
    assert here.connect(attachment) == device
    here.mount(device, place)
    assert [mount.source for mount in here.os.mounts(target=place)] == [str(device)]
    found = here.devices()[f"id-again-{how}"]
    assert (found.device, found.network_name, found.instance_id) == (str(device), disk.naa, IQN)
    (place / "file").write_text("written")
    with pytest.raises(InUse, match=str(place)):
        here.node.disconnect(attachment)
    assert (place / "file").read_text() == "written"
    here.os.unmount(place)
    here.node.disconnect(attachment)
    assert nothing_is_left()
    here.node.disconnect(attachment)
    here.mount(here.connect(attachment), place)
    assert (place / "file").read_text() == "written"
    here.os.unmount(place)
    here.node.disconnect(Attachment(volume_id=attachment.volume_id, instance_id=InstanceId(IQN)))
    assert nothing_is_left()
    assert here.devices() == {}
    if how == "mapper":
        find_multipaths("strict")
        run("multipathd", "reconfigure")


def test_a_path_is_cut_while_a_program_writes(array: Array, place: Path) -> None:
    here, disk = host(multipath=True), array.disk("cut")
    array.map(disk, 1)
    attachment = array.attachment(disk, 1)
    device = here.connect(attachment)
    here.mount(device, place)
    written: list[float] = []
    stop = threading.Event()

    def write() -> None:
        with (place / "log").open("wb") as file:
            while not stop.is_set():
                file.write(b"%08d" % len(written) * 512)
                os.fsync(file.fileno())
                written.append(time.monotonic())
                stop.wait(0.02)  # the disk is small, and the path takes its time to come back

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: len(written) > 3)
    array.targets[1].cut()
    wait_until(lambda: "failed" in run("multipathd", "show", "paths", "format", "%d %t"))
    done = len(written)
    wait_until(lambda: len(written) > done + 3)
    array.targets[1].restore()
    wait_until(lambda: "failed" not in run("multipathd", "show", "paths", "format", "%d %t"), 30)
    stop.set()
    writer.join()
    here.os.unmount(place)
    here.node.disconnect(attachment)
    assert nothing_is_left()
    here.mount(here.connect(attachment), place)
    assert (place / "log").read_bytes() == b"".join(b"%08d" % number * 512 for number in range(len(written)))
    here.os.unmount(place)
    here.node.disconnect(attachment)


@pytest.mark.parametrize("how", ["raw", "multipath"])
def test_what_cannot_be_reached_any_more_goes_away_all_the_same(array: Array, how: str) -> None:
    """With every request queued where there is multipath, and for 120 s where there is none."""
    here, disk = host(multipath=how == "multipath"), array.disk(f"dead-{how}")
    array.map(disk, 1)
    attachment = array.attachment(disk, 1)
    here.connect(attachment)
    cut(array)
    started = time.monotonic()
    here.node.disconnect(attachment)
    assert time.monotonic() - started < 20
    assert nothing_is_left()


WRITTEN = b"PRECIOUS" * 4096
WRITER = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
os.write(fd, b"PRECIOUS" * 4096)
print("written", flush=True)
sys.stdin.readline()
os.close(fd)
"""


@contextlib.contextmanager
def dirty(device: Path) -> Iterator[None]:
    """Within it the device has data that was written and has not arrived; afterwards nobody has it open.

    The last one that closes it waits in the kernel until the data arrives: that is a thread.
    """
    last = os.open(device, os.O_RDONLY)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(device)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        yield
        writer.stdin.close()
        assert writer.wait(10) == 0
    threading.Thread(target=os.close, args=(last,)).start()


def test_what_was_written_during_an_outage_arrives_before_the_device_goes(array: Array) -> None:
    here, disk = host(), array.disk("outage")
    array.map(disk, 1)
    attachment = array.attachment(disk, 1)
    with dirty(here.connect(attachment)):
        cut(array)
    with pytest.raises(TimedOut):
        here.node.disconnect(attachment)
    assert len(disks()) == 2
    for target in array.targets:
        target.restore()
    wait_until(lambda: has_arrived(disk), 40)
    wait_until(lambda: disconnected(here, attachment))
    assert nothing_is_left()


def test_a_path_that_is_left_dirty_is_not_given_up_for_another_one(array: Array) -> None:
    """Each path has a cache of its own, and that of the one that works knows nothing of what was written to this."""
    here, disk = host(), array.disk("dirty")
    array.map(disk, 1)
    attachment = array.attachment(disk, 1)
    device = here.connect(attachment)
    (target,) = (target for target in array.targets if target.iqn == target_of(device))
    with dirty(device):
        cut(array, target)
    with pytest.raises(TimedOut):
        here.connect(attachment, deadline=8)
    assert device.name in disks()
    target.restore()
    wait_until(lambda: has_arrived(disk), 40)
    wait_until(lambda: disconnected(here, attachment))
    assert nothing_is_left()


def test_what_was_written_to_a_volume_that_the_array_took_away_holds_nothing_up(array: Array) -> None:
    here, disk = host(), array.disk("taken")
    array.map(disk, 1)
    attachment = array.attachment(disk, 1)
    device = here.connect(attachment)
    with dirty(device):
        array.unmap(1)
    here.node.disconnect(attachment)
    assert nothing_is_left()


def cut(array: Array, *targets: Target) -> None:
    """Cut off portals, all if none is named, and wait until their sessions are found to be dead."""
    named = targets or tuple(array.targets)
    for target in named:
        target.cut()
    iqns = {target.iqn for target in named}
    found = [Path("/sys/class/iscsi_session") / name for name in os.listdir("/sys/class/iscsi_session")]
    states = [entry / "state" for entry in found if (entry / "targetname").read_text().strip() in iqns]
    wait_until(lambda: all(state.read_text().strip() != "LOGGED_IN" for state in states))


def target_of(device: Path) -> str:
    """The target that a disk is a path to."""
    home = Path(os.path.realpath(f"/sys/block/{device.name}/device")).parents[1]
    return (home / "iscsi_session" / home.name / "targetname").read_text().strip()


def has_arrived(disk: Disk) -> bool:
    """Whether the array has what was written."""
    return disk.file.read_bytes().startswith(WRITTEN)


def disconnected(here: Host, attachment: Attachment) -> bool:
    """Whether it can be disconnected: an earlier attempt may still hang."""
    try:
        here.node.disconnect(attachment)
    except (Busy, InUse, TimedOut):
        return False
    return True


def test_one_portal_that_works_is_enough(array: Array, place: Path) -> None:
    here, disk = host(), array.disk("one")
    array.map(disk, 1)
    attachment = array.attachment(disk, 1)
    array.targets[0].cut()
    device = here.connect(attachment)
    assert sessions() == [array.targets[1].iqn]
    array.targets[0].restore()
    assert here.connect(attachment) == device
    assert len(disks()) == 2
    here.node.disconnect(attachment)
    assert nothing_is_left()
    for target in array.targets:
        target.cut()
    with pytest.raises(Unavailable, match="cannot log in to iqn"):
        here.connect(attachment)
    here.node.disconnect(attachment)
    assert nothing_is_left()


def test_a_volume_goes_and_the_other_one_on_its_sessions_stays(array: Array, place: Path) -> None:
    here = host(multipath=True)
    first, second = array.disk("first"), array.disk("second")
    for lun, disk in enumerate((first, second), 1):
        array.map(disk, lun)
    gone, stays = array.attachment(first, 1), array.attachment(second, 2)
    here.connect(gone)
    assert list(here.devices()) == ["id-first"]
    here.mount(here.connect(stays), place)
    array.unmap(1)
    here.node.disconnect(gone)
    assert len(sessions()) == len(disks()) == 2
    assert list(here.devices()) == ["id-second"]
    (place / "file").write_bytes(os.urandom(MIB))
    os.sync()
    here.os.unmount(place)
    here.node.disconnect(stays)
    assert nothing_is_left()


@pytest.mark.parametrize("how", ["raw", "multipath"])
def test_an_earlier_volume_at_the_same_lun_is_never_handed_over(array: Array, place: Path, how: str) -> None:
    here = host(multipath=how == "multipath")
    old, new = array.disk(f"old-{how}"), array.disk(f"new-{how}")
    array.map(old, 1)
    before = array.attachment(old, 1)
    device = here.connect(before)
    array.unmap(1)
    array.map(new, 1)
    now = array.attachment(new, 1)
    with device.open("rb"), pytest.raises(WrongDevice, match=r"is open in pid .*nothing was done"):
        here.connect(now)
    here.connect(now)
    wwids = {Path("/sys/block", name, "device/wwid").read_text().strip() for name in disks()}
    assert wwids == {f"naa.{new.naa}"}
    if how == "raw":
        with pytest.raises(WrongDevice, match="attach the volume again"):
            here.connect(before)
        here.connect(now)
        array.unmap(1)
        array.map(new, 3)
        here.connect(array.attachment(new, 3))
        assert {os.path.realpath(f"/sys/block/{name}/device").split(":")[-1] for name in disks()} == {"3"}
    here.node.disconnect(now)
    assert nothing_is_left()


def test_a_login_with_chap(array: Array) -> None:
    disk = array.disk("chap")
    array.map(disk, 1)
    for target in array.targets:
        target.require("user", "twelve-secrets")
    attachment = array.attachment(disk, 1)
    for settings in ({}, {"chap_user": "user", "chap_password": Secret("not-the-secret")}):
        with pytest.raises(Unauthorized, match=r"xtremio\.chapUser") as refused:
            host(**settings).connect(attachment)
        assert "secret" not in str(refused.value)
    here = host(chap_user="user", chap_password=Secret("twelve-secrets"))
    here.connect(attachment)
    assert len(disks()) == 2
    assert {(RECORDS / record).stat().st_mode & 0o777 for record in records()} == {0o600}
    here.node.disconnect(attachment)
    assert nothing_is_left()


@pytest.mark.parametrize("how", ["raw", "multipath"])
def test_a_volume_grows_while_it_is_mounted(array: Array, place: Path, how: str) -> None:
    here, disk = host(multipath=how == "multipath"), array.disk(f"grow-{how}")
    array.map(disk, 1)
    attachment = array.attachment(disk, 1, size=64 * MIB)
    device = here.connect(attachment)
    here.mount(device, place)
    (place / "file").write_text("written")
    array.grow(disk, 96 * MIB)
    assert here.connect(replace(attachment, fields={**attachment.fields, "sizeBytes": ""})) == device
    sizes = {int(Path("/sys/block", name, "size").read_text()) for name in (*disks(), device.name)}
    assert sizes == {96 * MIB // 512}
    array.grow(disk, 128 * MIB)
    here.connect(replace(attachment, fields={**attachment.fields, "sizeBytes": str(128 * MIB)}))
    run("resize2fs", device)
    assert here.os.filesystem_stats(place).total_bytes > 100 * MIB
    assert (place / "file").read_text() == "written"
    here.os.unmount(place)
    here.node.disconnect(attachment)
    assert nothing_is_left()


def test_killed_anywhere_it_is_taken_up_again(array: Array) -> None:
    here, disk = host(multipath=True), array.disk("killed")
    array.map(disk, 1)
    attachment = array.attachment(disk, 1)
    bare = replace(attachment, token="", fields={})
    for point in ("record-made", "logged-in", "scanned"):
        die_at(here, f"xtremio-{point}", "connect", attachment)
        here.node.disconnect(bare)
        assert nothing_is_left(), point
    die_at(here, "xtremio-login-noted", "connect", attachment)
    for point in ("map-removed", "path-removed", "logged-out"):
        here.connect(attachment)
        assert (len(disks()), len(maps())) == (2, 1)
        die_at(here, f"xtremio-{point}", "disconnect", attachment)

    def is_taken_up() -> bool:
        here.node.disconnect(bare)
        return nothing_is_left()

    wait_until(is_taken_up)  # an iscsiadm of the killed process may still hold what is left for the next time


def test_somebody_elses_sessions_and_records_are_left_alone(array: Array) -> None:
    here, disk = host(), array.disk("ours")
    array.map(disk, 1)
    theirs = array.other
    named = ("iscsiadm", "-m", "node", "-T", theirs.iqn, "-p", f"{theirs.address}:3260")
    known = ("iscsiadm", "-m", "node", "-T", array.targets[0].iqn, "-p", f"{array.targets[0].address}:3260")
    run(*named, "-o", "new")
    run(*named, "--login")
    run(*known, "-o", "new")
    kept = records()
    attachment = array.attachment(disk, 1)
    here.connect(attachment)
    assert len(sessions()) == 3
    here.node.disconnect(attachment)
    assert sessions() == [theirs.iqn]
    assert records() == kept
    run(*named, "--logout")
    for words in (named, known):
        with contextlib.suppress(AssertionError):
            run(*words, "-o", "delete")
    assert nothing_is_left()


def test_what_an_administrator_made_after_a_kill_is_left_alone(array: Array) -> None:
    here, disk = host(), array.disk("admin")
    array.map(disk, 1)
    attachment = array.attachment(disk, 1)
    first, second = (
        replace(attachment, fields={**attachment.fields, "portals": f"{target.address}:3260", "targets": target.iqn})
        for target in array.targets
    )
    theirs = array.targets[1]
    named = ("iscsiadm", "-m", "node", "-T", theirs.iqn, "-p", f"{theirs.address}:3260")
    for point in ("login-noted", "record-made", "logged-in"):
        die_at(here, f"xtremio-{point}", "connect", second)
        if point == "logged-in":
            run(*named, "--logout")
        array.unmap(1)
        run(*named, "-o", "new")
        run(*named, "-o", "update", "-n", "node.startup", "-v", "automatic")
        run(*named, "--login")
        for name in disks():
            Path("/sys/block", name, "device/delete").write_text("1")
        kept = records()
        array.map(disk, 1)
        here.connect(first)
        here.node.disconnect(first)
        assert (point, sessions(), records()) == (point, [theirs.iqn], kept)
        run(*named, "--logout")
        run(*named, "-o", "delete")
        assert nothing_is_left()


def test_without_iscsid_the_sessions_are_left_for_a_later_disconnect(array: Array) -> None:
    here, disk = host(), array.disk("daemon")
    array.map(disk, 1)
    attachment = array.attachment(disk, 1)
    here.connect(attachment)
    daemons = [name for name in os.listdir("/proc") if name.isdigit() and command(name) == "iscsid"]
    for pid in daemons:
        with contextlib.suppress(ProcessLookupError):  # one of them ends with the other
            os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: not any(command(pid) for pid in daemons))
    kept = records()
    for _ in range(2):
        started = time.monotonic()
        here.node.disconnect(attachment)
        assert time.monotonic() - started < 10
        assert disks() == []
        assert len(sessions()) == len(kept) == 2
        assert records() == kept
    run("iscsid")
    wait_until(lambda: gone(here, attachment))


def test_a_lun_above_255_is_found_without_the_others(array: Array) -> None:
    here, low, high = host(), array.disk("low"), array.disk("high")
    array.map(low, 1)
    array.map(high, 300)
    attachment = array.attachment(high, 300)
    here.connect(attachment)
    assert list(here.devices()) == ["id-high"]
    assert len(disks()) == 2
    here.node.disconnect(attachment)
    assert nothing_is_left()


def test_a_record_in_a_folder_that_iscsiadm_does_not_look_into(array: Array) -> None:
    here, disk = host(), array.disk("stale")
    array.map(disk, 1)
    attachment = array.attachment(disk, 1)
    folder = Path("/var/lib/iscsi/nodes")
    for target in array.targets:
        place = folder / target.iqn / f"{target.address},3260,1"
        place.mkdir(parents=True)
        (place / "default").write_text("# BEGIN RECORD\nnode.name = x\n# END RECORD\n")
    here.connect(attachment)
    assert len(disks()) == 2
    here.node.disconnect(attachment)
    assert nothing_is_left()
    shutil.rmtree(folder)


def gone(here: Host, attachment: Attachment) -> bool:
    """Whether one more disconnect leaves nothing: iscsid takes up its sessions some time after it has begun."""
    here.node.disconnect(attachment)
    return nothing_is_left()


def command(pid: str) -> str:
    """The name of a process's program; empty if it has ended."""
    try:
        return Path("/proc", pid, "comm").read_text().strip()
    except OSError:
        return ""
