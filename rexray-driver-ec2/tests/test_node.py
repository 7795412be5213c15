"""The node driver on made trees of sysfs and /dev, and on a loop device that stands for a Xen volume."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imds_parts import IDENTITY, Imds
from rexray.errors import (
    InUse,
    InvalidRequest,
    NotReady,
    OutOfCapacity,
    SettingsError,
    TimedOut,
    Unavailable,
    WrongDevice,
)
from rexray.settings import Sources
from rexray.types import Attachment, BlockDevice, Device, DeviceIdentity, InstanceId, VolumeId
from rexray_driver_ec2.names import LARGE_RANGE, SMALL_RANGE
from rexray_driver_ec2.node import Ec2Node
from rexray_driver_ec2.settings import Ec2Settings
from rexray_driver_ec2.viability import is_instance, viability

HERE = InstanceId(str(IDENTITY["instanceId"]))
VOLUME = VolumeId("vol-0123456789abcdef0")
EBS = "Amazon Elastic Block Store"
GIB = 1 << 30


class Tree:
    """A sysfs and a /dev in a directory."""

    def __init__(self, root: Path) -> None:
        self.sys, self.dev = root / "sys", root / "dev"
        self.dev.mkdir(parents=True)
        (self.sys / "block").mkdir(parents=True)

    def write(self, path: str, text: str) -> None:
        file = self.sys / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def vendor(self, vendor: str) -> None:
        self.write("devices/virtual/dmi/id/sys_vendor", vendor)

    def xen(self) -> None:
        self.write("hypervisor/type", "xen")
        self.write("hypervisor/uuid", "ec2e1916-9099-7caf-fd21-012345abcdef")

    def disk(self, name: str, number: str = "7:0", size: int = GIB) -> None:
        """A block device of the kernel's, without a node."""
        self.write(f"devices/{name}/dev", number)
        self.write(f"devices/{name}/size", str(size // 512))
        (self.sys / "block" / name).symlink_to(self.sys / "devices" / name)
        (self.sys / "dev/block").mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (self.sys / "dev/block" / number).symlink_to(self.sys / "devices" / name)

    def nvme(self, name: str, serial: str, model: str = EBS) -> None:
        self.disk(name, "259:0")
        self.write(f"devices/{name}/device/model", model.ljust(40))
        self.write(f"devices/{name}/device/serial", serial.ljust(20))

    def node(self, name: str, number: str) -> Path:
        major, minor = map(int, number.split(":"))
        os.mknod(self.dev / name, stat.S_IFBLK | 0o600, os.makedev(major, minor))
        return self.dev / name


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def nitro(tree: Tree) -> Tree:
    """With its root, a volume and an instance store; the volume and the root over native multipath."""
    tree.vendor("Amazon EC2")
    tree.nvme("nvme0n1", "vol00000000000000aaa")
    tree.nvme("nvme0c0n1", "vol00000000000000aaa")
    tree.nvme("nvme10n1", "vol0123456789abcdef0")
    tree.nvme("nvme2n1", "AWS0123456789ABCDEF0", "Amazon EC2 NVMe Instance Storage")
    return tree


@pytest.fixture
def xen(tree: Tree) -> Tree:
    tree.vendor("Xen")
    tree.xen()
    tree.disk("xvda", "202:0")
    return tree


@pytest.fixture
def imds() -> Iterator[Imds]:
    with Imds() as service:
        yield service


NodeOf = Callable[..., Ec2Node]


@pytest.fixture
def node_of(imds: Imds) -> NodeOf:
    """``node_of(tree, **settings)`` is the driver of a host that looks so."""

    def make(tree: Tree, **settings: object) -> Ec2Node:
        chosen = Ec2Settings(metadata_endpoint=imds.url, **settings)  # type: ignore[arg-type] # a test's word
        return Ec2Node(chosen, sys=tree.sys, dev=tree.dev)

    return make


@pytest.fixture
def away(imds: Imds, tree: Tree) -> Ec2Node:
    """The driver where the instance is elsewhere."""
    settings = Ec2Settings(metadata_endpoint=imds.url, instance_id="i-7", region="r", max_volumes=5)
    return Ec2Node(settings, remote=True, sys=tree.sys, dev=tree.dev)


def attached(token: str = "/dev/xvdf", *, to: str = HERE, size: str = "", device: str = "") -> Attachment:
    fields = {"sizeBytes": size} if size else {}
    return Attachment(volume_id=VOLUME, instance_id=InstanceId(to), token=token, device=device, fields=fields)


# The instance


def test_the_instance(nitro: Tree, node_of: NodeOf) -> None:
    instance = node_of(nitro).instance()
    assert (instance.id, instance.provider, instance.region, instance.zone) == (HERE, "ec2", "eu-west-1", "eu-west-1b")
    assert instance.fields == {"instanceType": "m5.large", "accountId": "123456789012"}
    assert instance.max_volumes == 27


def test_how_many_volumes_an_instance_can_have(nitro: Tree, tmp_path: Path, node_of: NodeOf, imds: Imds) -> None:
    imds.mapping = {"root": "/dev/xvda", "ami": "/dev/xvda", "ephemeral0": "sdc"}
    xen = Tree(tmp_path / "xen")
    xen.xen()
    assert [node_of(tree).instance().max_volumes for tree in (nitro, xen)] == [27, 39]
    imds.mapping |= {"ebs1": "sdb", "ebs2": "/dev/xvde", "ebs3": "/dev/sdg", "ebs4": "xvdba"}
    assert [node_of(tree).instance().max_volumes for tree in (nitro, xen)] == [25, 37]
    assert node_of(nitro, max_volumes=3).instance().max_volumes == 3


def test_a_host_that_is_no_instance(nitro: Tree, node_of: NodeOf, imds: Imds) -> None:
    imds.enabled = False
    node = node_of(nitro)
    for ask in (node.instance, node.devices, node.next_device):
        with pytest.raises(Unavailable, match="REXRAY_REMOTEMANAGEMENT"):
            ask()
    with pytest.raises(Unavailable):
        node.connect(attached(), deadline=1)


def test_a_remote_instance(nitro: Tree, away: Ec2Node, imds: Imds) -> None:
    instance = away.instance()
    assert (instance.id, instance.region, instance.zone, instance.max_volumes) == ("i-7", "r", "", 5)
    assert instance.fields == {}
    assert away.devices() == ()
    assert away.next_device() == ""
    away.disconnect(attached(to="i-7"))
    with pytest.raises(NotReady, match="remoteManagement"):
        away.connect(attached(to="i-7"), deadline=1)
    assert imds.requests == []


def test_a_remote_instance_has_to_be_named() -> None:
    with pytest.raises(SettingsError, match=r"ec2\.instanceID \(\$EC2_INSTANCEID\)"):
        Ec2Node(Ec2Settings(), remote=True).instance()


def test_the_sources_say_whether_the_instance_is_remote() -> None:
    environ = {"REXRAY_REMOTEMANAGEMENT": "true", "EC2_INSTANCEID": "i-9", "EC2_REGION": "r"}
    assert Ec2Node.make(Sources(environ=environ)).instance().id == "i-9"


def test_settings_are_checked_at_once() -> None:
    with pytest.raises(SettingsError, match=r"ec2\.maxVolumes"):
        Ec2Node(Ec2Settings(max_volumes=-1))
    with pytest.raises(SettingsError, match=r"ec2\.metadataEndpoint"):
        Ec2Node(Ec2Settings(metadata_endpoint="nonsense"))


# The devices


def test_the_devices_of_a_nitro_instance(nitro: Tree, node_of: NodeOf) -> None:
    nitro.disk("nvme10n1p1", "259:1")
    nitro.nvme("nvme5n1", "something else")
    nitro.nvme("nvme6c0n1", "vol0bbbbbbbbbbbbbbbb")  # a path whose own namespace is not there yet
    nitro.nvme("nvme7n1", "vol0cccccccccccccccc", "Another Disk")
    found = node_of(nitro).devices()
    assert found == tuple(
        BlockDevice(
            provider="ec2",
            instance_id=HERE,
            volume_id=VolumeId(volume_id),
            device=str(nitro.dev / name),
            region="eu-west-1",
            status="attached",
        )
        for volume_id, name in (("vol-00000000000000aaa", "nvme0n1"), (VOLUME, "nvme10n1"))
    )


def test_a_xen_instance_does_not_tell_its_volumes(xen: Tree, node_of: NodeOf) -> None:
    xen.disk("xvdf", "202:80")
    assert node_of(xen).devices() == ()


# The next name


def test_the_next_name_is_any_free_one_of_the_preferred_range(xen: Tree, node_of: NodeOf, imds: Imds) -> None:
    node = node_of(xen)
    assert {node.next_device() for _ in range(300)} == set(SMALL_RANGE)
    xen.disk("xvdf", "202:80")
    xen.disk("sdg", "202:96")
    (xen.dev / "xvdh1").touch()
    (xen.dev / "sdi").symlink_to("nowhere")
    (xen.dev / "sdj2").symlink_to("nvme3n1p2")
    imds.mapping |= {"ephemeral0": "sdk", "ebs1": "/dev/xvdl", "ebs2": "sdm1"}
    assert {node.next_device() for _ in range(100)} == {"/dev/xvdn", "/dev/xvdo", "/dev/xvdp"}


def test_the_large_range_comes_when_the_small_one_is_used_up(xen: Tree, node_of: NodeOf) -> None:
    for name in SMALL_RANGE:
        (xen.dev / Path(name).name).touch()
    for name in LARGE_RANGE[1:]:
        (xen.dev / Path(name).name.replace("xvd", "sd")).touch()
    assert node_of(xen).next_device() == "/dev/xvdba"
    (xen.dev / "sdba").touch()
    with pytest.raises(OutOfCapacity, match="from /dev/xvdf to /dev/xvdcz"):
        node_of(xen).next_device()


def test_only_the_large_range_where_it_is_wanted(xen: Tree, node_of: NodeOf) -> None:
    node = node_of(xen, use_large_device_range=True)
    assert {node.next_device() for _ in range(50)} <= set(LARGE_RANGE)


# Connecting


def test_on_nitro_the_serial_number_tells_the_device(nitro: Tree, node_of: NodeOf) -> None:
    (nitro.dev / "xvdf").symlink_to("nvme0n1")
    found = node_of(nitro).connect(attached(), deadline=0)
    assert found == Device(identity=DeviceIdentity(serial="vol0123456789abcdef0"))


def test_the_firmware_alone_tells_nitro(tree: Tree, node_of: NodeOf) -> None:
    tree.vendor("Amazon EC2")
    assert node_of(tree).connect(attached(""), deadline=0).path == Path()


def test_another_instances_attachment_is_not_connected(nitro: Tree, node_of: NodeOf) -> None:
    with pytest.raises(NotReady, match=f"is to 'i-other', and this is '{HERE}'"):
        node_of(nitro).connect(attached(to="i-other"), deadline=1)


def test_what_is_no_volumes_id_is_not_connected(nitro: Tree, node_of: NodeOf) -> None:
    for volume_id in ("", "vol-", "vol-XYZ", "snap-0123456789abcdef0", "vol-0123456789abcdef0\n"):
        with pytest.raises(InvalidRequest, match="not the id"):
            node_of(nitro).connect(Attachment(volume_id=VolumeId(volume_id), instance_id=HERE), deadline=1)


@pytest.mark.parametrize("token", ["", "/dev/../x", "nvme1n1", "/dev/xvdf/x", "xvd", "/tmp/sdf", "sdf\n", "xvdabc"])
def test_on_xen_a_name_is_needed(xen: Tree, node_of: NodeOf, token: str) -> None:
    with pytest.raises(InvalidRequest, match="device name"):
        node_of(xen).connect(attached(token), deadline=1)


@pytest.mark.parametrize("size", ["x", "-1", "0", "1.5"])
def test_on_xen_a_size_is_a_number(xen: Tree, node_of: NodeOf, size: str) -> None:
    with pytest.raises(InvalidRequest, match="sizeBytes"):
        node_of(xen).connect(attached(size=size), deadline=1)


@pytest.mark.parametrize(
    ("token", "mapping"),
    [
        ("/dev/xvdb", {"ephemeral0": "sdb"}),
        ("/dev/sdb", {"ephemeral3": "/dev/xvdb"}),
        ("/dev/sda", {"root": "/dev/sda1"}),
        ("/dev/sda1", {"root": "/dev/sda1"}),
        ("/dev/xvda", {"ami": "xvda"}),
        ("/dev/xvdc", {"swap": "sdc"}),
    ],
)
def test_on_xen_the_instances_own_devices_are_not_touched(
    xen: Tree, node_of: NodeOf, imds: Imds, token: str, mapping: dict[str, str]
) -> None:
    imds.mapping = mapping
    with pytest.raises(WrongDevice, match="is the instance's"):
        node_of(xen).connect(attached(token), deadline=1)


def test_on_xen_what_does_not_appear_times_out(xen: Tree, node_of: NodeOf) -> None:
    with pytest.raises(TimedOut, match=re.escape(f"as {xen.dev / 'xvdf'} on this host within 0.2 s")):
        node_of(xen).connect(attached(), deadline=0.2)


def test_on_xen_a_link_or_a_file_is_no_volume(xen: Tree, node_of: NodeOf) -> None:
    (xen.dev / "nvme1n1").touch()
    (xen.dev / "xvdf").symlink_to("nvme1n1")
    (xen.dev / "xvdg").touch()
    with pytest.raises(WrongDevice, match=r"a link to .*nvme1n1"):
        node_of(xen).connect(attached(), deadline=1)
    with pytest.raises(WrongDevice, match="no block device"):
        node_of(xen).connect(attached("/dev/xvdg"), deadline=1)
    node_of(xen).disconnect(attached("/dev/xvdg"))


@pytest.mark.needs("root")
def test_on_xen_the_kernels_device_of_that_name_is_it(xen: Tree, node_of: NodeOf, imds: Imds) -> None:
    imds.mapping["ebs1"] = "/dev/sdf"
    xen.disk("xvdf", "202:80", 2 * GIB)
    node = xen.node("xvdf", "202:80")
    (xen.dev / "sdf").symlink_to("xvdf")
    for token in ("/dev/xvdf", "/dev/sdf", "xvdf"):
        assert node_of(xen).connect(attached(token, size=str(2 * GIB)), deadline=0) == Device(path=node)
    assert node_of(xen).connect(attached("", device="/dev/sdf"), deadline=0).path == node


@pytest.mark.needs("root")
def test_on_xen_the_size_has_to_be_the_volumes(xen: Tree, node_of: NodeOf) -> None:
    xen.disk("xvdf", "202:80", GIB)
    xen.node("xvdf", "202:80")
    for size in (2 * GIB, GIB // 2, GIB + 512):
        with pytest.raises(WrongDevice, match=f"has {GIB} bytes, and the volume has {size}"):
            node_of(xen).connect(attached(size=str(size)), deadline=1)


@pytest.mark.needs("root")
def test_on_xen_a_device_is_waited_for(xen: Tree, node_of: NodeOf) -> None:
    xen.disk("xvdf", "202:80", 0)
    node = xen.node("xvdf", "202:80")
    driver = node_of(xen)
    with pytest.raises(TimedOut):
        driver.connect(attached(), deadline=0.2)
    later = threading.Timer(0.3, xen.write, ("devices/xvdf/size", str(GIB // 512)))
    later.start()
    started = time.monotonic()
    assert driver.connect(attached(), deadline=5).path == node
    assert time.monotonic() - started < 2
    later.join()


@pytest.mark.needs("root")
def test_on_xen_a_node_of_another_device_is_not_it(xen: Tree, node_of: NodeOf) -> None:
    xen.disk("xvdf", "202:80")
    xen.disk("xvdg", "202:96")
    xen.node("xvdf", "202:96")
    with pytest.raises(TimedOut):
        node_of(xen).connect(attached(), deadline=0.1)
    xen.disk("nvme1n1", "259:7")
    xen.node("xvdh", "259:7")
    with pytest.raises(WrongDevice, match="is nvme1n1"):
        node_of(xen).connect(attached("/dev/xvdh"), deadline=1)
    xen.disk("part", "202:113")
    xen.write("devices/part/partition", "1")
    xen.node("xvdi", "202:113")
    with pytest.raises(WrongDevice, match="is part"):
        node_of(xen).connect(attached("/dev/xvdi"), deadline=1)


@pytest.mark.needs("root")
def test_on_xen_the_other_spelling_counts_only_for_a_disk_of_xens(xen: Tree, node_of: NodeOf) -> None:
    xen.disk("sdf", "8:80")
    node = xen.node("sdf", "8:80")
    with pytest.raises(TimedOut):
        node_of(xen).connect(attached(), deadline=0.1)
    xen.write("devices/sdf/device/devtype", "vbd")
    assert node_of(xen).connect(attached(), deadline=0).path == node


# Disconnecting


def test_what_is_not_here_is_disconnected(nitro: Tree, xen: Tree, node_of: NodeOf) -> None:
    other = Attachment(volume_id=VolumeId("vol-0fffffffffffffff0"), instance_id=HERE)
    node_of(nitro).disconnect(other)
    node_of(xen).disconnect(attached("/dev/xvdz"))
    node_of(xen).disconnect(attached(""))
    node_of(xen).disconnect(attached("/dev/../x"))
    node_of(xen).disconnect(attached(to="i-other"))


@pytest.mark.needs("root")
def test_a_held_device_is_not_disconnected(nitro: Tree, node_of: NodeOf) -> None:
    nitro.disk("held", "259:9")
    nitro.write("devices/nvme10n1/dev", "259:9")
    nitro.node("nvme10n1", "259:9")
    node_of(nitro).disconnect(attached())
    nitro.write("devices/held/held1/partition", "1")
    (nitro.sys / "devices/held/held1/holders/dm-0").mkdir(parents=True)
    with pytest.raises(InUse, match="held by dm-0"):
        node_of(nitro).disconnect(attached())
    node_of(nitro).disconnect(attached(to="i-other"))


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
def test_a_real_block_device_stands_for_a_xen_volume(
    loop: Path, imds: Imds, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    dev = tmp_path / "dev"
    dev.mkdir()
    os.mknod(dev / "xvdf", stat.S_IFBLK | 0o600, os.stat(loop).st_rdev)
    sys = tmp_path / "sys"
    sys.mkdir()
    (sys / "dev").symlink_to("/sys/dev")  # not the rest: the machine of this test may be a Nitro instance
    node = Ec2Node(Ec2Settings(metadata_endpoint=imds.url), sys=sys, dev=dev)
    here = attached(size=str(64 << 20))
    assert node.connect(here, deadline=5) == Device(path=dev / "xvdf")
    with pytest.raises(WrongDevice, match="bytes"):
        node.connect(attached(size=str(GIB)), deadline=1)

    claim = os.open(loop, os.O_RDONLY | os.O_EXCL)
    try:
        with pytest.raises(InUse, match="another program"):
            node.disconnect(here)
    finally:
        os.close(claim)
    node.disconnect(here)

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


# Viability


def test_an_instance_is_known_by_its_firmware_or_hypervisor(nitro: Tree, tmp_path: Path) -> None:
    assert is_instance(nitro.sys)
    for number, (path, text, expected) in enumerate(
        (
            ("hypervisor/uuid", "ec2e1916-9099-7caf-fd21-012345abcdef", True),
            ("hypervisor/uuid", "0ec2e191-9099-7caf-fd21-012345abcdef", False),
            ("devices/virtual/dmi/id/board_vendor", "Amazon EC2", True),
            ("devices/virtual/dmi/id/bios_version", "4.11.amazon", True),
            ("devices/virtual/dmi/id/bios_version", "1.16.3", False),
            ("devices/virtual/dmi/id/sys_vendor", "QEMU", False),
        )
    ):
        tree = Tree(tmp_path / str(number))
        tree.write(path, text)
        assert is_instance(tree.sys) is expected, (path, text)
        assert viability(sys=tree.sys, environ={}, home=tmp_path).ok is expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"AWS_ACCESS_KEY": ""}, False),
        ({"AWS_REGION": "eu-west-1", "HOME": "/"}, False),
        ({"AWS_ACCESS_KEY": "k"}, True),
        ({"AWS_ACCESS_KEY_ID": "k"}, True),
        ({"AWS_PROFILE": "p"}, True),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "f"}, True),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "u"}, True),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "u"}, True),
        ({"EC2_INSTANCEID": "i-1"}, True),
        ({"EBS_ACCESSKEY": "k"}, True),
        ({"EC2_HOME": "/opt/tools"}, False),
    ],
)
def test_credentials_in_the_environment(tree: Tree, environ: dict[str, str], *, expected: bool) -> None:
    found = viability(sys=tree.sys, environ=environ, home=tree.dev)
    assert found.ok is expected
    assert expected or "AWS_ACCESS_KEY" in found.reason


@pytest.mark.parametrize("name", ["credentials", "config"])
def test_credentials_in_the_home_directory(tree: Tree, tmp_path: Path, name: str) -> None:
    (tmp_path / ".aws").mkdir()
    assert not viability(sys=tree.sys, environ={}, home=tmp_path).ok
    (tmp_path / ".aws" / name).touch()
    assert viability(sys=tree.sys, environ={}, home=tmp_path).ok


def test_the_driver_says_whether_it_is_viable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "p")
    assert Ec2Node.viable().ok
