"""The node driver on made trees of sysfs and /dev with a made drv_cfg, and on a loop device as a volume."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from rexray.errors import (
    InUse,
    InvalidRequest,
    NotReady,
    RexrayError,
    SettingsError,
    TimedOut,
    Unavailable,
    Unsupported,
    WrongDevice,
)
from rexray.settings import Sources
from rexray.types import Attachment, BlockDevice, Device, DeviceIdentity, InstanceId, VolumeId
from rexray_driver_scaleio.node import ScaleIoNode
from rexray_driver_scaleio.sdc import guid_of
from rexray_driver_scaleio.settings import ScaleIoSettings

GUID = "F1E7B4A2-6AF7-4DB2-B6D5-5C5D7E0A2B11"
SYSTEM, OTHER_SYSTEM = "14dbbf5617523654", "62a34bc20b360b1c"
SDC = "d0f055a700000000"
VOLUME, OTHER_VOLUME = "694a2d140000000b", "694a2d140000000c"
GIB = 1 << 30
LINK = f"emc-vol-{SYSTEM}-{VOLUME}"
NUMBER, OTHER_NUMBER = "251:0", "251:16"

_SCRIPT = """#!/bin/sh
cd {folder} || exit 9
echo "$*" >> calls
case $1 in
--query_block_device_id) answer=./$1.${{3##*/}} ;;
*) answer=./$1 ;;
esac
[ -f "$answer.run" ] && . "$answer.run"
[ -f "$answer" ] || {{ echo "Unknown option $1" >&2; exit 1; }}
cat "$answer"
"""


class Host:
    """A sysfs, a /dev and a drv_cfg in a directory."""

    def __init__(self, root: Path) -> None:
        self.sys, self.dev, self.sdc = root / "sys", root / "dev", root / "sdc"
        for folder in (self.dev / "disk/by-id", self.sys / "block", self.sys / "dev/block", self.sdc):
            folder.mkdir(parents=True)
        self.drv_cfg = self.sdc / "drv_cfg"
        self.drv_cfg.write_text(_SCRIPT.format(folder=shlex.quote(str(self.sdc))))
        self.drv_cfg.chmod(0o755)
        self.says("query_guid", GUID.lower())
        self.has_systems(SYSTEM)
        self.has_volumes()
        self.says("rescan", "Calling kernel module to refresh MDM configuration information")

    def says(self, option: str, text: str) -> None:
        (self.sdc / f"--{option}").write_text(f"{text}\n")

    def does(self, option: str, shell: str) -> None:
        """What drv_cfg does before it answers."""
        (self.sdc / f"--{option}.run").write_text(f"{shell}\n")

    def lacks(self, option: str) -> None:
        (self.sdc / f"--{option}").unlink()

    def has_systems(self, *systems: str, option: str = "query_mdms") -> None:
        rest = "INSTALLATION ID 204930df2cbcaf8e IPs [0]-192.0.2.1 [1]-192.0.2.2"
        lines = [f"MDM-ID {system} SDC ID {SDC[:-1]}{number} {rest}" for number, system in enumerate(systems)]
        self.says(option, "\n".join([f"Retrieved {len(systems)} mdm(s)", *lines]))

    def has_volumes(self, *volumes: tuple[str, str]) -> None:
        lines = [f"VOL-ID {volume} MDM-ID {system}" for system, volume in volumes]
        self.says("query_vols", "\n".join([f"Retrieved {len(volumes)} volume(s)", *lines]))

    def calls(self, option: str) -> int:
        calls = self.sdc / "calls"
        return calls.read_text().count(f"--{option}") if calls.exists() else 0

    def disk(self, name: str, number: str = NUMBER, size: int = 8 * GIB) -> Path:
        """A disk of the kernel's with its node."""
        folder = self.sys / "devices" / name
        folder.mkdir(parents=True)
        (folder / "dev").write_text(f"{number}\n")
        (folder / "size").write_text(f"{size // 512}\n")
        (self.sys / "block" / name).symlink_to(folder)
        (self.sys / "dev/block" / number).symlink_to(folder)
        os.mknod(self.dev / name, stat.S_IFBLK | 0o600, os.makedev(*map(int, number.split(":"))))
        return self.dev / name

    def tells(self, name: str, system: str = SYSTEM, volume: str = VOLUME) -> None:
        """drv_cfg knows whose disk it is."""
        self.says(f"query_block_device_id.{name}", f"{system}-{volume}")

    def link(self, name: str, link: str = LINK) -> None:
        (self.dev / "disk/by-id" / link).symlink_to(f"../../{name}")

    def hold(self, name: str, holder: str = "dm-0") -> None:
        (self.sys / "devices" / name / "holders" / holder).mkdir(parents=True)

    def node(self, *, remote: bool = False, **settings: object) -> ScaleIoNode:
        chosen = {"drv_cfg": str(self.drv_cfg), **settings}
        return ScaleIoNode(ScaleIoSettings(**chosen), remote=remote, sys=self.sys, dev=self.dev)  # type: ignore[arg-type] # a test's word


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def attached(*, to: str = GUID, system: str = SYSTEM, size: int | str = "", volume: str = VOLUME) -> Attachment:
    fields = {key: str(value) for key, value in (("systemId", system), ("sizeBytes", size)) if value}
    return Attachment(volume_id=VolumeId(volume), instance_id=InstanceId(to), token=volume, fields=fields)


def ids(node: ScaleIoNode) -> dict[str, str]:
    return {device.volume_id: os.path.basename(device.device) for device in node.devices()}


BY_LINK = Device(identity=DeviceIdentity(link=LINK))


# The instance


def test_the_instance_is_the_sdc(host: Host) -> None:
    found = host.node(max_volumes=5).instance()
    assert (found.id, found.provider, found.zone, found.max_volumes) == (GUID, "scaleio", SYSTEM, 5)
    assert found.fields == {"sdcId": SDC}


def test_the_guid_is_asked_for_once_and_the_setting_wins(host: Host) -> None:
    node = host.node()
    assert node.instance() == node.instance()
    assert host.calls("query_guid") == 1
    assert host.node(guid=GUID.lower().replace("f1e7", "aaaa")).instance().id == GUID.replace("F1E7", "AAAA")
    assert host.calls("query_guid") == 1


@pytest.mark.parametrize("systems", [(), (SYSTEM, OTHER_SYSTEM)])
def test_a_host_of_no_system_or_of_several_has_no_zone(host: Host, systems: tuple[str, ...]) -> None:
    host.has_systems(*systems)
    assert (host.node().instance().zone, host.node().instance().fields) == ("", {})


def test_the_configured_system_is_the_zone(host: Host) -> None:
    host.has_systems(SYSTEM, OTHER_SYSTEM)
    found = host.node(system_id=OTHER_SYSTEM.upper()).instance()
    assert (found.zone, found.fields) == (OTHER_SYSTEM, {"sdcId": f"{SDC[:-1]}1"})
    for option in ("query_mdms", "query_mdm"):
        with contextlib.suppress(FileNotFoundError):
            host.lacks(option)
    found = host.node(system_id=OTHER_SYSTEM).instance()
    assert (found.zone, found.fields) == (OTHER_SYSTEM, {})


def test_an_older_drv_cfg_is_asked_in_its_words(host: Host) -> None:
    host.lacks("query_mdms")
    host.has_systems(SYSTEM, option="query_mdm")
    assert host.node().instance().zone == SYSTEM


@pytest.mark.parametrize("answer", ["", "no GUID", f"{GUID} more", f"{GUID}\n{GUID}"])
def test_what_is_no_guid_is_not_taken_for_one(host: Host, answer: str) -> None:
    host.says("query_guid", answer)
    with pytest.raises(Unavailable, match="--query_guid tells no GUID"):
        host.node().instance()


def test_a_drv_cfg_that_fails_is_not_believed(host: Host) -> None:
    host.does("query_guid", f"echo {GUID}; echo scini is not loaded >&2; exit 3")
    with pytest.raises(Unavailable, match="scini is not loaded"):
        host.node().instance()


def test_systems_that_cannot_be_asked_for_are_an_error(host: Host) -> None:
    host.lacks("query_mdms")
    with pytest.raises(Unavailable, match="tells no systems: 'Unknown option"):
        host.node().instance()


def test_a_missing_drv_cfg_names_the_setting_and_the_package(host: Host) -> None:
    host.drv_cfg.unlink()
    with pytest.raises(Unsupported, match=r"EMC-ScaleIO-sdc.*scaleio\.drvCfg"):
        host.node().instance()
    assert host.node(guid=GUID).instance().zone == ""


def test_a_modules_node_that_is_none_is_not_believed(host: Host) -> None:
    host.drv_cfg.unlink()
    (host.dev / "scini").symlink_to("/dev/null")
    with pytest.raises(Unsupported, match=r"scini: Inappropriate ioctl.*EMC-ScaleIO-sdc"):
        host.node().instance()


def test_the_modules_answer_is_read() -> None:
    guid = bytes.fromhex(GUID.replace("-", ""))
    assert guid_of(bytes([65, 0, 0, 0, 9, 9, 9, 9]) + guid + bytes(8)) == GUID
    for answer in (b"", bytes([64] + [0] * 7) + guid + bytes(8), bytes([65] + [0] * 7) + guid[:8]):
        with pytest.raises(Unavailable, match="tells no GUID"):
            guid_of(answer)


@pytest.mark.parametrize("system_id", ["my-system", "14DBBF56", f"{SYSTEM}0"])
def test_a_system_that_is_no_id_is_refused(host: Host, system_id: str) -> None:
    with pytest.raises(SettingsError, match=r"scaleio\.systemID"):
        host.node(system_id=system_id)


def test_the_settings_come_from_the_sources(host: Host) -> None:
    environ = {"SCALEIO_GUID": GUID, "REXRAY_REMOTEMANAGEMENT": "true", "GOSCALEIO_SYSTEMID": SYSTEM}
    found = ScaleIoNode.make(Sources(environ=environ)).instance()
    assert (found.id, found.zone) == (GUID, SYSTEM)


# The devices


@pytest.mark.needs("root")
def test_links_name_the_devices(host: Host) -> None:
    host.disk("scinia")
    host.disk("scinib", OTHER_NUMBER)
    host.link("scinia")
    host.link("scinib", f"emc-vol-{SYSTEM}-{OTHER_VOLUME}")
    assert sorted(host.node().devices(), key=lambda device: device.volume_id) == [
        BlockDevice(
            provider="scaleio",
            instance_id=InstanceId(GUID),
            volume_id=VolumeId(volume),
            device=str(host.dev / name),
            region=SYSTEM,
            status="attached",
        )
        for volume, name in ((VOLUME, "scinia"), (OTHER_VOLUME, "scinib"))
    ]


@pytest.mark.needs("root")
def test_links_that_are_no_volumes_are_left_alone(host: Host) -> None:
    host.disk("scinia")
    part = host.disk("scinia1", "251:1")
    (host.sys / "devices/scinia1/partition").write_text("1\n")
    for link in (
        f"{LINK}-part1",
        f"{LINK}0",
        f"emc-vol-{SYSTEM}",
        f"emc-vol-x{SYSTEM[1:]}-{VOLUME}",
        f"x{LINK}",
        f"emc-vol-{SYSTEM}--{VOLUME}",
        "wwn-0x5000",
    ):
        host.link("scinia", link)
    host.link(part.name, f"emc-vol-{SYSTEM}-{OTHER_VOLUME}")
    host.link("gone", f"emc-vol-{SYSTEM}-694a2d140000000d")
    (host.dev / "file").touch()
    host.link("file", f"emc-vol-{SYSTEM}-694a2d140000000e")
    assert host.node().devices() == ()


@pytest.mark.needs("root")
def test_without_links_the_sdc_tells_whose_disk_it_is(host: Host) -> None:
    host.disk("scinia")
    host.disk("sciniab", OTHER_NUMBER)
    host.disk("sda", "251:32")
    host.tells("scinia")
    host.tells("sciniab", volume=OTHER_VOLUME)
    host.tells("sda", volume="694a2d140000000d")
    assert ids(host.node()) == {VOLUME: "scinia", OTHER_VOLUME: "sciniab"}
    assert host.calls("query_block_device_id --block_device") == 2


@pytest.mark.needs("root")
@pytest.mark.parametrize("answer", ["", "0000000000000000", f"{SYSTEM}-{VOLUME}-part1", f"id: {SYSTEM}-{VOLUME}"])
def test_what_the_sdc_does_not_say_is_not_guessed(host: Host, answer: str) -> None:
    host.disk("scinia")
    host.has_volumes((SYSTEM, VOLUME))
    assert host.node().devices() == ()
    host.says("query_block_device_id.scinia", answer)
    assert host.node().devices() == ()
    host.drv_cfg.unlink()
    assert host.node(guid=GUID).devices() == ()


@pytest.mark.needs("root")
def test_a_node_of_another_number_than_the_kernels_disk_is_not_asked_about(host: Host) -> None:
    host.disk("scinia")
    host.tells("scinia")
    (host.sys / "devices/scinia/dev").write_text("251:99\n")
    assert host.node().devices() == ()


@pytest.mark.needs("root")
def test_two_systems_with_a_volume_of_one_id_are_told_apart(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.disk("scinia")
    host.disk("scinib", OTHER_NUMBER)
    host.link("scinia")
    host.link("scinib", f"emc-vol-{OTHER_SYSTEM}-{VOLUME}")
    assert ids(host.node(system_id=SYSTEM)) == {VOLUME: "scinia"}
    assert ids(host.node(system_id=OTHER_SYSTEM)) == {VOLUME: "scinib"}
    assert ids(host.node()) == {}
    assert f"2 systems have a volume {VOLUME} here: set scaleio.systemID" in caplog.text
    host.disk("scinic", "251:32")
    host.link("scinic", f"emc-vol-{OTHER_SYSTEM}-{OTHER_VOLUME}")
    assert ids(host.node()) == {OTHER_VOLUME: "scinic"}
    assert host.node().connect(attached(), deadline=1) == BY_LINK
    other = host.node().connect(attached(system=OTHER_SYSTEM), deadline=1)
    assert other.identity.link == f"emc-vol-{OTHER_SYSTEM}-{VOLUME}"


@pytest.mark.needs("root")
def test_of_two_links_to_one_node_the_sdc_decides(host: Host) -> None:
    host.disk("scinia")
    host.link("scinia")
    host.link("scinia", f"emc-vol-{SYSTEM}-{OTHER_VOLUME}")
    assert ids(host.node()) == {}
    host.tells("scinia", volume=OTHER_VOLUME)
    assert ids(host.node()) == {OTHER_VOLUME: "scinia"}


def test_a_host_without_devices_is_not_asked_who_it_is(host: Host) -> None:
    host.drv_cfg.unlink()
    assert host.node().devices() == ()
    (host.dev / "disk/by-id").rmdir()
    assert host.node().devices() == ()
    assert host.node().next_device() == ""


# Connecting


@pytest.mark.needs("root")
def test_a_link_is_what_a_volume_is_found_by(host: Host) -> None:
    host.disk("scinia")
    host.link("scinia")
    node = host.node()
    assert node.connect(attached(size=8 * GIB), deadline=1) == BY_LINK
    assert node.connect(attached(to=GUID.lower()), deadline=1) == BY_LINK
    host.tells("scinia")
    assert node.connect(attached(), deadline=1) == BY_LINK
    host.drv_cfg.unlink()
    assert host.node(guid=GUID).connect(attached(), deadline=1) == BY_LINK
    assert host.calls("rescan") == 0


@pytest.mark.needs("root")
def test_without_a_link_it_is_the_node_that_the_sdc_names(host: Host) -> None:
    host.disk("scinia")
    host.disk("scinib", OTHER_NUMBER)
    host.tells("scinia", volume=OTHER_VOLUME)
    host.tells("scinib")
    assert host.node().connect(attached(size=8 * GIB), deadline=1) == Device(path=host.dev / "scinib")
    host.tells("scinib", system=OTHER_SYSTEM)
    with pytest.raises(TimedOut):
        host.node().connect(attached(), deadline=0.2)


@pytest.mark.needs("root")
def test_a_volume_that_comes_late_is_waited_for(host: Host) -> None:
    host.disk("scinia")
    timer = threading.Timer(0.3, host.link, ["scinia"])
    timer.start()
    try:
        assert host.node().connect(attached(), deadline=10) == BY_LINK
    finally:
        timer.join()
    assert host.calls("rescan") == 0


@pytest.mark.needs("root")
def test_the_sdc_is_asked_once_to_look_for_the_volume(host: Host) -> None:
    host.disk("scinia")
    host.does("rescan", f"ln -s ../../scinia {shlex.quote(str(host.dev / 'disk/by-id' / LINK))}")
    assert host.node().connect(attached(), deadline=10) == BY_LINK
    assert host.calls("rescan") == 1


def test_a_volume_that_does_not_come_is_late(host: Host) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"within 1\.5 s: the SDC does not have it; check its connection") as error:
        host.node().connect(attached(), deadline=1.5)
    assert 1.5 <= time.monotonic() - started < 5
    assert "\n" not in str(error.value)
    assert host.calls("rescan") == 1
    host.has_volumes((OTHER_SYSTEM, VOLUME))
    with pytest.raises(TimedOut, match="the SDC does not have it"):
        host.node().connect(attached(), deadline=0)
    host.has_volumes((OTHER_SYSTEM, VOLUME), (SYSTEM, VOLUME))
    with pytest.raises(TimedOut, match=f"the SDC has it, but .* has no {LINK} .*udev rule"):
        host.node().connect(attached(), deadline=0)
    host.says("query_vols", "Retrieved 2 volume(s)\nVOL-ID ...")
    with pytest.raises(TimedOut, match=r"check the SDC's connection .*tells no volumes"):
        host.node().connect(attached(), deadline=0)


@pytest.mark.needs("root")
def test_a_device_with_nothing_in_it_is_waited_for(host: Host) -> None:
    host.disk("scinia", size=0)
    host.link("scinia")
    with pytest.raises(TimedOut, match="scinia has a size of 0 bytes"):
        host.node().connect(attached(size=8 * GIB), deadline=0.2)
    host.does("rescan", f"echo {8 * GIB // 512} > {shlex.quote(str(host.sys / 'devices/scinia/size'))}")
    assert host.node().connect(attached(size=8 * GIB), deadline=5) == BY_LINK


@pytest.mark.needs("root")
def test_a_size_that_differs_is_wrong_unless_the_sdc_learns_of_it(host: Host) -> None:
    host.disk("scinia")
    host.link("scinia")
    with pytest.raises(WrongDevice, match=f"scinia has {8 * GIB} bytes, and the volume has {16 * GIB}; nothing"):
        host.node().connect(attached(size=16 * GIB), deadline=0.2)
    host.does("rescan", f"echo {16 * GIB // 512} > {shlex.quote(str(host.sys / 'devices/scinia/size'))}")
    assert host.node().connect(attached(size=16 * GIB), deadline=5) == BY_LINK


@pytest.mark.needs("root")
def test_a_wrong_device_is_not_waited_for_to_the_end(host: Host) -> None:
    host.disk("scinia")
    host.tells("scinia")
    started = time.monotonic()
    with pytest.raises(WrongDevice, match="bytes"):
        host.node().connect(attached(size=1 << 50), deadline=60)
    assert time.monotonic() - started < 20


@pytest.mark.needs("root")
def test_a_volume_that_has_grown_since_it_was_attached_is_taken(host: Host) -> None:
    host.disk("scinia")
    host.link("scinia")
    host.tells("scinia")
    assert host.node().connect(attached(size=1), deadline=5) == BY_LINK


@pytest.mark.needs("root")
def test_a_link_of_old_is_wrong_until_it_is_mended(host: Host) -> None:
    host.disk("scinia")
    host.disk("scinib", OTHER_NUMBER)
    host.link("scinia")
    host.tells("scinia", volume=OTHER_VOLUME)
    with pytest.raises(WrongDevice, match=f"drv_cfg says that it is emc-vol-{SYSTEM}-{OTHER_VOLUME}"):
        host.node().connect(attached(), deadline=0.2)
    host.does("rescan", f"ln -sfn ../../scinib {shlex.quote(str(host.dev / 'disk/by-id' / LINK))}")
    assert host.node().connect(attached(), deadline=5) == BY_LINK


def test_a_hung_drv_cfg_does_not_hold_up_a_connect(host: Host) -> None:
    for option in ("rescan", "query_vols"):
        host.does(option, "exec sleep 60")
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"did not appear within 1 s.*did not end within 2 s"):
        host.node().connect(attached(), deadline=1)
    assert time.monotonic() - started < 20


