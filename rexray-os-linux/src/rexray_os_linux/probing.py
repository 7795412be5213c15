"""What a device holds, and the proof that it holds nothing.

Facts: blkid(8) with ``-p`` reads the device itself and not a cache; it ends with 0 when it knows what it found, with 8
when that is ambiguous, and with 2 both when it found nothing and when it could not read.
"""

from __future__ import annotations

import os
from pathlib import Path

from rexray import child
from rexray.deadlines import within
from rexray.errors import AlreadyExists, RexrayError
from rexray_os_linux import blockdev

_FOUND, _NOTHING, _AMBIGUOUS = 0, 2, 8
_OVERWRITE = "to lose what it holds and make a filesystem, ask for it with --overwritefs"


def probe(node: Path, seconds: float) -> str:
    """The word for what is on the device (``ext4``, ``crypto_LUKS``, ``partition table gpt``), empty if it is blank.

    Blank is proven: nothing recognised, and the first and the last MiB were read in full and are zero.
    ``AlreadyExists`` for data of no known kind and for signatures of several kinds,
    ``Unavailable`` if it cannot be read.
    """
    action = f"read device {str(node)!r}"
    within(seconds, action, lambda: _forget(node))
    blkid = child.need("blkid", "util-linux")
    ended = child.run([blkid, "-p", "-o", "export", str(node)], seconds=seconds, action=action)
    if ended.status == _AMBIGUOUS:
        raise AlreadyExists(
            f"device {str(node)!r} has the signatures of more than one kind of content; nothing was done; {_OVERWRITE}"
        )
    if ended.status not in (_FOUND, _NOTHING):
        raise RexrayError(f"cannot {action}: {ended.complaint}")
    found = dict(line.split("=", 1) for line in ended.stdout.splitlines() if "=" in line)
    if kind := found.get("TYPE"):
        return kind
    if table := found.get("PTTYPE"):
        return f"partition table {table}"
    if not within(seconds, action, lambda: blockdev.ends_are_zero(node)):
        raise AlreadyExists(f"device {str(node)!r} holds data of no known kind; nothing was done; {_OVERWRITE}")
    return ""


def _forget(node: Path) -> None:
    """See that the device can be opened, and drop what the page cache holds of it.

    While somebody has a device open, such as udev or a shell, the cache may be older than what another host wrote.
    """
    fd = blockdev.open_device(node)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
