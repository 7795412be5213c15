"""Finding a connected block device, and waiting for one."""

from __future__ import annotations

import os
import socket
import stat
import time
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType

from rexray.errors import InvalidRequest, NotReady, TimedOut, WrongDevice
from rexray.types import Device, DeviceIdentity
from rexray_os_linux import blockdev
from rexray_os_linux.held import Held
from rexray_os_linux.identity import is_mapping, mismatch, multipath_holder

_NETLINK_KOBJECT_UEVENT = 15
_KERNEL_AND_UDEV = 1 | 2
"""Multicast groups: the kernel's own events, and udev's once it has made the links."""
_SHORTEST_WAIT, _LONGEST_WAIT = 0.05, 0.5


class Devices:
    """The block devices as sysfs and /dev show them."""

    def __init__(self, sys: Path = Path("/sys"), dev: Path = Path("/dev")) -> None:
        self._sys, self._dev = sys, dev

    @property
    def by_id(self) -> Path:
        """Where udev puts links with the devices' identities."""
        return self._dev / "disk/by-id"

    def hold(self, device: Device) -> Held:
        """The device that is there now, opened, its identity proven by what is open.

        ``NotFound``, ``NotReady``, ``WrongDevice``. The caller closes it.
        """
        if device.path == Path():
            raise InvalidRequest("a device without a path has to be located first")
        blockdev.number(device.path)
        found = self._look_at(device.path, device.identity)
        if found is None:
            raise NotReady(f"device {str(device.path)!r} has a size of 0 bytes")
        fd = blockdev.open_device(found)
        try:
            held = Held(
                node=found,
                number=os.fstat(fd).st_rdev,
                fd=fd,
                difference=lambda node: self._difference(device.identity, node),
            )
            held.check()
        except BaseException:
            os.close(fd)
            raise
        return held

    def _difference(self, identity: DeviceIdentity, node: Path) -> str:
        return mismatch(identity, self._disk(os.stat(node).st_rdev), node, self._dev)

    def _disk(self, number: int) -> Path:
        """A device's directory in sysfs."""
        return Path(os.path.realpath(self._sys / "dev/block" / blockdev.name_of(number)))

    def locate(self, device: Device, *, deadline: float) -> Device:
        """The device with its node's path, once it is there and is the right one.

        ``TimedOut`` after that many seconds; ``WrongDevice`` as soon as something else is found in its place.
        """
        if device.path == Path() and device.identity == DeviceIdentity():
            raise InvalidRequest("a device with neither a path nor an identity cannot be located")
        until = time.monotonic() + deadline
        pause = _SHORTEST_WAIT
        with Uevents() as events:
            while (found := self._look(device)) is None:
                left = until - time.monotonic()
                if left <= 0:
                    raise TimedOut(f"{_described(device)} did not appear within {deadline:g} s")
                heard = events.wait(min(pause, left))
                pause = _SHORTEST_WAIT if heard else min(pause * 2, _LONGEST_WAIT)
        return Device(path=found, identity=device.identity)

    def _look(self, device: Device) -> Path | None:
        if device.path != Path():
            return self._look_at(device.path, device.identity)
        if device.identity.link and (link := self.by_id / device.identity.link).exists():
            return self._look_at(link, device.identity)
        return self._scan(device.identity)

    def _look_at(self, path: Path, identity: DeviceIdentity) -> Path | None:
        """The node behind a path, None while there is none with anything in it."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        if not stat.S_ISBLK(status.st_mode):
            raise WrongDevice(f"{str(path)!r} is not a block device; nothing was done to it")
        disk = self._disk(status.st_rdev)
        node = Path(os.path.realpath(path))
        if not _has_size(disk):
            return None
        if wrong := mismatch(identity, disk, node, self._dev):
            raise WrongDevice(f"device {str(path)!r} is not the one expected: {wrong}; nothing was done to it")
        return self._preferred(disk, node)

    def _scan(self, identity: DeviceIdentity) -> Path | None:
        """The one disk that has the identity; several are one if they have the same WWN or file, or else ambiguous."""
        found: dict[Path, None] = {}
        for entry in sorted((self._sys / "block").iterdir()):
            disk = Path(os.path.realpath(entry))
            node = self._node_of(disk)
            if node is None or is_mapping(disk) or not _has_size(disk):
                continue
            if not mismatch(identity, disk, node, self._dev):
                found[self._preferred(disk, node)] = None
        if len(found) > 1 and not identity.wwn and not identity.backing_file:
            names = ", ".join(str(node) for node in found)
            raise WrongDevice(f"{_described(Device(identity=identity))} is ambiguous: {names}; nothing was done")
        return next(iter(found), None)

    def _preferred(self, disk: Path, node: Path) -> Path:
        """The multipath device that the disk is a path of, if there is one with its node; otherwise the disk."""
        holder = multipath_holder(disk)
        return (self._node_of(holder) if holder else None) or node

    def _node_of(self, disk: Path) -> Path | None:
        """The disk's node, None while there is none or it is another device's."""
        with suppress(OSError):
            names = [line[8:] for line in (disk / "uevent").read_text().splitlines() if line.startswith("DEVNAME=")]
            for node in (self._dev / name for name in names):
                if blockdev.name_of(os.stat(node).st_rdev) == (disk / "dev").read_text().strip():
                    return node
        return None


def _has_size(disk: Path) -> bool:
    try:
        return int((disk / "size").read_text()) > 0
    except (OSError, ValueError):
        return False


def _described(device: Device) -> str:
    if device.path != Path():
        return f"device {str(device.path)!r}"
    identity = device.identity
    words = {
        "serial": identity.serial,
        "WWN": identity.wwn,
        "link": identity.link,
        "backing file": identity.backing_file,
    }
    return "a device with " + ", ".join(f"{what} {value!r}" for what, value in words.items() if value)


class Uevents:
    """The kernel's announcements of devices; deaf where a container may not hear them, and then only a pause."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        with suppress(OSError):
            listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_KOBJECT_UEVENT)
            try:
                listener.bind((0, _KERNEL_AND_UDEV))
            except OSError:
                listener.close()
                raise
            self._socket = listener

    def __enter__(self) -> Uevents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._socket is not None:
            with closing(self._socket):
                self._socket = None

    def wait(self, seconds: float) -> bool:
        """Wait for an announcement, at most that long; whether there was one."""
        if self._socket is None:
            time.sleep(seconds)
            return False
        self._socket.settimeout(max(seconds, 0.001))
        try:
            self._socket.recv(1)
            self._socket.settimeout(0)
            while True:
                self._socket.recv(1)
        except TimeoutError:
            return False
        except BlockingIOError:
            return True
        except OSError:  # more of them than the socket holds
            return True