@pytest.mark.needs("root")
def test_a_drv_cfg_that_hangs_over_a_disk_does_not_hold_up_a_connect(host: Host) -> None:
    host.disk("scinia")
    host.does("query_block_device_id.scinia", "exec sleep 60")
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"cannot ask which volume .*scinia is: drv_cfg did not end within"):
        host.node().connect(attached(), deadline=1)
    assert time.monotonic() - started < 8


@pytest.mark.needs("root")
def test_the_system_of_an_attachment_that_names_none_is_the_only_one(host: Host) -> None:
    host.disk("scinia")
    host.link("scinia")
    assert host.node().connect(attached(system=""), deadline=1) == BY_LINK
    host.has_systems(SYSTEM, OTHER_SYSTEM)
    with pytest.raises(InvalidRequest, match=r"set scaleio\.systemID"):
        host.node().connect(attached(system=""), deadline=1)
    assert host.node(system_id=SYSTEM).connect(attached(system=""), deadline=1) == BY_LINK
    with pytest.raises(InvalidRequest, match=rf"system {SYSTEM}, and scaleio\.systemID is {OTHER_SYSTEM}"):
        host.node(system_id=OTHER_SYSTEM).connect(attached(), deadline=1)


@pytest.mark.parametrize(
    ("attachment", "error", "words"),
    [
        (attached(to="0" * 8), NotReady, "'00000000', and this is"),
        (attached(volume="vol-1"), InvalidRequest, "'vol-1' is not the id"),
        (attached(volume=f"../{VOLUME}"), InvalidRequest, "is not the id"),
        (attached(system="../.."), InvalidRequest, "systemId '../..'"),
        (attached(size="8 GiB"), InvalidRequest, "sizeBytes '8 GiB'"),
        (attached(size="-1"), InvalidRequest, "sizeBytes"),
        (attached(size="٣"), InvalidRequest, "sizeBytes"),
    ],
)
def test_what_cannot_be_connected_here_is_refused(
    host: Host, attachment: Attachment, error: type[RexrayError], words: str
) -> None:
    with pytest.raises(error, match=words):
        host.node().connect(attachment, deadline=1)


