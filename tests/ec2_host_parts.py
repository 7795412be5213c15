"""A guest of the simulated EC2 as its user meets it: the shell, the metadata service and what is attached."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ec2_parts import ACCESS_KEY, REGION, SECRET_KEY, ZONE, Cloud
from imds_parts import IDENTITY, IDENTITY_PATH, Imds
from rexray_driver_ec2.words import tags_for
from service_parts import REXRAY, eventually

if TYPE_CHECKING:
    from types_boto3_ec2.literals import VolumeTypeType

ROOT_DEVICE = "/dev/sda1"
DEV = Path("/dev")


class Guest:
    """An instance of the cloud, which the metadata service says that this host is."""

    def __init__(self, cloud: Cloud, imds: Imds, zone: str = ZONE) -> None:
        self.cloud, self.imds, self.zone = cloud, imds, zone
        self.id = cloud.run_instance(zone)
        self.environ = {**environ(cloud.url), "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url}
        identity = {**IDENTITY, "instanceId": self.id, "region": zone[:-1], "availabilityZone": zone}
        imds.documents[IDENTITY_PATH] = json.dumps(identity)
        imds.mapping = {"ami": ROOT_DEVICE, "root": ROOT_DEVICE}

    def volumes(self, instance: str = "") -> dict[str, str]:
        """The ids of what EC2 has attached to it, or to another instance, by device name."""
        return {
            entry[0]: volume
            for volume, found in self.cloud.state(self.zone[:-1])["volumes"].items()
            for holder, entry in found["attachments"].items()
            if holder == (instance or self.id)
        }

    def make(self, name: str = "", *, gib: int = 1, kind: VolumeTypeType = "gp3", zone: str = "") -> str:
        """The id of a new volume that is available."""
        ec2 = self.cloud.client((zone or self.zone)[:-1])
        made = ec2.create_volume(
            AvailabilityZone=zone or self.zone,
            Size=gib,
            VolumeType=kind,
            TagSpecifications=[tags_for("volume", {"Name": name} if name else {})],
        )["VolumeId"]
        assert eventually(lambda: ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["State"] == "available")
        return made

    def attach(self, volume: str, device: str, instance: str = "") -> None:
        """Attach it without REX-Ray, to this instance or another one, and wait."""
        ec2 = self.cloud.client(self.zone[:-1])
        ec2.attach_volume(VolumeId=volume, InstanceId=instance or self.id, Device=device)

        def there() -> bool:
            held = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"]
            return [entry["State"] for entry in held] == ["attached"]

        assert eventually(there)


def environ(url: str) -> dict[str, str]:
    """What the seed has its users export, and where the simulator is; nobody's own profiles."""
    return {
        "REXRAY_STORAGEDRIVERS": "ec2",
        "AWS_ACCESS_KEY": ACCESS_KEY,
        "AWS_SECRET_KEY": SECRET_KEY,
        "EC2_ENDPOINT": url,
        "EC2_STATUSINITIALDELAY": "0.05s",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def bare_environ() -> dict[str, str]:
    """This process's environment without what would configure REX-Ray, AWS or a proxy."""
    ours = ("REXRAY_", "X_CSI", "CSI_", "AWS_", "EC2_", "EBS_", "LOOP_", "DOCKER_", "LIBSTORAGE_")
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(ours) and not key.lower().endswith("_proxy")
    }


class Shell:
    """``rexray`` with every path below one folder, and settings in its environment only."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = {**bare_environ(), "REXRAY_HOME": str(folder), "HOME": str(folder), **environ}

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [REXRAY, *words],
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def say(self, *words: str, **environ: str) -> str:
        """What a command prints that succeeds."""
        answer = self.run(*words, **environ)
        assert (answer.returncode, answer.stderr) == (0, ""), (words, answer)
        return answer.stdout

    def rows(self, *words: str, **environ: str) -> list[list[str]]:
        """The cells of a table without its header."""
        return [line.split() for line in self.say(*words, "-q", **environ).splitlines()]

    def refused(self, *words: str, **environ: str) -> str:
        """The one line of a command that fails: no traceback, nothing on stdout, and never the secret."""
        answer = self.run(*words, **environ)
        assert (answer.returncode, answer.stdout) == (1, ""), (words, answer)
        assert answer.stderr.startswith("error: ")
        assert answer.stderr.count("\n") == 1
        assert answer.stderr.endswith("\n")
        assert "Traceback" not in answer.stderr
        for secret in (SECRET_KEY, {**self.environ, **environ}.get("AWS_SECRET_KEY") or SECRET_KEY):
            assert secret not in answer.stderr
        return answer.stderr.removeprefix("error: ").rstrip("\n")


@contextmanager
def shown_guest(folder: Path) -> Iterator[Guest]:
    """A guest whose volumes are block devices of this host; none of them is left at the end."""
    lock = os.open(DEV, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two simulators on one host would both make xvdf
        before = nodes()
        with Imds() as imds, Cloud(folder / "cloud", devices=True) as cloud:
            guest = Guest(cloud, imds)
            cloud.control(shown=[guest.id])
            yield guest
        assert nodes() == before, "a device node was left"
    finally:
        os.close(lock)


def nodes() -> list[str]:
    """The names that volumes of a Xen instance have on this host."""
    return sorted(path.name for path in DEV.glob("xvd*"))


def devices(guest: Guest) -> dict[str, str]:
    """The loop device of each volume that this host can see."""
    shown: dict[str, list[str]] = guest.cloud.control(state=True)["devices"]
    return {volume: loop for volume, (loop, _) in shown.items()}


__all__ = ["REGION", "ROOT_DEVICE", "Guest", "Shell", "devices", "environ", "nodes", "shown_guest"]
