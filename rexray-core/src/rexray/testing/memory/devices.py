"""What processes of a host do with its devices themselves, past every driver."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import replace

from rexray.testing.memory import content
from rexray.testing.memory.copies import Array
from rexray.testing.memory.osdevices import DeviceCalls, failure
from rexray.types import Device


class MemoryDevices(DeviceCalls):
    """Reads, writes and holds the devices of the instance of the setting ``memory.instance``.

    A device that is not there, or not the one that its identity says, is the error that the OS driver raises.
    """

    def size(self, device: Device) -> int:
        """The size of the device in bytes."""
        return self.device_size(device)

    def read(self, device: Device, offset: int, length: int) -> bytes:
        """That many bytes, fewer at the device's end."""

        def work(array: Array) -> bytes:
            volume = self._held(array, device)
            return content.read(volume.content, offset, min(length, max(volume.size_bytes - offset, 0)))

        return self._ask("read_device", work)

    def write(self, device: Device, offset: int, data: bytes) -> None:
        """Write the data there; ``OSError`` beyond the end, and to a device that can only be read."""

        def work(array: Array) -> None:
            volume = self._held(array, device)
            if volume.links[self._settings.instance].read_only:
                raise failure(errno.EROFS, str(device.path))
            if offset + len(data) > volume.size_bytes:
                raise failure(errno.ENOSPC, str(device.path))
            array.write(volume.id, content.write(volume.content, offset, data))

        self._change("write_device", work)

    @contextlib.contextmanager
    def claim(self, device: Device) -> Iterator[None]:
        """Have the device for oneself, as by O_EXCL: nobody else mounts, formats or disconnects it meanwhile.

        ``OSError`` for one that is in use.
        """
        token = self._change("claim", lambda array: self._claimed(array, device))
        try:
            yield
        finally:
            self._change("claim", lambda array: self._set_claims(array, self._claims(array) - {token}))

    def _claimed(self, array: Array, device: Device) -> str:
        volume = self._held(array, device)
        token = self._token(volume)
        mounts = array.host(self._settings.instance).mounts.values()
        if token in self._claims(array) or any(mount.token == token for mount in mounts):
            raise failure(errno.EBUSY, str(device.path))
        self._set_claims(array, self._claims(array) | {token})
        return token

    def _claims(self, array: Array) -> set[str]:
        return set(array.host(self._settings.instance).claimed)

    def _set_claims(self, array: Array, claims: set[str]) -> None:
        host = array.host(self._settings.instance)
        array.state.hosts[self._settings.instance] = replace(host, claimed=tuple(sorted(claims)))
