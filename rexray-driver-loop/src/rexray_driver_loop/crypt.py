"""Encrypted volumes: LUKS2 on the volume's file, opened over its loop device by dm-crypt.

Facts: cryptsetup(8) and its exit codes, cryptsetup-luksFormat(8). A key is a file and reaches cryptsetup by its path.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from rexray import child
from rexray.errors import InUse, InvalidRequest, NotFound, RexrayError, Unsupported, WrongDevice
from rexray.locks import Locks
from rexray.names import check_name
from rexray_driver_loop import loops
from rexray_driver_loop.files import opened, told, write_bytes
from rexray_driver_loop.model import LUKS_HEADER_BYTES

DEFAULT_KEY = "default"
KEY_BYTES = 64
_SECONDS = 60.0
_SECTOR = 512
_NO_DEVICE, _BUSY = 4, 5
"""Exit codes of cryptsetup(8)."""


class Keys:
    """The key files of one directory."""

    def __init__(self, folder: Path, locks: Locks) -> None:
        self.folder = folder
        self._locks = locks

    def path(self, name: str) -> Path:
        """The file of a key, the default one is made if it is missing; ``NotFound`` for any other.

        The name that was asked for is not told: who mistakes it for the key itself must not find that in a log.
        """
        try:
            path = self.folder / check_name(name or DEFAULT_KEY)
        except InvalidRequest:
            raise InvalidRequest("the encryption key is to be the name of a file in the key directory") from None
        if path.name == DEFAULT_KEY and not path.exists():
            self._make(path)
        if not path.is_file():
            raise NotFound(f"the encryption key is no file in {self.folder}: put it there first")
        return path

    def _make(self, path: Path) -> None:
        with told("making a key"), self._locks.hold("keys", owner="making a key", timeout=_SECONDS):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not path.exists():
                write_bytes(self.folder, path.name, os.urandom(KEY_BYTES))


def check_support() -> None:
    """``Unsupported`` where cryptsetup, or dm-crypt in the kernel, is missing."""
    for program in ("cryptsetup", "dmsetup"):
        _program(program)
    modprobe = child.find("modprobe")
    if modprobe is not None:  # built in, loaded, or not there: see below
        child.run([modprobe, "--quiet", "dm_crypt"], seconds=_SECONDS, action="load dm_crypt")
    ended = child.run([_program("dmsetup"), "target-version", "crypt"], seconds=_SECONDS, action="look for dm-crypt")
    if ended.status != 0:
        raise Unsupported("encrypted volumes need dm-crypt, which this host's kernel does not have")


def format_file(file: Path, key: Path) -> None:
    """Make a file an empty LUKS2 container. The key has enough entropy of its own: no time is spent to stretch it."""
    stretch = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
    offset = ["--offset", str(LUKS_HEADER_BYTES // _SECTOR)]
    options = ["--batch-mode", "--type", "luks2", "--key-file", str(key), *stretch, *offset]
    _cryptsetup(["luksFormat", *options, str(file)])
    with opened(file, os.O_RDWR) as descriptor:
        os.fsync(descriptor)


def mapped(data: Path) -> Path | None:
    """The open device of an encrypted volume, None while it is not open."""
    device = _mapping(data)
    return device if device.exists() else None


def open_device(data: Path, loop: Path, key: Path, *, read_only: bool, seconds: float) -> Path:
    """Open an encrypted volume over its loop device; open already is success.

    ``InUse`` if the new device has the number of an earlier one whose node is still bound somewhere.
    """
    device = _mapping(data)
    if device.exists():
        _check_slave(device, loop)
        return device
    access = "--readonly" if read_only else "--allow-discards"
    _cryptsetup(["open", "--type", "luks2", access, "--key-file", str(key), str(loop), device.name], seconds=seconds)
    try:
        loops.refuse_bound(device)
    except BaseException:
        _close(device)
        raise
    return device


def close_device(data: Path) -> None:
    """Close an encrypted volume; not open is success, ``InUse`` while it is mounted, bound or held."""
    device = _mapping(data)
    if device.exists():
        loops.refuse_bound(device)
        _close(device)


def _close(device: Path) -> None:
    _cryptsetup(["close", device.name], allowed=(_NO_DEVICE,))


def resize_device(data: Path, key: Path) -> None:
    """Have an open encrypted volume be as large as its loop device is by now."""
    device = _mapping(data)
    if device.exists():
        _cryptsetup(["resize", "--key-file", str(key), device.name])


def _mapping(data: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()
    return Path(f"/dev/mapper/rexray-{digest[:24]}")


def _check_slave(device: Path, loop: Path) -> None:
    """An open device of that name over anything else is not the volume."""
    number = os.stat(device).st_rdev
    below = os.listdir(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/slaves")
    if below != [loop.name]:
        raise WrongDevice(f"{device} is over {', '.join(below) or 'nothing'} and not over {loop}: close it")


def _cryptsetup(arguments: list[str], *, seconds: float = _SECONDS, allowed: tuple[int, ...] = ()) -> None:
    action = f"cryptsetup {arguments[0]}"
    ended = child.run([_program("cryptsetup"), *arguments], seconds=max(seconds, 0.0), action=f"run {action}")
    if ended.status == _BUSY:
        raise InUse(f"{action}: {ended.complaint}")
    if ended.status not in (0, *allowed):
        raise RexrayError(f"{action}: {ended.complaint}")


def _program(name: str) -> str:
    found = child.find(name)
    if found is None:
        raise Unsupported(f"encrypted volumes need {name}, which is not installed on this host")
    return found
