"""A target of the kernel's (LIO) that looks like an XtremIO array to this host, and this host's initiator.

Facts: Documentation/target/ of Linux; drivers/target/target_core_configfs.c (``wwn/vendor_id``, ``company_id``); the
NAA that it reports is 6, the company's six digits, and the hexadecimal digits of the serial number, 32 in all. A disk
grows with the loop device below it. Runs only in a guest, which it changes for good.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rexray.types import Attachment, BlockDevice, Device, InstanceId, VolumeId
from rexray_driver_xtremio.node import XtremIoNode
from rexray_driver_xtremio.settings import XtremIoSettings
from rexray_os_linux.driver import LinuxOS

IQN = "iqn.1993-08.org.debian:01:guest"
ADDRESSES = ("10.0.0.1", "10.0.0.2")
MIB = 1 << 20
CONFIG = Path("/sys/kernel/config/target")
RECORDS = Path("/etc/iscsi/nodes")
MODULES = (
    "target_core_mod",
    "target_core_iblock",
    "iscsi_target_mod",
    "iscsi_tcp",
    "sd_mod",
    "dm_multipath",
    "dm_service_time",
)


def run(*words: object, fine: Sequence[int] = (0,)) -> str:
    """What a program says."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in fine, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def wait_until(done: Callable[[], object], seconds: float = 20) -> None:
    """Wait for what the kernel or a daemon does in its own time."""
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.1)


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A volume of the array: its name there, its NAA, and the file and loop device with its content."""

    name: str
    naa: str
    file: Path
    loop: str


@dataclass(kw_only=True)
class Target:
    """One portal of the array, with a target of its own."""

    address: str
    iqn: str
    group: Path = field(init=False)

    def __post_init__(self) -> None:
        self.restore()
        self.group = CONFIG / "iscsi" / self.iqn / "tpgt_1"
        (self.group / "np" / f"{self.address}:3260").mkdir(parents=True)
        for name, value in {"generate_node_acls": 1, "demo_mode_write_protect": 0, "authentication": 0}.items():
            (self.group / "attrib" / name).write_text(str(value))
        (self.group / "enable").write_text("1")

    def cut(self) -> None:
        """Take the portal's address off the network: whoever talks to it gets no answer any more."""
        run("ip", "address", "del", f"{self.address}/32", "dev", "lo")

    def restore(self) -> None:
        """Have the address again."""
        run("ip", "address", "replace", f"{self.address}/32", "dev", "lo")

    def require(self, user: str, password: str) -> None:
        """Refuse who does not log in so; anybody may if there is no user."""
        (self.group / "attrib/authentication").write_text("1" if user else "0")
        if user:
            (self.group / "auth/userid").write_text(user)
            (self.group / "auth/password").write_text(password)


