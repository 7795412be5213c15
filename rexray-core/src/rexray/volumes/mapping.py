"""The volumes that this host has, with their devices: what its node sees and what the platform knows, put together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rexray.types import BlockDevice, Instance
from rexray.volumes.platform import Platform


def block_devices(platform: Platform, here: Instance) -> tuple[BlockDevice, ...]:
    """The devices of the volumes that the platform says are attached to this host, by device name.

    The node's word for a device counts, the platform's where the node has none; a volume without either is left out.
    """
    return tuple(sorted(_merged(platform, here), key=lambda device: device.device))


def _merged(platform: Platform, here: Instance) -> Iterator[BlockDevice]:
    seen = {device.volume_id: device for device in platform.node.devices()}
    for volume in platform.storage.attached(here.id):
        for attachment in volume.attachments:
            if attachment.instance_id != here.id:
                continue
            device = seen.get(volume.id) or BlockDevice(
                provider=platform.storage.name, instance_id=here.id, volume_id=volume.id, device=attachment.device
            )
            if device.device:
                region, status = device.region or here.region, device.status or attachment.status
                yield replace(device, region=region, status=status)