# Disconnecting


@pytest.mark.needs("root")
def test_a_device_in_use_is_not_disconnected(host: Host) -> None:
    host.disk("scinia")
    host.link("scinia")
    node = host.node()
    node.disconnect(attached())
    host.hold("scinia")
    with pytest.raises(InUse, match=f"volume '{VOLUME}' is in use on this host: .*scinia is held by dm-0"):
        node.disconnect(attached())
    with pytest.raises(InUse):
        node.disconnect(attached(system=""))
    with pytest.raises(InUse):
        host.node(system_id=OTHER_SYSTEM).disconnect(attached())
    node.disconnect(attached(to="0" * 8))
    node.disconnect(attached(volume=OTHER_VOLUME))
    node.disconnect(attached(system=OTHER_SYSTEM))


@pytest.mark.needs("root")
def test_a_device_that_only_the_sdc_knows_is_not_disconnected_in_use(host: Host) -> None:
    host.disk("scinia")
    host.hold("scinia")
    host.tells("scinia")
    with pytest.raises(InUse, match="held by dm-0"):
        host.node().disconnect(attached())
    host.node().disconnect(attached(volume=OTHER_VOLUME))


@pytest.mark.needs("root")
def test_a_device_in_use_that_may_be_the_volumes_stops_its_disconnecting(host: Host) -> None:
    host.disk("scinia")
    host.has_volumes((SYSTEM, VOLUME), (OTHER_SYSTEM, OTHER_VOLUME))
    host.node().disconnect(attached())
    host.hold("scinia")
    with pytest.raises(InUse, match=r"may be in use .*scinia is held by dm-0, and neither a link"):
        host.node().disconnect(attached())
    host.node().disconnect(attached(volume=OTHER_VOLUME))
    host.lacks("query_vols")
    with pytest.raises(Unavailable, match="tells no volumes"):
        host.node().disconnect(attached())