class Array:
    """An array of two portals whose volumes are files in ``folder``."""

    def __init__(self, folder: Path) -> None:
        for module in MODULES:
            run("modprobe", module)
        run("mount", "-t", "configfs", "none", "/sys/kernel/config", fine=(0, 32))
        self.folder = folder
        iqn = "iqn.2008-05.com.xtremio"
        self.targets = [Target(address=address, iqn=f"{iqn}:p{n}") for n, address in enumerate(ADDRESSES)]
        self.other = Target(address="10.0.0.3", iqn="iqn.2000-01.com.example:other")

    def disk(self, name: str, size: int = 64 * MIB) -> Disk:
        """A new volume."""
        serial = f"{len(list(self.folder.iterdir())):09x}"
        file = self.folder / name
        with file.open("wb") as made:
            made.truncate(size)
        loop = run("losetup", "--find", "--show", file)
        folder = CONFIG / "core/iblock_0" / name
        folder.mkdir(parents=True)
        (folder / "control").write_text(f"udev_path={loop}")
        for key, value in {"vendor_id": "XtremIO", "product_id": "XtremApp", "company_id": "0x514f0c"}.items():
            (folder / "wwn" / key).write_text(value)
        (folder / "wwn/vpd_unit_serial").write_text(serial)
        (folder / "enable").write_text("1")
        return Disk(name=name, naa=f"6514f0c{serial}".ljust(32, "0"), file=file, loop=loop)

    def map(self, disk: Disk, lun: int) -> None:
        """Let every initiator see the volume there."""
        for target in self.targets:
            place = target.group / f"lun/lun_{lun}"
            place.mkdir()
            (place / disk.name).symlink_to(CONFIG / "core/iblock_0" / disk.name)

    def unmap(self, lun: int) -> None:
        """Let nobody see what is there any more."""
        for target in self.targets:
            place = target.group / f"lun/lun_{lun}"
            for link in [entry for entry in place.iterdir() if entry.is_symlink()]:
                link.unlink()
            place.rmdir()

    def luns(self) -> list[int]:
        """The LUNs that something is mapped at."""
        return [int(place.name[4:]) for place in (self.targets[0].group / "lun").iterdir()]

    def grow(self, disk: Disk, size: int) -> None:
        """Make a volume larger, whoever uses it."""
        os.truncate(disk.file, size)
        run("losetup", "--set-capacity", disk.loop)

    def attachment(self, disk: Disk, lun: int, *, size: int = 0) -> Attachment:
        """What the storage driver would say of the mapping."""
        fields = {
            "lun": str(lun),
            "portals": ",".join(f"{target.address}:3260" for target in self.targets),
            "targets": ",".join(target.iqn for target in self.targets),
        }
        if size:
            fields["sizeBytes"] = str(size)
        return Attachment(
            volume_id=VolumeId(f"id-{disk.name}"), instance_id=InstanceId(IQN), token=disk.naa, fields=fields
        )


class Host:
    """This host's node driver with its settings, and the OS driver."""

    def __init__(self, settings: XtremIoSettings) -> None:
        self.settings = settings
        self.node = XtremIoNode(settings)
        self.os = LinuxOS()

    def connect(self, attachment: Attachment, deadline: float = 30) -> Path:
        """The node of the volume's device."""
        device = self.node.connect(attachment, deadline=deadline)
        assert isinstance(device, Device)
        return self.os.locate(device, deadline=deadline).path

    def devices(self) -> dict[str, BlockDevice]:
        """The devices by volume."""
        return {device.volume_id: device for device in self.node.devices()}

    def mount(self, device: Path, place: Path) -> None:
        """Mount, with a filesystem made first where there is none."""
        found = Device(path=device)
        if not self.os.probe(found):
            self.os.format(found, "ext4")
        self.os.mount(found, place)


def disks() -> list[str]:
    """The SCSI disks of this host."""
    return sorted(name for name in os.listdir("/sys/block") if name.startswith("sd"))


def maps() -> list[str]:
    """The device mapper's devices."""
    return sorted(name for name in os.listdir("/sys/block") if name.startswith("dm-"))


def sessions() -> list[str]:
    """The targets that this host has sessions with."""
    place = Path("/sys/class/iscsi_session")
    return sorted((entry / "targetname").read_text().strip() for entry in place.iterdir())


def records() -> list[str]:
    """The records that open-iscsi has."""
    return sorted(str(path.relative_to(RECORDS)) for path in RECORDS.rglob("*") if path.is_file())


_SCRIPT = """
import pickle, sys
from rexray_driver_xtremio.node import XtremIoNode
settings, step, attachment = pickle.loads(sys.stdin.buffer.read())
node = XtremIoNode(settings)
node.connect(attachment, deadline=30) if step == "connect" else node.disconnect(attachment)
"""


def die_at(host: Host, point: str, step: str, attachment: Attachment) -> None:
    """Have another process connect or disconnect, and be killed at that place."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=pickle.dumps((host.settings, step, attachment)),
        env={**os.environ, "REXRAY_FAULT": point},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, f"{point} was not met: {done.returncode} {done.stderr!r}"
