"""The node driver."""

from __future__ import annotations

from pathlib import Path

from rexray.drivers import NodeDriver
from rexray.errors import InUse, NotReady, WrongDevice
from rexray.testing.memory.array import next_device
from rexray.testing.memory.base import PROVIDER, MemoryCalls
from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import REGIONS, VolumeRecord
from rexray.testing.memory.settings import MemorySettings
from rexray.types import Attachment, BlockDevice, Device, DeviceIdentity, Instance, InstanceId, VolumeId


class MemoryNode(MemoryCalls, NodeDriver):
    """The instance of the setting ``memory.instance``; it shows what is attached there as block devices."""

    name = PROVIDER
    settings = MemorySettings

    def instance(self) -> Instance:
        """This host; ``NotFound`` if the platform does not know it."""
        return self._ask("instance", lambda array: self._instance(array, self._settings.instance))

    def devices(self) -> tuple[BlockDevice, ...]:
        """The volumes of this instance that are connected, with their devices."""

        def work(array: Array) -> tuple[BlockDevice, ...]:
            here = self._settings.instance
            connected = array.host(here).connected
            found = [volume for token, volume in array.links_of(here).items() if token in connected]
            return tuple(self._described_device(volume) for volume in found)

        return self._ask("devices", work)

    def next_device(self) -> str:
        """The first name that this instance does not use; two who ask at once are told the same."""
        return self._ask("next_device", lambda array: next_device(array.devices_of(self._settings.instance)))

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        """The device of an attached volume, made unless it is there.

        ``NotReady`` if the volume is not attached to this instance, ``InUse`` if it is to another one by now,
        ``NotFound`` if it does not exist, ``WrongDevice`` if the token is an earlier attachment's.
        """

        def work(array: Array) -> Device:
            volume = array.volume(attachment.volume_id)
            self._refuse_foreign(attachment, volume)
            link = volume.links[self._settings.instance]
            array.connect(link.token, self._settings.instance)
            return Device(path=Path(link.device), identity=identity_of(volume))

        return self._change("connect", work, deadline=deadline)

    def disconnect(self, attachment: Attachment) -> None:
        """Let the device go; ``InUse`` while it is mounted. What another instance connected is left to it."""
        here = self._settings.instance
        if attachment.instance_id == here:
            self._change("disconnect", lambda array: array.disconnect(attachment.volume_id, here))

    def _described_device(self, volume: VolumeRecord) -> BlockDevice:
        here = self._settings.instance
        return BlockDevice(
            provider=self.name,
            instance_id=InstanceId(here),
            volume_id=VolumeId(volume.id),
            device=volume.links[here].device,
            region=REGIONS[0],
            status="attached",
            network_name=self._token(volume),
        )

    def _refuse_foreign(self, attachment: Attachment, volume: VolumeRecord) -> None:
        here, what = self._settings.instance, f"volume {volume.id!r}"
        if attachment.instance_id != here:
            raise NotReady(f"the attachment of {what} is to {attachment.instance_id!r}, and this is {here!r}")
        if here not in volume.links:
            holders = ", ".join(map(repr, sorted(volume.links)))
            if holders:
                raise InUse(f"{what} is attached to {holders} by now, not to {here!r}")
            raise NotReady(f"{what} is not attached to {here!r} any more: attach it first")
        if attachment.token not in ("", volume.links[here].token):
            raise WrongDevice(
                f"{what} is attached to {here!r} as {volume.links[here].token!r}, not as {attachment.token!r}: "
                "the attachment is an earlier one"
            )


def identity_of(volume: VolumeRecord) -> DeviceIdentity:
    """What proves that a device is a volume's."""
    return DeviceIdentity(serial=volume.serial, link=f"memory-{volume.serial}")
