"""Volumes as devices of this host over real sessions: the kernel's target and initiator, iscsid and multipathd."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lio_parts import IQN, MIB, RECORDS, Array, Host, die_at, disks, maps, records, run, sessions, wait_until
from rexray.errors import InUse, Unauthorized, Unavailable, WrongDevice
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
    for target in array.targets:
        target.cut()
    states = [Path("/sys/class/iscsi_session") / name / "state" for name in os.listdir("/sys/class/iscsi_session")]
    wait_until(lambda: all(state.read_text().strip() != "LOGGED_IN" for state in states))
    started = time.monotonic()
    here.node.disconnect(attachment)
    assert time.monotonic() - started < 20
    assert nothing_is_left()


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
    here.node.disconnect(bare)
    assert nothing_is_left()


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
