"""What the conformance kit is given to look at scaleio with: volumes' data, and a host that shows them in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from gateway_parts import Gateway
from rexray.settings import Sources
from rexray.testing.kit.devices import BlockDevices
from rexray.types import Attachment, Device, VolumeId
from rexray_driver_scaleio.node import ScaleIoNode
from rexray_driver_scaleio.settings import ScaleIoSettings
from scaleio_parts import environ
from sdc_parts import SdcHost

_DEV = "KIT_DEV"
"""The variable with the folder that a simulated host's devices are in."""


class Backing:
    """A volume's data: through its device while the host shows one, or else in the simulator's file."""

    def __init__(self, gateway: Gateway, host: SdcHost | None = None) -> None:
        self._gateway, self._host = gateway, host

    def write(self, volume_id: VolumeId, offset: int, data: bytes) -> None:
        device = self._device(volume_id)
        if device is not None:
            BlockDevices().write(device, offset, data)
            return
        with self._gateway.backing(volume_id).open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def read(self, volume_id: VolumeId, offset: int, length: int) -> bytes:
        device = self._device(volume_id)
        if device is not None:
            return BlockDevices().read(device, offset, length)
        with self._gateway.backing(volume_id).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def _device(self, volume_id: VolumeId) -> Device | None:
        path = self._host.device(volume_id) if self._host is not None else None
        return Device(path=path) if path is not None else None


class FolderNode(ScaleIoNode):
    """The node driver on a host whose ``/dev`` is a folder."""

    @classmethod
    def make(cls, sources: Sources) -> Self:
        return cls(sources.load(ScaleIoSettings), dev=Path(sources.environ[_DEV]))


def node_sources(host: SdcHost) -> Sources:
    """What configures the drivers on that host."""
    return Sources(environ=environ(host.gateway, SCALEIO_DRVCFG=str(host.drv_cfg), **{_DEV: str(host.dev)}))


@contextlib.contextmanager
def stalled(host: SdcHost, attachment: Attachment) -> Iterator[None]:
    """A while in which udev has not made the link of the volume's device yet."""
    link = host.link(attachment.volume_id)
    target = link.readlink()
    link.unlink()
    try:
        yield
    finally:
        link.symlink_to(target)