@pytest.mark.needs("root")
def test_a_device_in_use_that_is_another_volumes_does_not_stop_it(host: Host) -> None:
    host.disk("scinia")
    host.hold("scinia")
    host.link("scinia", f"emc-vol-{SYSTEM}-{OTHER_VOLUME}")
    host.has_volumes((SYSTEM, VOLUME), (SYSTEM, OTHER_VOLUME))
    host.node().disconnect(attached())


@pytest.mark.needs("root")
def test_a_device_that_goes_while_it_is_looked_who_uses_it_is_disconnected(host: Host) -> None:
    node = host.disk("scinia")
    host.link("scinia")
    number = host.sys / "devices/scinia/dev"
    number.unlink()
    os.mkfifo(number)  # which is read after the node was seen, and before it is looked at again

    def go() -> None:
        with number.open("w"):
            node.unlink()

    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(go)
        host.node().disconnect(attached())
        work.result()


@pytest.mark.needs("root")
def test_a_link_that_comes_and_goes_while_the_links_are_read_is_no_obstacle(host: Host) -> None:
    for name, number, volume in (("scinia", NUMBER, VOLUME), ("scinib", OTHER_NUMBER, OTHER_VOLUME)):
        host.disk(name, number)
        host.link(name, f"emc-vol-{SYSTEM}-{volume}")
    link, ended = host.dev / f"disk/by-id/emc-vol-{SYSTEM}-{OTHER_VOLUME}", threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            link.unlink()
            link.symlink_to("../../scinib")

    node = host.node(guid=GUID)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(come_and_go)
        try:
            for _ in range(60):
                assert VOLUME in ids(node)
        finally:
            ended.set()
        work.result()


