"""What the conformance kit is given to look at ec2 with: volumes' data, and this host as a Nitro instance."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import boto3.session  # noqa: F401 - for those who are forked
import botocore.session
from botocore.loaders import Loader, create_loader

from ec2_driver import sources
from ec2_parts import REGION, ZONE, Cloud
from imds_parts import IDENTITY, IDENTITY_PATH, Imds
from rexray.settings import Sources
from rexray.testing.kit.devices import BlockDevices
from rexray.types import Attachment, Device, InstanceId, VolumeId
from rexray_driver_ec2 import node, storage
from rexray_driver_ec2.settings import Ec2Settings

GIB = 1 << 30
_TREE = "KIT_TREE"
"""The variable with the folder that a simulated host's sysfs and /dev are in."""


class Files:
    """A volume's data: through its device while the cloud shows one, or else in the cloud's file."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def write(self, volume_id: VolumeId, offset: int, data: bytes) -> None:
        device, file = self._places(volume_id)
        if device is not None:
            BlockDevices().write(device, offset, data)
            return
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as opened:
            opened.seek(offset)
            opened.write(data)

    def read(self, volume_id: VolumeId, offset: int, length: int) -> bytes:
        device, file = self._places(volume_id)
        if device is not None:
            return BlockDevices().read(device, offset, length)
        if not file.exists():  # nothing was ever written
            return bytes(length)
        with file.open("rb") as opened:
            opened.seek(offset)
            return opened.read(length).ljust(length, b"\0")

    def _places(self, volume_id: VolumeId) -> tuple[Device | None, Path]:
        state = self._cloud.control(state=True)
        loop = state["devices"].get(volume_id, [""])[0]
        return Device(path=Path(loop)) if loop else None, Path(state["files"], volume_id)


class Ec2Storage(storage.Ec2Storage):
    """The driver, sharing what takes long: the kit makes hundreds of them, and forks many processes from one.

    Those have boto3 imported and EC2's model read, which each driver does anew otherwise.
    """

    @classmethod
    def make(cls, sources: Sources) -> Self:
        botocore.session.create_loader = _shared_loader
        return super().make(sources)


@functools.cache
def _shared_loader(search_path_string: str | None = None) -> Loader:
    loader = create_loader(search_path_string)
    loader.load_service_model("ec2", "service-2")
    return loader


_shared_loader()


class Ec2Node(node.Ec2Node):
    """The node driver on a host whose sysfs and ``/dev`` are in a folder."""

    @classmethod
    def make(cls, sources: Sources) -> Self:
        tree = Path(sources.environ[_TREE])
        return cls(sources.load(Ec2Settings), sys=tree / "sys", dev=tree / "dev")


class NitroHost:
    """An instance of a cloud of its own, which shows its volumes in a folder, and two more in the same zone."""

    def __init__(self, folder: Path, cloud: Cloud, imds: Imds) -> None:
        self.cloud, self.sys, self.dev = cloud, folder / "sys", folder / "dev"
        self.id, *self.others = (InstanceId(each) for each in cloud.instances(3, ZONE))
        cloud.control(shown=[self.id])
        identity = {**IDENTITY, "instanceId": self.id, "region": REGION, "availabilityZone": ZONE}
        imds.documents[IDENTITY_PATH] = json.dumps(identity)
        known = sources(cloud.url).environ
        here = ("AWS_ACCESS_KEY", "AWS_SECRET_KEY", "EC2_ENDPOINT", "EC2_STATUSINITIALDELAY")
        self.sources = Sources(
            environ={
                **{name: known[name] for name in here},
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url,
                _TREE: str(folder),
            }
        )

    @contextlib.contextmanager
    def stalled(self, attachment: Attachment) -> Iterator[None]:
        """A while in which the kernel has not found the volume's device yet."""
        _, shown = self.cloud.control(state=True)["devices"][attachment.volume_id]
        entry = self.sys / "block" / Path(shown).name
        disk = entry.readlink()
        entry.unlink()
        try:
            yield
        finally:
            entry.symlink_to(disk)


@contextlib.contextmanager
def nitro_host(folder: Path) -> Iterator[NitroHost]:
    """A Nitro instance with its cloud and its metadata service; nothing of it is left at the end."""
    dev = folder / "dev"
    dev.mkdir(parents=True)
    with Imds() as imds, Cloud(folder / "cloud", devices=True, nodes=dev, sys=folder / "sys") as cloud:
        host = NitroHost(folder, cloud, imds)
        yield host
        assert cloud.trouble() == []
    assert list(dev.iterdir()) == list((folder / "sys/block").iterdir()) == [], "a device was left"


@contextlib.contextmanager
def silence() -> Iterator[str]:
    """The URL of a service that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def data_cloud(folder: Path) -> Iterator[Cloud]:
    """A cloud whose volumes have data, and no devices."""
    with Cloud(folder, devices=True) as cloud:
        yield cloud
