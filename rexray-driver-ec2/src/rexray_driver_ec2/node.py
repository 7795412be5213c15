"""The node driver: this host's EBS volumes."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, Self

from rexray.core_settings import CoreSettings
from rexray.drivers import NodeDriver
from rexray.errors import InUse, InvalidRequest, NotReady, OutOfCapacity, SettingsError, TimedOut, WrongDevice
from rexray.settings import Sources
from rexray.types import (
    Attachment,
    BlockDevice,
    Device,
    DeviceIdentity,
    Instance,
    InstanceId,
    VolumeId,
)
from rexray_driver_ec2 import names
from rexray_driver_ec2.disks import Disks, whole
from rexray_driver_ec2.metadata import Host, Identity
from rexray_driver_ec2.settings import Ec2Settings
from rexray_driver_ec2.viability import viability

PROVIDER = "ec2"

NITRO_VOLUMES = 27
"""How many volumes a Nitro instance can have beside its root, where its type has no limit of its own.

Such an instance has 28 slots (AWS, "Amazon EBS volume limits for Amazon EC2 instances"), which its network interfaces
and its NVMe instance store take as well. aws-ebs-csi-driver takes 27 for types that it does not know.
"""
XEN_VOLUMES = 39
"""Xen instances have one limit that AWS advises not to pass: 40 volumes with the root."""

_VOLUME_ID = re.compile(r"vol-[0-9a-f]{8,32}")
_NAME = re.compile(r"xvd[a-z]{1,2}[0-9]{0,2}")
_SHORTEST_WAIT, _LONGEST_WAIT = 0.05, 0.5


class Ec2Node(NodeDriver):
    """Knows this instance from its metadata service, and its volumes' devices from the kernel.

    With ``remote`` it stands for the instance ``ec2.instanceID``, which is elsewhere: it has no devices here.
    ``sys`` and ``dev`` are where sysfs and the device nodes are. ``SettingsError``.
    """

    name = PROVIDER
    aliases = ("aws", "ebs")
    settings = Ec2Settings
    viable = staticmethod(viability)

    def __init__(
        self, settings: Ec2Settings, *, remote: bool = False, sys: Path = Path("/sys"), dev: Path = Path("/dev")
    ) -> None:
        settings.check()
        self._settings, self._remote = settings, remote
        self._host = Host(settings, remote=remote)
        self._disks, self._dev = Disks(sys, dev), dev

    @classmethod
    def make(cls, sources: Sources) -> Self:
        """The driver as the sources configure it; ``SettingsError``."""
        return cls(sources.load(Ec2Settings), remote=sources.load(CoreSettings).remote_management)

    def instance(self) -> Instance:
        """This host as its metadata service knows it; ``SettingsError`` if it is remote and none is named."""
        identity = self._identity()
        fields = {"instanceType": identity.instance_type, "accountId": identity.account_id}
        return Instance(
            id=InstanceId(identity.instance_id),
            provider=PROVIDER,
            region=identity.region,
            zone=identity.zone,
            max_volumes=self._max_volumes(),
            fields={key: value for key, value in fields.items() if value},
        )

    def devices(self) -> tuple[BlockDevice, ...]:
        """The volumes that tell who they are: a Nitro instance's, its root included, and none of a Xen instance's."""
        found = {} if self._remote else self._disks.volumes()
        if not found:
            return ()
        identity = self._identity()
        return tuple(
            BlockDevice(
                provider=PROVIDER,
                instance_id=InstanceId(identity.instance_id),
                volume_id=VolumeId(volume_id),
                device=str(device),
                region=identity.region,
                status="attached",
            )
            for volume_id, device in found.items()
        )

    def next_device(self) -> str:
        """A device name such as ``/dev/xvdf`` that nothing on this host has; empty for a remote instance.

        One of the preferred range at random: EC2 may refuse a name that looks free here, and it is not to be met for
        ever. ``OutOfCapacity`` if every name is in use.
        """
        if self._remote:
            return ""
        taken = self._disks.names_in_use() | {whole(name) for name in self._mapping().values()}
        free = [name for name in self._candidates() if names.canonical(name) not in taken]
        preferred = [name for name in free if name in names.SMALL_RANGE]
        if not free:
            first, last = self._candidates()[0], self._candidates()[-1]
            raise OutOfCapacity(f"every device name from {first} to {last} is in use on this host: detach a volume")
        return random.choice(preferred or free)

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        """What the attached volume's device is found by (Nitro), or the device itself once it is there (Xen).

        On Xen nothing but its name and its size (the attachment's field ``sizeBytes``) tells the volume:
        ``WrongDevice`` if the size differs, or if the name is that of the root or of an instance store volume.
        ``NotReady`` if the attachment is another instance's, ``InvalidRequest`` if it names no volume or device.
        """
        volume_id = attachment.volume_id
        identity = self._identity()
        if self._remote:
            raise NotReady(
                f"volume {volume_id!r} is attached to {attachment.instance_id!r}, which rexray.remoteManagement says "
                "is elsewhere: connect it there"
            )
        if attachment.instance_id != identity.instance_id:
            raise NotReady(
                f"the attachment of {volume_id!r} is to {attachment.instance_id!r}, and this is "
                f"{identity.instance_id!r}"
            )
        if self._disks.is_nitro():
            if not _VOLUME_ID.fullmatch(volume_id):
                raise InvalidRequest(f"{volume_id!r} is not the id of an EBS volume such as vol-0123456789abcdef0")
            return Device(identity=DeviceIdentity(serial=volume_id.replace("-", "")))
        return self._connect_xen(attachment, deadline)

    def disconnect(self, attachment: Attachment) -> None:
        """Nothing, as EC2 takes the device away; ``InUse`` while it is mounted, held or claimed by a program.

        EC2 would wait for that program, with the attachment ``busy``.
        """
        if self._remote or attachment.instance_id != self._identity().instance_id:
            return
        node = self._node_of(attachment)
        user = self._disks.user(node) if node is not None else ""
        if user:
            raise InUse(f"volume {attachment.volume_id!r} is in use on this host: {node} is {user}")

    def _identity(self) -> Identity:
        if self._remote and not self._settings.instance_id:
            raise SettingsError(
                "ec2.instanceID ($EC2_INSTANCEID) is missing: rexray.remoteManagement needs to know for which instance"
            )
        return self._host.identity

    def _candidates(self) -> tuple[str, ...]:
        return names.candidates(large=self._settings.use_large_device_range)

    def _mapping(self) -> Mapping[str, str]:
        """The canonical names of the devices that the instance came with."""
        return {key: names.canonical(device) for key, device in self._host.block_devices().items()}

    def _max_volumes(self) -> int:
        """The setting, or the limit of the instance's kind less the volumes that it came with; 0 for a remote one.

        Those are in the block device mapping as ``ebsN``. A volume that REX-Ray had attached when the instance was
        last stopped and started is there as well: what has a name of REX-Ray's range does not count.
        """
        if self._settings.max_volumes or self._remote:
            return self._settings.max_volumes
        ours = {names.canonical(name) for name in names.candidates(large=False)}
        others = [key for key, name in self._mapping().items() if key.startswith("ebs") and whole(name) not in ours]
        return max((XEN_VOLUMES if self._disks.is_xen() else NITRO_VOLUMES) - len(others), 1)

    def _node_of(self, attachment: Attachment) -> Path | None:
        if self._disks.is_nitro():
            return self._disks.volumes().get(attachment.volume_id)
        name = names.canonical(attachment.token or attachment.device)
        try:
            return self._disks.find_xen(name) if _NAME.fullmatch(name) else None
        except WrongDevice:
            return None

    def _connect_xen(self, attachment: Attachment, deadline: float) -> Device:
        asked = attachment.token or attachment.device
        name = names.canonical(asked)
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"the attachment of {attachment.volume_id!r} has the device name {asked!r}, not one such as /dev/xvdf"
            )
        size = _size_of(attachment)
        for key, taken in self._mapping().items():
            if not key.startswith("ebs") and whole(taken) == whole(name):
                self._wrong(attachment, f"{asked} is the instance's {key} device")
        until = time.monotonic() + deadline
        pause = _SHORTEST_WAIT
        while (node := self._disks.find_xen(name)) is None:
            left = until - time.monotonic()
            if left <= 0:
                raise TimedOut(
                    f"volume {attachment.volume_id!r} did not appear as {self._dev / name} on this host within "
                    f"{deadline:g} s"
                )
            time.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_WAIT)
        found = self._disks.size(node)
        if size and found != size:
            self._wrong(attachment, f"{node} has {found} bytes, and the volume has {size}")
        return Device(path=node)

    def _wrong(self, attachment: Attachment, why: str) -> NoReturn:
        raise WrongDevice(f"the device of {attachment.volume_id!r} is not its own: {why}; nothing was done to it")


def _size_of(attachment: Attachment) -> int:
    """The volume's size in bytes, 0 where the attachment does not tell."""
    text = attachment.fields.get("sizeBytes", "")
    if text and not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise InvalidRequest(
            f"the attachment of {attachment.volume_id!r} has sizeBytes {text!r}, not a number of bytes"
        )
    return int(text or 0)
