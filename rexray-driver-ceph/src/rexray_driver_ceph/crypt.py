"""dm-crypt over a mapped device: ``rbd encryption format`` writes a header as LUKS has it.

Facts: cryptsetup(8) and its exit codes; rbd(8), "Encryption". A passphrase is a file and reaches cryptsetup by its
path.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from rexray import child, faults
from rexray.errors import Forbidden, InUse, RexrayError, Unsupported, WrongDevice
from rexray_driver_ceph import passphrases
from rexray_driver_ceph.mapping import SECTOR, load_module, size_of

_BAD_PASSPHRASE, _NO_DEVICE, _BUSY = 2, 4, 5
"""Exit codes of cryptsetup(8)."""

_MAPPER = Path("/dev/mapper")


def name_of(fsid: str, image_id: str) -> str:
    """What the opened device of an image is called, the same at all times."""
    return "rexray-rbd-" + hashlib.sha256(f"{fsid}/{image_id}".encode()).hexdigest()[:24]


def opened(name: str) -> Path | None:
    """The opened device, None while there is none."""
    device = _MAPPER / name
    return device if device.exists() else None


def open_device(name: str, lower: Path, passphrase: Path, *, read_only: bool, seconds: float) -> Path:
    """Open an encrypted device; open already is success, over another device ``WrongDevice``."""
    device = opened(name)
    if device is not None:
        _check_below(device, lower)
        return device
    load_module("dm_crypt")
    access = "--readonly" if read_only else "--allow-discards"
    words = ["open", "--type", "luks2", access, *_key(passphrase), str(lower), name]
    _cryptsetup(words, seconds=seconds)
    faults.point("rbd-crypt-opened")
    return _MAPPER / name


def close_device(name: str, *, seconds: float) -> None:
    """Close it; not open is success, ``InUse`` while it is mounted or held."""
    if opened(name) is not None:
        _cryptsetup(["close", name], seconds=seconds, allowed=(_NO_DEVICE,))


def refresh(name: str, lower: Path, passphrase: Path, *, seconds: float) -> None:
    """Have an opened device be as large as the one below has become."""
    said = _cryptsetup(["status", name], seconds=seconds)
    offset = re.search(r"offset:\s*(\d+)", said)
    if offset is None or int(offset[1]) * SECTOR + size_of(_MAPPER / name) < size_of(lower):
        _cryptsetup(["resize", *_key(passphrase), name], seconds=seconds)


def _key(passphrase: Path) -> list[str]:
    return ["--key-file", str(passphrase), "--keyfile-size", str(len(passphrases.read(passphrase)))]


def _check_below(device: Path, lower: Path) -> None:
    number = os.stat(device).st_rdev
    below = os.listdir(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/slaves")
    if below != [lower.name]:
        raise WrongDevice(f"{device} is over {', '.join(below) or 'nothing'} and not over {lower}: close it")


def _cryptsetup(words: list[str], *, seconds: float, allowed: tuple[int, ...] = ()) -> str:
    program = child.find("cryptsetup")
    if program is None:
        raise Unsupported("encrypted images by krbd need cryptsetup, which is not installed: or set rbd.mapper: nbd")
    action = f"cryptsetup {words[0]}"
    ended = child.run([program, *words], seconds=max(seconds, 0.1), action=action)
    if ended.status == _BUSY:
        raise InUse(f"{action}: {ended.complaint}")
    if ended.status == _BAD_PASSPHRASE:
        raise Forbidden(f"{action}: the key file in rbd.keyDirectory does not have the passphrase of the image")
    if ended.status not in (0, *allowed):
        raise RexrayError(f"{action}: {ended.complaint}")
    return ended.stdout
