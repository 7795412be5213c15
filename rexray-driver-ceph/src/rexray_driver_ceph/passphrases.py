"""The passphrases of encrypted images: files in one directory, which reach every program by their path alone.

Fact, tried with Ceph 16: ``rbd`` and ``rbd-nbd`` leave out a newline at the file's end, cryptsetup and QEMU do not.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rexray import redaction
from rexray.errors import InvalidRequest, NotReady, SettingsError
from rexray.names import check_name
from rexray_driver_ceph.settings import RbdSettings

DEFAULT = "default"
"""The name of the passphrase of volumes that name none."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def find(settings: RbdSettings, key: str) -> Path:
    """The file of a passphrase, the default one where none is named.

    ``NotReady`` if it is not there, ``SettingsError`` if others could read or change it. The name that was asked for is
    told only where there is such a file: who mistakes it for the passphrase itself must not find that in a log.
    """
    folder = settings.keys
    try:
        path = folder / check_name(key or DEFAULT, "encryption key")
        facts = os.lstat(path)
    except InvalidRequest:
        raise InvalidRequest("the encryption key is to be the name of a file in the key directory") from None
    except OSError:
        name = f"{DEFAULT!r}" if key in ("", DEFAULT) else "of that name"
        raise NotReady(
            f"the passphrase of the encrypted volume is missing: put a file {name} with it into {folder} "
            "(rbd.keyDirectory), for root alone"
        ) from None
    _check(path, facts)
    return path


def read(path: Path) -> bytes:
    """The passphrase as Ceph's programs take it from its file."""
    found = path.read_bytes().removesuffix(b"\n")
    redaction.register(found.decode(errors="surrogateescape"), passing=True)
    return found


def _check(path: Path, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise SettingsError(f"{path}: a passphrase is to be in a plain file, and this is a directory, link or device")
    if facts.st_uid not in (0, os.geteuid()):
        raise SettingsError(f"{path}: it belongs to the user {facts.st_uid}, who may change it: say chown root {path}")
    if facts.st_mode & _OTHERS:
        raise SettingsError(f"{path}: others than its owner may use this passphrase: say chmod 600 {path}")
    if not facts.st_size:
        raise SettingsError(f"{path}: it is empty, and no passphrase")
