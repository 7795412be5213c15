"""The ``qemu-storage-daemon`` of an export: starting it, and finding it again."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rexray import child, outliving
from rexray.errors import Forbidden, InUse, NotFound, RexrayError, Unauthorized, Unavailable
from rexray_driver_ceph.mapping import Wanted

PROGRAM = "qemu-storage-daemon"
NODE = "image"
"""What the daemon calls the image."""
_NO_KEY = "encryption load fail"
_ERRORS: dict[str, type[RexrayError]] = {
    "No such file or directory": NotFound,
    "Permission denied": Unauthorized,
    "Operation not permitted": Forbidden,
    "Connection timed out": Unavailable,
    "timed out": Unavailable,
    "Read-only file system": InUse,
}
_DRIVER = ("/usr/lib/*/qemu/block-rbd.so", "/usr/lib64/qemu-kvm/block-rbd.so", "/usr/lib*/qemu/block-rbd.so")


def key_of(cluster: str, image: str) -> str:
    """The name of an export's directory."""
    return hashlib.sha256(f"{cluster} {image}".encode()).hexdigest()[:24]


@functools.cache
def has_rbd() -> bool:
    """Whether QEMU's driver for RBD is installed; distributions have it in a package of its own."""
    return any(any(Path("/").glob(pattern.lstrip("/"))) for pattern in _DRIVER)


def start(wanted: Wanted, *, file: Path, conf: Path, user: str, listener: int, seconds: float) -> None:
    """Have the image show as that file, by a daemon that outlives this process; it takes commands at ``listener``."""
    image = {
        "driver": "rbd",
        "node-name": NODE,
        "pool": wanted.spec.pool.name,
        "image": wanted.spec.image,
        "conf": str(conf),
        "user": user,
        "discard": "unmap",
        "read-only": wanted.read_only,
    }
    if wanted.spec.pool.namespace:
        image["namespace"] = wanted.spec.pool.namespace
    words = ["--daemonize", "--chardev", f"socket,id=commands,fd={listener},server=on,wait=off"]
    words += ["--monitor", "chardev=commands"]
    if wanted.passphrase is not None:
        image["encrypt"] = {"format": "luks2", "key-secret": "passphrase"}
        words += ["--object", json.dumps({"qom-type": "secret", "id": "passphrase", "file": str(wanted.passphrase)})]
    export = {"type": "fuse", "id": "file", "node-name": NODE, "mountpoint": str(file)}
    words += ["--blockdev", json.dumps(image)]
    words += ["--export", json.dumps({**export, "writable": not wanted.read_only})]
    action = f"serve {wanted.spec} in user space"
    command = [child.need(PROGRAM, "qemu-system-common"), *words]
    ended = outliving.run(command, name=PROGRAM, seconds=max(seconds, 0.1), action=action, keep=(listener,))
    if ended.status != 0:
        raise _refusal(ended.complaint.rpartition("}: ")[2], action)


def serving(file: Path) -> Iterator[int]:
    """The daemons that show something as that file, or are about to."""
    wanted = os.fsencode(json.dumps(str(file)))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if os.path.basename(words[0]) == PROGRAM.encode() and any(wanted in word for word in words):
                yield int(pid)


def _refusal(complaint: str, action: str) -> RexrayError:
    if _NO_KEY in complaint:
        return Forbidden(
            f"cannot {action}: the key file in rbd.keyDirectory does not have the passphrase of the image ({complaint})"
        )
    for words, error in _ERRORS.items():
        if words in complaint:
            return error(f"cannot {action}: {complaint}")
    return RexrayError(f"cannot {action}: {complaint}")