def test_what_is_not_connected_is_disconnected(host: Host) -> None:
    host.node().disconnect(attached())
    host.node().disconnect(attached(volume="../x"))


# Elsewhere


@pytest.mark.needs("root")
def test_a_remote_host_has_nothing_here(host: Host) -> None:
    host.disk("scinia")
    host.link("scinia")
    host.hold("scinia")
    away = host.node(remote=True, guid=GUID)
    assert (away.instance().id, away.instance().zone, away.devices(), away.next_device()) == (GUID, "", (), "")
    with pytest.raises(NotReady, match=r"rexray\.remoteManagement"):
        away.connect(attached(), deadline=1)
    away.disconnect(attached())
    with pytest.raises(SettingsError, match=r"scaleio\.guid"):
        host.node(remote=True).instance()
    assert not (host.sdc / "calls").exists()


# A device of the kernel's


@pytest.fixture
def loop(tmp_path: Path, tool: Callable[[str], str]) -> Iterator[Path]:
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 64 << 20)
    losetup = [tool("losetup"), "--find", "--show", str(image)]
    device = subprocess.run(losetup, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    yield Path(device)
    subprocess.run([tool("losetup"), "--detach", device], check=True, timeout=30)


@pytest.mark.needs("root", "loop", "mkfs.ext4")
def test_a_real_block_device_stands_for_a_volume(loop: Path, tmp_path: Path, tool: Callable[[str], str]) -> None:
    host = Host(tmp_path / "host")
    (host.dev / "disk/by-id" / LINK).symlink_to(loop)
    settings = ScaleIoSettings(drv_cfg=str(host.drv_cfg))
    node = ScaleIoNode(settings, dev=host.dev)
    here = attached(size=64 << 20)
    assert [device.device for device in node.devices() if device.volume_id == VOLUME] == [str(loop)]
    assert node.connect(here, deadline=5) == BY_LINK
    with pytest.raises(WrongDevice, match=f"{loop} has {64 << 20} bytes"):
        node.connect(attached(size=GIB), deadline=0)

    subprocess.run([tool("mkfs.ext4"), "-q", str(loop)], check=True, timeout=60)
    target = tmp_path / "target"
    target.mkdir()
    subprocess.run([tool("mount"), str(loop), str(target)], check=True, timeout=30)
    try:
        with pytest.raises(InUse, match=f"mounted at {re.escape(str(target))}"):
            node.disconnect(here)
    finally:
        subprocess.run([tool("umount"), str(target)], check=True, timeout=30)
    node.disconnect(here)

    bound = tmp_path / "bound"
    bound.touch()
    subprocess.run([tool("mount"), "--bind", str(loop), str(bound)], check=True, timeout=30)
    try:
        with pytest.raises(InUse, match=f"bound at {re.escape(str(bound))}"):
            node.disconnect(here)
        node.disconnect(replace(here, instance_id=InstanceId("another")))
    finally:
        subprocess.run([tool("umount"), str(bound)], check=True, timeout=30)
    node.disconnect(here)
