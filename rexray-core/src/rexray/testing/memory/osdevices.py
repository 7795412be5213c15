"""The OS driver's part that is about block devices: finding, probing and formatting them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from rexray.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    InvalidRequest,
    NotFound,
    TimedOut,
    Unavailable,
    Unsupported,
    WrongDevice,
)
from rexray.testing.memory import filesystem
from rexray.testing.memory.base import MemoryCalls
from rexray.testing.memory.copies import Array
from rexray.testing.memory.model import VolumeRecord
from rexray.testing.memory.node import identity_of
from rexray.types import Device, DeviceIdentity


class DeviceCalls(MemoryCalls):
    """``locate``, ``probe``, ``format`` and ``device_size`` of the contract."""

    def locate(self, device: Device, *, deadline: float) -> Device:
        """The device with its node's path, its identity proven; ``TimedOut`` if it does not appear in time."""
        if device.path == Path() and device.identity == DeviceIdentity():
            raise InvalidRequest("a device with neither a path nor an identity cannot be located")
        until = time.monotonic() + deadline
        found = self._ask("locate", lambda array: self._look(array, device), deadline=deadline)
        if found is None:
            self.platform.wait(lambda array: self._look(array, device) is not None, until - time.monotonic())
            with self.platform.looking() as array:
                found = self._look(array, device)
        if found is None:
            raise TimedOut(f"{self._words(device)} did not appear within {deadline:g} s")
        return Device(path=Path(found), identity=device.identity)

    def probe(self, device: Device) -> str:
        """What the device holds, empty only when every byte of it is zero.

        ``AlreadyExists`` for data of no known kind, ``Unavailable`` if it cannot be read.
        """
        return self._ask("probe", lambda array: self._probed(self._held(array, device), device))

    def format(self, device: Device, fs_type: str, *, overwrite: bool = False) -> None:
        """Make a filesystem; a device in use is ``InUse`` whatever was asked, one to read only ``Forbidden``."""
        if fs_type not in filesystem.KINDS:
            kinds = ", ".join(filesystem.KINDS)
            raise Unsupported(f"cannot make a filesystem of type {fs_type!r}: it can be {kinds}")

        def work(array: Array) -> None:
            volume = self._held(array, device)
            self._refuse_used(array, volume, device)
            self._refuse_read_only(volume, f"format {self._words(device)}")
            if not overwrite:
                self._refuse_content(volume, device)
            array.write(volume.id, filesystem.make(fs_type, volume.size_bytes))

        self._change("format", work)

    def device_size(self, device: Device) -> int:
        """The size of the device in bytes."""
        return self._ask("device_size", lambda array: self._held(array, device).size_bytes)

    def _look(self, array: Array, device: Device) -> str | None:
        """The path of a connected device, None while there is none; ``WrongDevice`` if another one is there."""
        for volume in self._connected(array):
            path = volume.links[self._settings.instance].device
            if device.path == Path():
                if self._is_proven(volume, device):
                    return path
            elif path == str(device.path):
                self._prove(volume, device)
                return path
        return None

    def _held(self, array: Array, device: Device) -> VolumeRecord:
        """The volume whose device is there, its identity proven; every step on a device begins with this."""
        if device.path == Path():
            raise InvalidRequest("a device without a path has to be located first")
        for volume in self._connected(array):
            if volume.links[self._settings.instance].device == str(device.path):
                self._prove(volume, device)
                if volume.sick:
                    raise Unavailable(f"{self._words(device)} cannot be read: {volume.sick}")
                return volume
        raise NotFound(f"{self._words(device)} does not exist")

    def _connected(self, array: Array) -> list[VolumeRecord]:
        here = self._settings.instance
        connected = array.host(here).connected
        return [volume for token, volume in array.links_of(here).items() if token in connected]

    def _prove(self, volume: VolumeRecord, device: Device) -> None:
        if not self._is_proven(volume, device):
            raise WrongDevice(
                f"{self._words(device)} is not the one expected: it has {identity_of(volume)}, not {device.identity}; "
                "nothing was done to it"
            )

    def _is_proven(self, volume: VolumeRecord, device: Device) -> bool:
        """Whether every field of the identity that is set holds."""
        mine, wanted = identity_of(volume), device.identity
        pairs = [
            (wanted.serial, mine.serial),
            (wanted.wwn, mine.wwn),
            (wanted.link, mine.link),
            (wanted.backing_file, mine.backing_file),
        ]
        return all(asked in ("", found) for asked, found in pairs)

    def _probed(self, volume: VolumeRecord, device: Device) -> str:
        try:
            return filesystem.probe(volume.content)
        except AlreadyExists as error:
            raise AlreadyExists(f"{self._words(device)}: {error}") from None

    def _refuse_content(self, volume: VolumeRecord, device: Device) -> None:
        found = self._probed(volume, device)
        if found:
            raise AlreadyExists(
                f"{self._words(device)} holds {found}; nothing was done; "
                "to lose that and make a filesystem, ask for it with --overwritefs"
            )

    def _refuse_used(self, array: Array, volume: VolumeRecord, device: Device) -> None:
        if self._token(volume) in array.host(self._settings.instance).claimed:
            raise InUse(f"{self._words(device)} is held by a process that has it open for itself")
        for mount in array.host(self._settings.instance).mounts.values():
            if mount.volume_id == volume.id:
                raise InUse(f"{self._words(device)} is mounted at {mount.target!r}: unmount it first")

    def _refuse_read_only(self, volume: VolumeRecord, action: str) -> None:
        if volume.links[self._settings.instance].read_only:
            raise Forbidden(f"cannot {action}: volume {volume.id!r} is attached read-only")

    def _words(self, device: Device) -> str:
        return f"device {str(device.path)!r}" if device.path != Path() else f"a device with {device.identity}"


def failure(code: int, place: str) -> OSError:
    """The error that the kernel raises for a path."""
    return OSError(code, os.strerror(code), place)
