"""The node driver on made trees of sysfs, /dev and /etc, with small programs in the place of open-iscsi's."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from rexray import child
from rexray.errors import (
    InvalidRequest,
    NotReady,
    SettingsError,
    TimedOut,
    Unauthorized,
    Unavailable,
    Unsupported,
    WrongDevice,
)
from rexray.settings import Secret, Sources
from rexray.types import Attachment, BlockDevice, Device, DeviceIdentity, InstanceId, VolumeId
from rexray_driver_xtremio.node import XtremIoNode, viability
from rexray_driver_xtremio.settings import XtremIoSettings
from sysfs_parts import IQN, MIB, NAA, TARGET, Host

OTHER = "514f0c5e38800002"
VOLUME = VolumeId("24.5a8c1b2e")
SECRET = "twelve-secrets"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("REXRAY_HOME", str(tmp_path / "home"))
    made = Host(tmp_path / "host")
    monkeypatch.setenv("PATH", f"{made.root / 'bin'}:{os.environ['PATH']}")
    return made


def attached(naa: str = NAA, **fields: str) -> Attachment:
    said = {"lun": "1", "portals": "10.0.0.1:3260", "targets": TARGET, **fields}
    return Attachment(volume_id=VOLUME, instance_id=IQN, token=naa, fields={k: v for k, v in said.items() if v})


FC = attached(portals="", targets="")


# The host


def test_the_instance(host: Host) -> None:
    instance = host.node(max_volumes=7).instance()
    assert (instance.id, instance.provider, instance.max_volumes) == (IQN, "xtremio", 7)
    assert host.node(initiator="iqn.2001-04.com.example:x").instance().id == "iqn.2001-04.com.example:x"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "install the package open-iscsi, or set xtremio.initiator"),
        ("#InitiatorName=iqn.1993-08.org.debian:01:abc\nGenerateName=yes\n", "has no line InitiatorName="),
        ("InitiatorName=debian\n", "'debian' is no name of an initiator"),
    ],
)
def test_a_host_without_an_initiator_is_told_what_to_do(host: Host, content: str | None, said: str) -> None:
    file = host.etc / "iscsi/initiatorname.iscsi"
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=said):
        host.node().instance()


def test_a_remote_host(host: Host) -> None:
    host.disk("sda")
    away = XtremIoNode(XtremIoSettings(initiator=IQN), remote=True, sys=host.sys, dev=host.dev, etc=host.etc)
    assert away.instance().id == IQN
    assert (away.devices(), away.next_device()) == ((), "")
    away.disconnect(attached())
    with pytest.raises(NotReady, match="remoteManagement"):
        away.connect(attached(), deadline=1)
    with pytest.raises(SettingsError, match=r"xtremio\.initiator is missing"):
        XtremIoNode(XtremIoSettings(), remote=True).instance()
    environ = {"REXRAY_REMOTEMANAGEMENT": "true", "XTREMIO_INITIATOR": IQN}
    assert XtremIoNode.make(Sources(environ=environ)).instance().id == IQN


def test_settings_are_checked_at_once() -> None:
    with pytest.raises(SettingsError, match=r"xtremio\.maxVolumes"):
        XtremIoNode(XtremIoSettings(max_volumes=-1))


def test_where_the_driver_is_of_use(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare"
    assert viability(sys=bare, etc=host.etc).ok
    refused = viability(sys=host.sys, etc=bare)
    assert not refused.ok
    assert "no iSCSI initiator" in refused.reason
    host.disk("sda", vendor="ATA     ", lun=9)
    assert not viability(sys=host.sys, etc=bare).ok
    host.disk("sdb")
    assert viability(sys=host.sys, etc=bare).ok
    monkeypatch.setenv("GOXTREMIO_ENDPOINT", "https://xms")
    assert viability(sys=bare, etc=bare).ok


# The devices


def test_the_devices_are_the_volumes_not_their_paths_nor_anything_else(host: Host) -> None:
    host.disk("sda", vendor="ATA     ", lun=9)
    host.disk("sdb")
    host.disk("sdc", where="host3/session2")
    host.disk("sdd", OTHER, lun=2)
    host.write("block/sdb/sdb1/partition", "1")
    found = host.node().devices()
    assert found[0] == BlockDevice(
        provider="xtremio",
        instance_id=IQN,
        volume_id=VolumeId(NAA),
        device=str(host.dev / "sdb"),
        status="attached",
        network_name=NAA,
    )
    assert [device.device for device in found[1:]] == [str(host.dev / "sdd")]


@pytest.mark.parametrize("setting", ["multipath", "device_mapper"])
def test_the_multipath_device_is_the_volumes(host: Host, setting: str) -> None:
    host.disk("sdb")
    host.disk("sdc", where="host3/session2")
    assert host.node(**{setting: True}).devices() == ()
    host.map("sdb", "sdc")
    for settings in ({}, {setting: True}):
        assert [device.device for device in host.node(**settings).devices()] == [str(host.dev / "dm-0")]


def test_what_was_connected_goes_by_its_own_id_until_it_is_disconnected(host: Host) -> None:
    host.disk("sdb", where="host2/rport-2:0-1")
    host.write("class/fc_host/host2/port_name", "0x1")
    host.node().connect(FC, deadline=5)
    assert [device.volume_id for device in host.node().devices()] == [VOLUME]
    known = Attachment(volume_id=VOLUME, instance_id=IQN)
    device = host.sys / "class/scsi_device/2:0:0:1"
    device.rename(host.root / "gone")
    host.node().disconnect(known)
    (host.root / "gone").rename(device)
    assert [device.volume_id for device in host.node().devices()] == [NAA]


def test_a_disk_that_comes_and_goes_while_the_disks_are_read_is_no_obstacle(host: Host) -> None:
    host.disk("sdb")
    host.disk("sdc", OTHER, lun=2)
    link, ended = host.sys / "class/scsi_device/2:0:0:2/device", threading.Event()
    target = link.readlink()

    def come_and_go() -> None:
        while not ended.is_set():
            link.unlink()
            link.symlink_to(target)

    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(come_and_go)
        try:
            for _ in range(300):
                assert NAA in [device.network_name for device in host.node().devices()]
        finally:
            ended.set()
        work.result()


@pytest.mark.needs("root")
def test_a_disk_that_goes_while_it_is_looked_who_uses_it_is_disconnected(host: Host) -> None:
    host.disk("sdb")
    os.mknod(host.dev / "sdb", stat.S_IFBLK | 0o600, os.makedev(259, 250))
    number = host.sys / "dev/block/259:250/dev"
    number.parent.mkdir(parents=True)
    os.mkfifo(number)  # which is read after the node was seen, and before it is looked at again

    def go() -> None:
        with number.open("w"):
            (host.dev / "sdb").unlink()
            for gone in ("class/scsi_device/2:0:0:1", "devices/host2"):
                shutil.rmtree(host.sys / gone)
            (host.sys / "block/sdb").unlink()

    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(go)
        host.node().disconnect(attached())
        work.result()
    assert host.node().devices() == ()


# Connecting


def test_fibre_channel_needs_a_scan_of_its_ports_alone(host: Host) -> None:
    host.write("class/fc_host/host4/port_name", "0x1")
    for number in (4, 5):
        host.write(f"class/scsi_host/host{number}/scan", "")
    with pytest.raises(TimedOut, match="it has no disk here: see whether the array maps LUN 7"):
        host.node().connect(replace(FC, fields={"lun": "7"}), deadline=0.3)
    assert host.read("class/scsi_host/host4/scan") == "- - 7"
    assert host.read("class/scsi_host/host5/scan") == ""
    with pytest.raises(TimedOut):
        host.node().connect(replace(FC, fields={"lun": "300"}), deadline=0.1)
    assert host.read("class/scsi_host/host4/scan") == f"- - {0x4000 | 300}"
    host.disk("sdb", where="host4/rport-4:0-1", lun=0x4000 + 300)
    found = host.node().connect(replace(FC, fields={"lun": "300"}), deadline=5)
    assert found == Device(identity=DeviceIdentity(wwn=f"naa.{NAA}"))


def test_a_host_that_nothing_leads_to(host: Host) -> None:
    with pytest.raises(NotReady, match="names no iSCSI portal, and this host has no Fibre Channel port"):
        host.node().connect(FC, deadline=5)


def test_only_the_sessions_of_the_attachment_are_scanned(host: Host) -> None:
    host.session()
    host.session(2, 3, target="iqn.2000-01.com.example:other")
    with pytest.raises(TimedOut):
        host.node().connect(attached(), deadline=0.1)
    assert host.read("class/scsi_host/host2/scan") == "0 0 1"
    assert host.read("class/scsi_host/host3/scan") == ""


def test_every_disk_is_read_again(host: Host) -> None:
    host.session()
    host.disk("sdb")
    assert host.node().connect(attached(), deadline=5) == Device(identity=DeviceIdentity(wwn=f"naa.{NAA}"))
    assert host.read("devices/host2/session1/target2:0:0/2:0:0:1/rescan") == "1"
    with pytest.raises(TimedOut, match=f"its device has {64 * MIB} bytes, not {65 * MIB}"):
        host.node().connect(attached(sizeBytes=str(65 * MIB)), deadline=0.2)


def test_another_volume_at_the_lun_is_never_handed_over(host: Host) -> None:
    host.session()
    host.disk("sdb", OTHER)
    with pytest.raises(WrongDevice, match=rf"naa\.{OTHER} at LUN 1.*attach the volume again"):
        host.node().connect(attached(), deadline=5)


def test_a_login_tells_the_password_to_nobody(host: Host) -> None:
    host.iscsiadm(24)
    settings = {"chap_user": "user", "chap_password": Secret(SECRET), "initiator": IQN}
    with pytest.raises(Unauthorized, match=r"xtremio\.chapUser") as refused:
        host.node(**settings).connect(attached(), deadline=5)
    assert SECRET not in str(refused.value) + "".join(host.said())
    record = (host.root / "record").read_text().splitlines()
    assert (record[0], record[-1]) == ("# BEGIN RECORD", "# END RECORD")
    assert {
        "node.startup = manual",
        "node.session.scan = manual",
        "node.session.auth.authmethod = CHAP",
        "node.session.auth.username = user",
        f"node.session.auth.password = {SECRET}",
        f"iface.initiatorname = {IQN}",
    } <= set(record)
    assert len([line for line in record if line.startswith("node.session.auth.authmethod")]) == 1
    file = host.etc / "iscsi/nodes" / TARGET / "10.0.0.1,3260"
    assert file.stat().st_mode & 0o777 == 0o600
    host.node(**settings).disconnect(attached())
    assert list((host.etc / "iscsi/nodes").iterdir()) == []


def test_a_record_that_somebody_else_made_is_used_as_it_is(host: Host) -> None:
    host.iscsiadm(0)
    file = host.etc / "iscsi/nodes" / TARGET / "10.0.0.1,3260"
    file.parent.mkdir(parents=True)
    file.write_text("theirs\n")
    with pytest.raises(NotReady):
        host.node(chap_user="user", chap_password=Secret(SECRET)).connect(attached(), deadline=5)
    host.node().disconnect(attached())
    assert file.read_text() == "theirs\n"


def test_an_address_of_ip_version_6(host: Host) -> None:
    host.iscsiadm(1)
    with pytest.raises(Unavailable, match=r"log in to .* at \[fd00::1\]:3260: iscsiadm: it says no"):
        host.node().connect(attached(portals="[fd00::1]:3260"), deadline=5)
    assert host.said()[0] == f"-m node -T {TARGET} -p [fd00::1]:3260 -o new"


def test_what_does_not_run_is_named(host: Host) -> None:
    host.iscsiadm(20)
    with pytest.raises(Unavailable, match="systemctl start iscsid"):
        host.node().connect(attached(), deadline=5)
    host.program("multipathd", "#!/bin/sh\nexit 1\n")
    with pytest.raises(NotReady, match="systemctl start multipathd"):
        host.node(multipath=True).connect(attached(), deadline=5)


@pytest.mark.parametrize(
    ("program", "package", "multipath"), [("multipathd", "multipath-tools", True), ("iscsiadm", "open-iscsi", False)]
)
def test_what_is_not_installed_is_named(host: Host, program: str, package: str, multipath: bool) -> None:
    if child.find(program) is not None:
        pytest.skip(f"{package} is installed on this host")
    with pytest.raises(Unsupported, match=f"install the package {package}"):
        host.node(multipath=multipath).connect(attached(), deadline=5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (attached("514f0c5e"), "has the token '514f0c5e', not a NAA"),
        (attached(lun=""), "has lun '', not a number"),
        (attached(lun="x"), "has lun 'x', not a number"),
        (attached(sizeBytes="1.5"), "has sizeBytes '1.5', not a number"),
        (attached(targets=""), "has 1 portals and 0 targets"),
        (attached(portals="10.0.0.1"), "no iSCSI portal such as"),
        (attached(targets="../../etc"), "no iSCSI portal such as"),
    ],
)
def test_an_attachment_that_makes_no_sense(host: Host, wrong: Attachment, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        host.node().connect(wrong, deadline=5)


def test_another_hosts_attachment_is_no_business_of_this_one(host: Host) -> None:
    theirs = replace(attached(), instance_id=InstanceId("iqn.1993-08.org.debian:01:def"))
    with pytest.raises(NotReady, match=r"is to 'iqn\.1993-08\.org\.debian:01:def', and this is"):
        host.node().connect(theirs, deadline=5)
    host.disk("sdb")
    host.node().disconnect(theirs)
    assert host.read("devices/host2/session1/target2:0:0/2:0:0:1/delete") == ""


def test_case_makes_no_other_initiator(host: Host) -> None:
    host.session()
    host.disk("sdb")
    shouted = replace(attached(), instance_id=InstanceId(IQN.upper()))
    assert host.node().connect(shouted, deadline=5) == Device(identity=DeviceIdentity(wwn=f"naa.{NAA}"))
    with pytest.raises(Unavailable, match=r"cannot flush .*sdb: No such file"):
        host.node().disconnect(shouted)
    assert host.read("devices/host2/session1/target2:0:0/2:0:0:1/delete") == ""


@pytest.mark.parametrize("setting", ["10.0.0.2", "10.0.0.2:3260", "[FD00:0:0:0:0:0:0:2]:3260", "[fd00::2]", "fd00::2"])
def test_only_the_portals_of_the_setting_are_used(host: Host, setting: str) -> None:
    host.iscsiadm(1)
    second = "10.0.0.2:3260" if "." in setting else "[fd00:0::2]:3260"
    offered = attached(portals=f"10.0.0.1:3260,{second}", targets=f"{TARGET},{TARGET}")
    with pytest.raises(Unavailable, match="log in to"):
        host.node(portals=(setting,)).connect(offered, deadline=5)
    assert {line.split()[5] for line in host.said()} == {second.replace("fd00:0::", "fd00::")}


def test_portals_that_the_array_does_not_have(host: Host) -> None:
    host.iscsiadm(0)
    with pytest.raises(SettingsError, match=r"none of 10\.0\.0\.9, 10\.0\.0\.1:3261 is among .* 10\.0\.0\.1:3260:"):
        host.node(portals=("10.0.0.9", "10.0.0.1:3261")).connect(attached(), deadline=5)
    with pytest.raises(SettingsError, match=r"xtremio\.portals: '10\.0\.0\.1:x' is no portal such as"):
        host.node(portals=("10.0.0.1:x",)).connect(attached(), deadline=5)
    assert host.said() == []
    with pytest.raises(NotReady, match="no Fibre Channel port"):
        host.node(portals=("10.0.0.9",)).connect(FC, deadline=5)


def test_a_record_that_iscsiadm_does_not_see_is_no_obstacle(host: Host) -> None:
    """iscsiadm looks into one folder, and what an earlier installation left is in the other."""
    host.iscsiadm(1)
    stale = host.root / "var/lib/iscsi/nodes" / TARGET / "10.0.0.1,3260,1"
    stale.mkdir(parents=True)
    with pytest.raises(Unavailable, match="it says no"):
        host.node().connect(attached(), deadline=5)
    assert [line.split()[-1] for line in host.said()] == ["--login", "new", "--login"]
    assert "node.startup = manual" in (host.root / "record").read_text()
    host.node().disconnect(attached())
    assert list((host.etc / "iscsi/nodes").iterdir()) == []
    assert stale.exists()


@pytest.mark.parametrize("status", [0, 20, 21])
def test_a_session_that_does_not_end_stays_noted(host: Host, status: int) -> None:
    host.iscsiadm(1)
    with pytest.raises(Unavailable):
        host.node().connect(attached(), deadline=5)
    host.session()
    (host.root / "logout").write_text(str(status))
    for _ in range(2):
        host.node().disconnect(attached())
        assert host.said()[-1] == "-m session -r 1 --logout"
        assert (host.etc / "iscsi/nodes" / TARGET / "10.0.0.1,3260").exists()
    (host.sys / "class/iscsi_session/session1").unlink()
    host.node().disconnect(attached())
    assert list((host.etc / "iscsi/nodes").iterdir()) == []


def test_a_session_with_any_device_is_kept(host: Host) -> None:
    host.iscsiadm(1)
    with pytest.raises(Unavailable):
        host.node().connect(attached(), deadline=5)
    host.session()
    host.write("devices/host2/session1/target2:0:0/2:0:0:5/type", "1")
    host.node().disconnect(attached())
    assert not [line for line in host.said() if "--logout" in line]
    assert (host.etc / "iscsi/nodes" / TARGET / "10.0.0.1,3260").exists()


def test_what_another_program_made_of_the_record_is_no_longer_ours(host: Host) -> None:
    host.iscsiadm(1)
    with pytest.raises(Unavailable):
        host.node().connect(attached(), deadline=5)
    host.session()
    file = host.etc / "iscsi/nodes" / TARGET / "10.0.0.1,3260"
    file.write_text("theirs\n")
    host.node().disconnect(attached())
    assert not [line for line in host.said() if "--logout" in line]
    assert file.read_text() == "theirs\n"


def test_the_mapped_device_that_is_asked_for_and_nobody_makes(host: Host) -> None:
    host.session()
    host.disk("sdb")
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"it has no multipath device, and xtremio\.multipath or"):
        host.node(device_mapper=True).connect(attached(), deadline=0.3)
    assert time.monotonic() - started < 3
    host.map("sdb", uuid="LVM-3")
    with pytest.raises(TimedOut):
        host.node(device_mapper=True).connect(attached(), deadline=0.1)
    (host.sys / "block/dm-0/dm/uuid").write_text(f"mpath-3{NAA}\n")
    host.node(device_mapper=True).connect(attached(), deadline=5)


def test_who_disconnects_waits_for_a_killed_ones_login(host: Host) -> None:
    """What logs in for a process that was killed has to end before anything is judged by the sessions."""
    host.iscsiadm(24)
    node = host.node()
    with pytest.raises(Unauthorized):
        node.connect(attached(), deadline=5)
    (lock,) = host.root.parent.joinpath("home").rglob("logins.lock")
    orphan = subprocess.Popen(["flock", str(lock), "sleep", "1"])
    while subprocess.run(["flock", "--nonblock", str(lock), "true"], check=False).returncode == 0:
        time.sleep(0.02)
    started = time.monotonic()
    node.disconnect(attached())
    assert time.monotonic() - started > 0.3
    assert orphan.wait() == 0
